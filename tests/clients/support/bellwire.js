// A real bellwire process with an app of its own, and the command line to fill its database.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { within } from './wait.js';

const program = process.env.BELLWIRE_BIN ?? new URL('../../../target/debug/bellwire', import.meta.url).pathname;
const app = { id: '100001', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
let users = 0;

export class Bellwire {
  /**
   * Starts a server on SQLite in a new folder, or on DATABASE_URL when that is set; `appLines` are further settings
   * of its app.
   */
  static async start(appLines = '') {
    const server = new Bellwire(appLines);
    await server.launch(0);
    return server;
  }

  constructor(appLines) {
    this.app = app;
    this.folder = mkdtempSync(join(tmpdir(), 'bellwire-clients-'));
    writeFileSync(
      join(this.folder, 'config.toml'),
      `[limits]
connections_per_ip_per_minute = 0
[webhooks]
allowed_networks = ["127.0.0.0/8"]
sweep_ms = 200
${process.env.DATABASE_URL ? `secret_keys = ["test:${'A'.repeat(43)}="]` : ''}
[server]
shutdown_timeout_seconds = 5
[[apps]]
id = "${app.id}"
key = "${app.key}"
secret = "${app.secret}"
${appLines}
`,
    );
  }

  async launch(port) {
    // The kernel ends the server should this process be killed.
    const args = ['--pdeathsig', 'KILL', '--', program, 'serve', '--bind', `127.0.0.1:${port}`];
    this.process = spawn('setpriv', args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.log = '';
    this.process.stderr.on('data', (text) => (this.log = (this.log + text).slice(-20_000)));
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
    const listening = new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        const said = line.match(/^bellwire listening on http:\/\/127\.0\.0\.1:(\d+)$/);
        if (said) resolve(Number(said[1]));
      });
      this.exited.then((code) => reject(new Error(`bellwire ended with ${code}: ${this.log}`)));
    });
    this.port = await within(20_000, 'bellwire listening', listening);
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** SIGTERM, and the exit code. */
  async stop() {
    this.process.kill('SIGTERM');
    return within(10_000, 'bellwire ending', this.exited);
  }

  /** SIGKILL. */
  async kill() {
    this.process.kill('SIGKILL');
    await within(10_000, 'bellwire ending', this.exited);
  }

  async end() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** Runs a verb beside the server, on the same database. */
  cli(...args) {
    return JSON.parse(execFileSync(program, [...args, '--json'], { cwd: this.folder, encoding: 'utf8' }));
  }

  tenant(name = 'Shop') {
    return this.cli('tenant', 'create', '--name', name).id;
  }

  /** A user of the tenant with a token. */
  user(tenant, name) {
    users += 1;
    const email = `${name.toLowerCase()}-${process.pid}-${users}@shop.example`;
    const { id } = this.cli('user', 'create', '--tenant', tenant, '--name', name, '--email', email);
    const { token } = this.cli('token', 'create', '--user', id, '--name', 'test');
    return { id, name, tenant, token };
  }

  /** A REST request in the user's name; the parsed answer. */
  async rest(user, method, path, body, headers = {}) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${user.token}`,
        accept: 'application/json',
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** The text of /metrics. */
  async metrics() {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  /** How many sockets are open. */
  async connections() {
    const response = await fetch(`${this.url}/api/v1/websocket/health`);
    return (await response.json()).connections;
  }

  async product(user, fields = {}) {
    users += 1;
    const product = { name: 'Espresso beans', sku: `BEANS-${users}`, price: 49900, stock: 10, ...fields };
    return (await this.rest(user, 'POST', '/products', product)).data;
  }
}
