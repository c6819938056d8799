// What pruning a million old deliveries costs whoever works beside it, on SQLite and on PostgreSQL.
//
//   cargo build --release && node load-tests/retention.mjs
//
// ROWS events (1,000,000), each with a delivery that ended half a year ago and the log of its one attempt, and
// ROWS / 10 deliveries of a deleted endpoint that never ended, are put into an empty database and pruned by
// `bellwire prune`. It prints how long that took, the longest transaction (which bounds each statement in it, its
// commit included) and, on PostgreSQL, the slowest three statements of any kind by the server's own log. Exits 1 if
// a statement lasted LIMIT_MS (100) or longer, on SQLite a transaction. Needs python3 for its SQLite and Debian's
// postgresql; run it as root or as a user who may run PostgreSQL. DATABASES (sqlite,postgres); BELLWIRE_BIN names
// another program.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const rows = Number(process.env.ROWS ?? 1_000_000);
const limit = Number(process.env.LIMIT_MS ?? 100);
const release = new URL('../target/release/bellwire', import.meta.url).pathname;
const program = process.env.BELLWIRE_BIN ?? release;

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.error ?? done.stderr}`);
  return done.stdout;
}

function fill(old, text) {
  const numbers = (n) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${n})`;
  const endpoint = (id, deleted) =>
    `INSERT INTO webhooks (id, tenant_id, name, url, secret, events, is_active, created_at, updated_at, deleted_at)
     VALUES (${id}, 1, 'a', 'https://a.example/', 'whsec_dGVzdA==', '["*"]', ${deleted ? 'FALSE' : 'TRUE'}, ${old}, ${old}, ${deleted ? old : 'NULL'});`;
  return `
    INSERT INTO tenants (id, name, created_at, updated_at) VALUES (1, 'Shop', ${old}, ${old});
    ${endpoint(1, false)} ${endpoint(2, true)}
    ${numbers(rows)} INSERT INTO events (message_id, tenant_id, name, channel, data, created_at)
      SELECT 'msg_' || ${text('i')}, 1, 'product:updated', 'private-tenant.1',
        '{"id":1,"name":"Tea, loose, 250 g","sku":"T-1","price":950,"stock":12,"is_active":true}', ${old} FROM n;
    INSERT INTO webhook_deliveries (webhook_id, event_id, status, attempts, due_at, created_at, updated_at)
      SELECT 1, id, 'delivered', 1, ${old}, ${old}, ${old} FROM events;
    INSERT INTO webhook_delivery_logs (webhook_id, delivery_id, event_type, attempt_number, outcome,
        response_status, response_body, duration_ms, delivered_at, created_at)
      SELECT 1, id, 'product:updated', 1, 'ok', 200, 'thanks', 3, ${old}, ${old} FROM webhook_deliveries;
    INSERT INTO webhook_deliveries (webhook_id, event_id, status, due_at, created_at, updated_at)
      SELECT 2, id, 'pending', ${old}, ${old}, ${old} FROM events WHERE id % 10 = 0;`;
}

function prune(environment, folder) {
  const started = performance.now();
  const said = JSON.parse(run(program, ['prune', '--json'], { env: environment, cwd: folder }));
  return { ...said, seconds: (performance.now() - started) / 1000 };
}

const environment = (url) => ({ PATH: process.env.PATH, HOME: process.env.HOME, DATABASE_URL: url });
const halfAYearAgo = new Date(Date.now() - 180 * 86_400_000).toISOString().replace('T', ' ').replace('Z', '000');

function onSqlite(folder) {
  const file = join(folder, 'test.db');
  const env = environment(`sqlite:${file}`);
  run(program, ['migrate'], { env, cwd: folder });
  const script = 'import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.executescript("BEGIN;" + sys.stdin.read() + "COMMIT;")';
  run('python3', ['-c', script, file], { input: fill(`'${halfAYearAgo}'`, (i) => i) });
  return prune(env, folder);
}

const asServer = (command, args) =>
  process.getuid() === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', '--', command, ...args]]
    : [command, args];

async function onPostgres(folder) {
  const home = '/usr/lib/postgresql';
  const versions = existsSync(home) ? readdirSync(home).map(Number).sort((a, b) => b - a) : [];
  const version = versions.find((v) => existsSync(`${home}/${v}/bin/initdb`));
  if (version === undefined) throw new Error("PostgreSQL's server is missing: apt-get install postgresql");
  const bin = (name) => `${home}/${version}/bin/${name}`;
  if (process.getuid() === 0) run('chown', ['postgres:postgres', folder]);
  const [data, log] = [join(folder, 'data'), join(folder, 'log')];
  run(...asServer(bin('initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C']), { cwd: folder });
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'log_min_duration_statement=0', 'lc_messages=C'];
  const [command, args] = asServer(bin('postgres'), ['-D', data, ...settings.flatMap((s) => ['-c', s])]);
  const server = spawn(command, args, { cwd: folder, stdio: ['ignore', 'ignore', openSync(log, 'w')] });
  try {
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    for (let n = 0; !readFileSync(log, 'utf8').includes('ready to accept'); n += 1) {
      if (n > 300) throw new Error(`PostgreSQL does not start: ${readFileSync(log, 'utf8')}`);
      await sleep(100);
    }
    run(program, ['migrate'], { env: environment(url), cwd: folder });
    const input = `${fill(`'${halfAYearAgo}'::timestamp`, (i) => `${i}::text`)}\nANALYZE;`;
    run(bin('psql'), ['-q', '-v', 'ON_ERROR_STOP=1', url], { input });
    const before = readFileSync(log, 'utf8').length;
    const said = prune(environment(url), folder);
    return { ...said, ...slowest(readFileSync(log, 'utf8').slice(before)) };
  } finally {
    server.kill('SIGINT');
    await new Promise((resolve) => server.once('exit', resolve));
  }
}

/** The slowest of the statements that the server has logged with their durations. */
function slowest(log) {
  const found = [...log.matchAll(/duration: ([\d.]+) ms\s+(?:execute [^:]*|statement|parse [^:]*|bind [^:]*): ([^\n]*)/g)];
  const all = found.map(([, ms, text]) => ({ ms: Number(ms), text })).sort((a, b) => b.ms - a.ms);
  return { statements: all.length, slowest: all.slice(0, 3) };
}

let failed = false;
const databases = (process.env.DATABASES ?? 'sqlite,postgres').split(',');
for (const [name, work] of [['SQLite', onSqlite], ['PostgreSQL', onPostgres]]) {
  if (!databases.includes(work === onSqlite ? 'sqlite' : 'postgres')) continue;
  const folder = mkdtempSync(join(tmpdir(), 'bellwire-retention-'));
  try {
    const done = await work(folder);
    const gone = done.webhook_deliveries + done.webhook_delivery_logs + done.events;
    const longest = `longest transaction ${done.longest_transaction_ms} ms`;
    // A transaction bounds its statements; PostgreSQL tells of each.
    const slowest = done.slowest?.map(({ ms, text }) => `${ms.toFixed(1)} ms (${text.slice(0, 160)})`).join(', ');
    const statements = slowest ? `, slowest of ${done.statements} statements ${slowest}` : '';
    console.log(`${name}: ${gone} rows in ${done.seconds.toFixed(1)} s, ${longest}${statements}`);
    failed ||= (done.slowest ? done.slowest[0].ms : done.longest_transaction_ms) >= limit;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
process.exit(failed ? 1 : 0);
