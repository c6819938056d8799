// A bellwire process of one's own: the release build (or BELLWIRE), a folder, a free port, the settings asked for.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const app = { id: '100001', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };

const program = process.env.BELLWIRE ?? new URL('../../target/release/bellwire', import.meta.url).pathname;
// Clock ticks a second, which /proc counts in.
const TICKS = 100;

export class Server {
  /** `settings` by section, `appSettings` of the one app; limits on connects are off unless set. */
  static async start(settings = {}, appSettings = {}) {
    if (!existsSync(program)) {
      throw new Error(`${program} is missing: cargo build --release, or name a program in BELLWIRE`);
    }
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), 'bellwire-abuse-'));
    const limits = { connections_per_ip_per_minute: 0, ...settings.limits };
    const sections = { server: { shutdown_timeout_seconds: 5 }, ...settings, limits };
    const text = Object.entries(sections).map(([name, keys]) => `[${name}]\n${toml(keys)}`);
    text.push(`[[apps]]\n${toml({ ...app, ...appSettings })}`);
    writeFileSync(join(server.folder, 'config.toml'), text.join(''));
    await server.#launch();
    return server;
  }

  async #launch() {
    // The kernel ends the server should this process be killed.
    const args = ['--pdeathsig', 'KILL', '--', program, 'serve', '--bind', '127.0.0.1:0'];
    const env = { PATH: process.env.PATH, RUST_LOG: process.env.RUST_LOG ?? 'warn' };
    this.process = spawn('setpriv', args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.log = '';
    this.panics = 0;
    createInterface({ input: this.process.stderr }).on('line', (line) => {
      if (line.includes('panicked at')) this.panics += 1;
      this.log = `${this.log}${line}\n`.slice(-20_000);
    });
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
    this.port = await new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        const said = line.match(/^bellwire listening on http:\/\/127\.0\.0\.1:(\d+)$/);
        if (said) resolve(Number(said[1]));
      });
      this.exited.then((code) => reject(new Error(`bellwire ended with ${code}:\n${this.log}`)));
    });
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async end() {
    this.process.kill('SIGTERM');
    const late = setTimeout(() => this.process.kill('SIGKILL'), 15_000);
    await this.exited;
    clearTimeout(late);
    rmSync(this.folder, { recursive: true });
  }

  get isAlive() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resident memory in MB (10⁶ bytes). */
  rss() {
    const kib = readFileSync(`/proc/${this.process.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+)/m)[1];
    return (Number(kib) * 1024) / 1e6;
  }

  /** Seconds of CPU used so far. */
  cpu() {
    const fields = readFileSync(`/proc/${this.process.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  /** The value of a metric, with its labels as /metrics prints them; 0 when it is not there. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((line) => line.startsWith(`${name} `));
    return line ? Number(line.slice(name.length + 1)) : 0;
  }

  /** Samples the memory until `stop()`, which gives the most that was seen. */
  watchMemory(every = 50) {
    let most = this.rss();
    const timer = setInterval(() => (most = Math.max(most, this.rss())), every);
    return {
      stop: () => {
        clearInterval(timer);
        return Math.max(most, this.rss());
      },
    };
  }
}

function toml(keys) {
  return Object.entries(keys).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('');
}
