// 23: no 2xx and no webhook goes out before what it tells of is on the disk. Read from the system calls of the server
// and, with PostgreSQL, of the database: the same order for all.
//
// ANSWERS says how many. Each change carries a mark that is used once, so that its bytes are known wherever they pass.

import { join } from 'node:path';
import { Hub } from './hub.mjs';
import { Receiver } from './receiver.mjs';
import { Strace, family } from './strace.mjs';

const ANSWERS = Number(process.env.ANSWERS ?? 500);
const WRITERS = 4;
const MARK = /mark-\d{9}/;

export async function syncedFirst(kind) {
  const hub = await Hub.open(kind);
  const receiver = await Receiver.start();
  try {
    hub.endpoint(`${receiver.url}/`);
    const server = await hub.serve();
    // Its connections to the database are open before it is watched.
    await Promise.all(Array.from({ length: WRITERS }, (_, n) => server.api('POST', '/products', product(n))));
    await receiver.until((came) => came.length >= WRITERS);
    const { postgres } = hub.store;
    const strace = await Strace.attach([server.pid, ...(postgres ? family(postgres.pid) : [])], join(hub.folder, 'strace'));
    await Promise.all(Array.from({ length: WRITERS }, (_, n) => write(server, n)));
    await receiver.until((came) => came.length >= WRITERS + Math.floor(ANSWERS / WRITERS) * WRITERS);
    const calls = await strace.stop();
    const isDurable = postgres ? new PostgresLog(calls, postgres.port) : new SqliteLog(calls);
    const answers = tellings(calls, (call) => call.target.startsWith(`${server.port}->`), 'HTTP/1.1 2');
    const posts = tellings(calls, (call) => call.target.endsWith(`->${receiver.port}`), 'POST ');
    const bad = [answers, posts].map((told) => told.filter((one) => !isDurable.before(one)));
    const [answered, posted] = bad.map((list) => list.length);
    return {
      numbers:
        `${answers.length} answers of 2xx, ${answered} before their sync; ${posts.length} webhooks, ${posted} before it; ` +
        `${isDurable.syncs} syncs of the log, ${calls.length} calls read` +
        (answered + posted > 0 ? `; the first: ${(bad[0][0] ?? bad[1][0]).mark}` : ''),
      ok: answers.length >= ANSWERS - WRITERS && posts.length >= answers.length && answered + posted === 0,
    };
  } finally {
    receiver.close();
    await hub.close();
  }
}

const mark = (n) => `mark-${String(n).padStart(9, '0')}`;
const product = (n) => ({ name: mark(900_000_000 + n), sku: `SKU-${n}`, price: 1, stock: 5 });

/** Every tenth change makes a product, the others rename it. */
async function write(server, writer) {
  let made;
  for (let n = 0; n < Math.floor(ANSWERS / WRITERS); n += 1) {
    const number = writer * 1_000_000 + n;
    if (n % 10 === 0) made = (await server.api('POST', '/products', { ...product(number + 10), name: mark(number) })).data.id;
    else await server.api('PATCH', `/products/${made}`, { name: mark(number) });
  }
}

/**
 * What was told to others: `{ mark, at }`, `at` being where the sending begins. A request's mark is in what was read on
 * the connection since the answer before; a webhook's is in its own bytes.
 */
function tellings(calls, isOurs, begins) {
  const [told, read] = [[], new Map()];
  for (const call of calls.filter(isOurs)) {
    if (call.name === 'recvfrom' || call.name === 'read') {
      read.set(call.target, `${read.get(call.target) ?? ''}${call.data.toString('latin1')}`);
      continue;
    }
    const text = call.data.toString('latin1');
    const isOwn = begins === 'POST ';
    const found = (isOwn ? text : read.get(call.target) ?? '').match(MARK);
    if (found && (isOwn || text.startsWith(begins))) told.push({ mark: found[0], at: call.begin });
    if (text.startsWith(begins)) read.delete(call.target);
  }
  return told;
}

const isSync = (call) => (call.name === 'fsync' || call.name === 'fdatasync') && call.result === 0;
const isWrite = (call) => call.name === 'pwrite64' || call.name === 'write' || call.name === 'pwritev';

/** The first write of each mark: `Map(mark → index)`. */
function firstWrites(writes) {
  const first = new Map();
  writes.forEach((call, index) => {
    for (const [found] of call.data.toString('latin1').matchAll(/mark-\d{9}/g)) if (!first.has(found)) first.set(found, index);
  });
  return first;
}

/** SQLite's write-ahead log: frames of a header (24 bytes) and a page; the last of a commit has the size of the file. */
class SqliteLog {
  constructor(calls) {
    const ofLog = calls.filter((call) => call.target.endsWith('-wal'));
    this.writes = ofLog.filter(isWrite);
    this.synced = ofLog.filter(isSync);
    this.first = firstWrites(this.writes);
  }

  get syncs() {
    return this.synced.length;
  }

  /** Whether the commit that holds the mark was whole, and then synced, before it was told. */
  before({ mark, at }) {
    const page = this.first.get(mark);
    if (page === undefined) return false;
    const isCommit = (call) => call.data.length === 24 && call.data.readUInt32BE(4) > 0;
    // The header of the page's own frame stands right before it.
    const header = this.writes.findIndex((call, index) => index >= page - 1 && isCommit(call));
    const last = this.writes[header + 1];
    return header >= 0 && last !== undefined && this.synced.some((sync) => sync.begin > last.end && sync.end < at);
  }
}

/** PostgreSQL's: the backend's answer to COMMIT stands behind a sync of the log, and is read before anything is told. */
class PostgresLog {
  constructor(calls, port) {
    const ofLog = calls.filter((call) => call.target.includes('/pg_wal/'));
    this.writes = ofLog.filter(isWrite);
    this.synced = ofLog.filter(isSync);
    this.first = firstWrites(this.writes);
    this.asked = calls.filter((call) => call.target.endsWith(`->${port}`));
    this.answered = calls.filter((call) => call.target.startsWith(`${port}->`) && call.name === 'sendto');
    this.statements = firstWrites(this.asked);
  }

  get syncs() {
    return this.synced.length;
  }

  before({ mark, at }) {
    const statement = this.asked[this.statements.get(mark)];
    const row = this.writes[this.first.get(mark)];
    if (!statement || !row) return false;
    const onIt = this.asked.filter((call) => call.target === statement.target && call.begin > statement.begin);
    const commit = onIt.find((call) => call.name !== 'recvfrom' && call.data.includes('COMMIT'));
    const heard = onIt.find((call) => call.name === 'recvfrom' && call.begin > (commit?.begin ?? Infinity) && call.data.includes('COMMIT\0'));
    if (!heard || heard.end > at) return false;
    const back = statement.target.split('->').reverse().join('->');
    const answer = this.answered.find((call) => call.target === back && call.begin > commit.begin && call.data.includes('COMMIT\0'));
    // The commit's own record is written after it was asked for: by its backend, or by another that was as far.
    const since = this.writes.filter((call) => call.begin > commit.begin && call.end < answer.begin);
    const own = since.filter((call) => call.pid === answer.pid);
    const record = (own.length > 0 ? own : since).at(-1);
    return record !== undefined && row.end <= record.end && this.synced.some((sync) => sync.begin > record.end && sync.end < answer.begin);
  }
}
