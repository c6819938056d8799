// A bellwire of its own for the webhook tests: a folder, a database, a tenant with a token, endpoints at a receiver.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Postgres } from '../postgres.mjs';

const program = process.env.BELLWIRE ?? new URL('../../target/release/bellwire', import.meta.url).pathname;
const receiver = new URL('./receiver.mjs', import.meta.url).pathname;

const agent = new Agent({ keepAlive: true, noDelay: true, maxSockets: 32 });

/** Lines of a child's standard output, one at a time. */
function lines(child) {
  const iterator = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => (await iterator.next()).value;
}

export class Shop {
  /** On SQLite, or on a PostgreSQL of its own with its settings as installed (`database` is `postgres`). */
  static async open(database = 'sqlite', settings = '') {
    const shop = new Shop();
    shop.folder = mkdtempSync(join(tmpdir(), 'bellwire-webhooks-'));
    shop.env = { ...process.env, RUST_LOG: 'error', BELLWIRE__WEBHOOKS__SECRET_KEYS: `["k1:${Buffer.alloc(32, 7).toString('base64')}"]` };
    delete shop.env.DATABASE_URL;
    if (database === 'postgres') {
      shop.database = await Postgres.start(shop.folder);
      shop.env.DATABASE_URL = shop.database.url;
    }
    writeFileSync(
      join(shop.folder, 'config.toml'),
      `[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n${settings}\n[[apps]]\nid = "1"\nkey = "k"\nsecret = "s"\n`,
    );
    shop.receiver = spawn(process.execPath, [receiver], { stdio: ['pipe', 'pipe', 'inherit'] });
    // Whatever goes wrong here, it is not what keeps this process.
    shop.receiver.unref();
    shop.heard = lines(shop.receiver);
    shop.target = `http://127.0.0.1:${await shop.heard()}`;
    shop.tenant = shop.cli('tenant', 'create', '--name', 'Shop').id;
    const user = shop.cli('user', 'create', '--tenant', String(shop.tenant), '--name', 'Ana', '--email', 'ana@shop.example').id;
    shop.token = shop.cli('token', 'create', '--user', String(user), '--name', 'load').token;
    return shop;
  }

  /** One command of the program; what it prints as JSON. */
  cli(...args) {
    const answer = execFileSync(program, ['--json', ...args], { cwd: this.folder, env: this.env });
    return JSON.parse(answer);
  }

  /** An endpoint of this path at the receiver. */
  endpoint(path, ...more) {
    return this.cli('webhook', 'create', '--tenant', String(this.tenant), '--url', `${this.target}${path}`, '--events', 'product:*', ...more).id;
  }

  /** So many products, each with an event and its deliveries. */
  seed(products) {
    this.cli('seed', '--tenant', String(this.tenant), '--products', String(products), '--categories', '0');
  }

  async serve() {
    this.server = spawn(program, ['serve', '--bind', '127.0.0.1:0'], { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'inherit'] });
    const heard = lines(this.server);
    this.url = `http://127.0.0.1:${(await heard()).match(/:(\d+)$/)[1]}`;
  }

  /** The REST answer's body. */
  async rest(method, path, body) {
    const sent = JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${this.token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(sent),
    };
    // Not `fetch`, whose own time would be counted as the server's.
    const answer = await new Promise((resolve, reject) => {
      const call = request(`${this.url}/api/v1${path}`, { method, headers, agent }, resolve);
      call.on('error', reject).end(sent);
    });
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk;
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    return JSON.parse(text);
  }

  /** The good deliveries since the last call: `[path, marker, microseconds]` each. */
  async deliveries() {
    this.receiver.stdin.write('\n');
    return JSON.parse(await this.heard());
  }

  /** Attempts written down, by outcome. */
  async attempts(outcome) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(text.match(new RegExp(`bellwire_webhook_attempts_total\\{outcome="${outcome}"\\} (\\d+)`))?.[1] ?? 0);
  }

  /** Resident memory of the server in MB. */
  rss() {
    return Number(readFileSync(`/proc/${this.server.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+)/m)[1]) / 1_000;
  }

  async stop() {
    if (!this.server) return;
    const ended = new Promise((resolve) => this.server.once('exit', resolve));
    this.server.kill('SIGTERM');
    await ended;
    this.server = undefined;
  }

  async close() {
    await this.stop();
    this.receiver.kill();
    await this.database?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
