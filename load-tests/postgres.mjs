// A PostgreSQL of one's own, with its settings as installed, on a free loopback port; it ends with this process.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = '/usr/lib/postgresql';

/** A port of loopback that nobody has just now. */
function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Postgres {
  /** A new, empty one, whose data are in `folder`/pg. */
  static async start(folder) {
    if (!existsSync(ROOT)) throw new Error("PostgreSQL's server is missing: apt-get install postgresql");
    const newest = readdirSync(ROOT).sort((a, b) => a - b).at(-1);
    const postgres = new Postgres();
    postgres.bin = join(ROOT, newest, 'bin');
    const data = join(folder, 'pg');
    mkdirSync(data);
    // It refuses to run as root; Debian's package brings a user for it.
    const isRoot = process.getuid() === 0;
    if (isRoot) {
      execFileSync('chmod', ['755', folder]);
      execFileSync('chown', ['postgres:postgres', data]);
    }
    const who = isRoot ? ['--reuid=postgres', '--regid=postgres', '--init-groups'] : [];
    const initdb = [...who, '--', join(postgres.bin, 'initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'];
    execFileSync('setpriv', initdb, { cwd: folder, stdio: 'ignore' });
    postgres.port = await freePort();
    const args = ['-D', data, '-p', String(postgres.port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
    const serve = ['--pdeathsig', 'QUIT', ...who, '--', join(postgres.bin, 'postgres'), ...args];
    postgres.process = spawn('setpriv', serve, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: postgres.process.stderr })) {
      if (line.includes('ready to accept connections')) break;
    }
    postgres.process.stderr.resume();
    return postgres;
  }

  get url() {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  get pid() {
    return this.process.pid;
  }

  /** What a statement prints, unaligned. */
  run(sql) {
    const args = ['-qAtX', '-v', 'ON_ERROR_STOP=1', this.url];
    return execFileSync(join(this.bin, 'psql'), args, { input: sql, encoding: 'utf8', maxBuffer: 1 << 30 });
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGINT');
    await ended;
  }
}
