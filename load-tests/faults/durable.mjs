// 23: no 2xx and no webhook goes out before what it tells of is on the disk. Read from the system calls of the server
// and, with PostgreSQL, of the database: the same order for all.
//
// ANSWERS says how many. Each change carries a mark that is used once, so that its bytes are known wherever they pass.

import { join } from 'node:path';
import { sleep } from '../abuse/api.mjs';
import { Hub } from './hub.mjs';
import { Receiver } from './receiver.mjs';
import { Strace, family } from './strace.mjs';
import { PostgresLog, SqliteLog } from './wal.mjs';

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
    const watched = [server.pid, ...(postgres ? family(postgres.pid) : [])];
    const strace = await Strace.attach(watched, join(hub.folder, 'strace'));
    await Promise.all(Array.from({ length: WRITERS }, (_, n) => write(server, n)));
    const all = WRITERS + Math.floor(ANSWERS / WRITERS) * WRITERS;
    await receiver.until((came) => came.length >= all);
    // The receiver has what was sent before strace has seen the end of the sending; who has the answer is past it.
    while ((await server.attempts('ok')) < all) await sleep(20);
    const calls = await strace.stop();
    const isDurable = postgres ? new PostgresLog(calls, postgres.port, hub.store) : new SqliteLog(calls);
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
 * What was told to others: `{ mark, at, isAnswer }`, `at` being where the sending begins. A request's mark is in what was read on
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
    if (found && (isOwn || text.startsWith(begins))) told.push({ mark: found[0], at: call.begin, isAnswer: !isOwn });
    if (text.startsWith(begins)) read.delete(call.target);
  }
  return told;
}
