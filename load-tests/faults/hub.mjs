// A bellwire for one experiment: a folder, a database, a tenant with a token, endpoints, and its `serve` processes,
// which come and go.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { app } from '../abuse/server.mjs';
import { Store } from './store.mjs';

const program = process.env.BELLWIRE ?? new URL('../../target/release/bellwire', import.meta.url).pathname;
const KEY = `k1:${Buffer.alloc(32, 7).toString('base64')}`;

/** A `serve` process. */
export class Server {
  constructor(hub, env) {
    this.hub = hub;
    this.agent = new Agent({ keepAlive: true, maxSockets: 32 });
    // The kernel ends it should this process be killed.
    const args = ['--pdeathsig', 'KILL', '--', program, 'serve', '--bind', '127.0.0.1:0'];
    this.process = spawn('setpriv', args, { cwd: hub.folder, env: { ...hub.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.log = '';
    createInterface({ input: this.process.stderr }).on('line', (line) => (this.log = `${this.log}${line}\n`.slice(-20_000)));
    /** How it ended, once all it said is read. */
    this.ended = new Promise((resolve) => this.process.once('close', (code, signal) => resolve({ code, signal })));
    /** True when it serves, false when it ended before. */
    this.serves = new Promise((resolve) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        const said = line.match(/^bellwire listening on http:\/\/127\.0\.0\.1:(\d+)$/);
        if (!said) return;
        this.port = Number(said[1]);
        resolve(true);
      });
      this.ended.then(() => resolve(false));
    });
  }

  get pid() {
    return this.process.pid;
  }

  /** `[status, body]` of a request; rejected when the connection breaks. */
  rest(method, path, body) {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${this.hub.token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    };
    // A look at it now and then gets a connection of its own: one that idled may be closed just as it is used.
    const agent = method === 'GET' ? false : this.agent;
    return new Promise((resolve, reject) => {
      const sent = request({ agent, host: '127.0.0.1', port: this.port, method, path, headers }, (answer) => {
        let came = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (came += chunk));
        answer.on('error', reject);
        answer.on('end', () => resolve([answer.statusCode, came && path.startsWith('/api') ? JSON.parse(came) : came]));
      });
      sent.on('error', reject);
      sent.end(text);
    });
  }

  /** The answer's body; anything but a 2xx is an error. */
  async api(method, path, body) {
    const [status, answer] = await this.rest(method, `/api/v1${path}`, body);
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** Attempts that were written down, by outcome. */
  async attempts(outcome) {
    const [, text] = await this.rest('GET', '/metrics');
    return Number(text.match(new RegExp(`bellwire_webhook_attempts_total\\{outcome="${outcome}"\\} (\\d+)`))?.[1] ?? 0);
  }

  /** Sends a signal and waits for the end. */
  async end(signal = 'SIGTERM') {
    this.process.kill(signal);
    // A stopped process hears of nothing but SIGKILL.
    const late = setTimeout(() => this.process.kill('SIGKILL'), 20_000);
    const how = await this.ended;
    clearTimeout(late);
    this.agent.destroy();
    return how;
  }
}

export class Hub {
  #servers = new Set();

  /** `webhooks` are lines of that section of the settings. */
  static async open(kind, webhooks = '') {
    if (!existsSync(program)) {
      throw new Error(`${program} is missing: cargo build --release, or name a program in BELLWIRE`);
    }
    const hub = new Hub();
    hub.program = program;
    hub.folder = mkdtempSync(join(tmpdir(), 'bellwire-faults-'));
    hub.forget = () => rmSync(hub.folder, { recursive: true, force: true });
    process.once('exit', hub.forget);
    hub.store = await Store.open(kind, hub.folder);
    hub.env = { PATH: process.env.PATH, RUST_LOG: 'error', DATABASE_URL: hub.store.url, BELLWIRE__WEBHOOKS__SECRET_KEYS: KEY };
    writeFileSync(
      join(hub.folder, 'config.toml'),
      `[server]\nshutdown_timeout_seconds = 5\nwatchdog_seconds = 0\n[limits]\nconnections_per_ip_per_minute = 0\n` +
        `[webhooks]\nallowed_networks = ["127.0.0.1/32"]\n${webhooks}\n` +
        `[[apps]]\nid = "${app.id}"\nkey = "${app.key}"\nsecret = "${app.secret}"\n`,
    );
    hub.tenant = hub.cli('tenant', 'create', '--name', 'Shop').id;
    const user = hub.cli('user', 'create', '--tenant', String(hub.tenant), '--name', 'Ana', '--email', 'ana@shop.example').id;
    hub.token = hub.cli('token', 'create', '--user', String(user), '--name', 'faults').token;
    return hub;
  }

  /** One command of the program; what it prints as JSON. */
  cli(...args) {
    return JSON.parse(execFileSync(program, ['--json', ...args], { cwd: this.folder, env: this.env }));
  }

  /** An endpoint; its id. */
  endpoint(url, ...more) {
    return this.cli('webhook', 'create', '--tenant', String(this.tenant), '--url', url, '--events', '*', ...more).id;
  }

  /** A process that may end before it serves: ask `serves`. */
  launch(env = {}) {
    const server = new Server(this, env);
    this.#servers.add(server);
    server.ended.then(() => this.#servers.delete(server));
    return server;
  }

  /** A process that serves. */
  async serve(env) {
    const server = this.launch(env);
    if (!(await server.serves)) throw new Error(`bellwire ended at its start:\n${server.log}`);
    return server;
  }

  async close() {
    await Promise.all([...this.#servers].map((server) => server.end('SIGKILL')));
    await this.store.close();
    this.forget();
    process.removeListener('exit', this.forget);
  }
}
