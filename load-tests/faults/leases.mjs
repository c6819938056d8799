// 24: a process dies while it holds leases, and one is stopped, loses them, and goes on: another takes over what they
// held, and what the late one reports is dropped.
//
// On PostgreSQL the other process runs beside it. A SQLite file is served by one: the other is started then, and frees
// what it finds leased.

import { sleep } from '../abuse/api.mjs';
import { Books } from './books.mjs';
import { Hub } from './hub.mjs';
import { Receiver } from './receiver.mjs';

const ENDPOINTS = 10;
/** As many as an endpoint holds at once when it has not answered yet. */
const EVENTS = 8;
const HELD = ENDPOINTS * EVENTS;
/** The endpoint's time-out, 5 s, and 10 s. What ran out is looked for once a second. */
const LEASE_MS = 15_000;
const LIMIT_S = 35;

export async function lostLeases(kind) {
  const hub = await Hub.open(kind);
  const held = [];
  let answers = false;
  const receiver = await Receiver.start(() => (answers ? 200 : new Promise((resolve) => held.push(resolve))));
  const [books, paths] = [new Books(), Array.from({ length: ENDPOINTS }, (_, n) => `/${n}`)];
  try {
    hub.store.logMoves('webhook_deliveries');
    for (const path of paths) hub.endpoint(`${receiver.url}${path}`);

    const killed = await holding(hub, books);
    const heir = kind === 'postgres' ? await hub.serve() : undefined;
    answers = true;
    const from = receiver.came.length;
    let began = performance.now();
    await killed.end('SIGKILL');
    const after = heir ?? (await hub.serve());
    const afterKill = await takenOver(hub, receiver, from, began);
    await after.end();

    answers = false;
    held.length = 0;
    const stopped = await holding(hub, books);
    const other = kind === 'postgres' ? await hub.serve() : undefined;
    answers = true;
    const then = receiver.came.length;
    began = performance.now();
    stopped.process.kill('SIGSTOP');
    const taker = other ?? (await hub.serve());
    const afterStop = await takenOver(hub, receiver, then, began);
    // On SQLite it was not waited for. Whoever goes on within its lease sends what it holds, and may.
    await sleep(Math.max(0, began + LEASE_MS - performance.now()));
    const posted = receiver.came.length;
    // What it waited for comes now, too late.
    const late = held.length;
    for (const answer of held) answer(200);
    stopped.process.kill('SIGCONT');
    while ((await stopped.attempts('lease_lost')) < late) await sleep(20);
    const fenced = await stopped.attempts('lease_lost');
    const counted = await stopped.attempts('ok');
    await stopped.end();
    await taker.end();
    const resent = receiver.came.length - posted;

    const { lost, invented } = books.audit(hub.store, receiver.came, paths);
    const once = "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'delivered' AND attempts = 1";
    const [good, moves, logs] = [once, 'SELECT count(*) AS n FROM moves', 'SELECT count(*) AS n FROM webhook_delivery_logs'].map(
      (query) => hub.store.rows(query)[0].n,
    );
    const longest = Math.max(afterKill, afterStop);
    return {
      numbers:
        `${HELD} leases of a killed process taken over within ${afterKill.toFixed(1)} s, ${HELD} of a stopped one within ` +
        `${afterStop.toFixed(1)} s; of that one’s late outcomes ${fenced} of ${late} fenced, ${counted} counted, ${resent} posts ` +
        `after it went on; ${good} of ${2 * HELD} delivered in one attempt, ${moves} ends, lost ${lost}, invented ${invented}`,
      ok:
        longest <= LIMIT_S && late > 0 && fenced === late && counted === 0 && resent === 0 && lost === 0 && invented === 0 &&
        [good, moves, logs].every((n) => n === 2 * HELD),
    };
  } finally {
    receiver.close();
    await hub.close();
  }
}

/** A process that has leased everything there is to send, and waits for the answers to what it has sent. */
async function holding(hub, books) {
  const server = await hub.serve();
  for (let n = 0; n < EVENTS; n += 1) await books.create(server);
  const leased = "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'pending' AND lease_owner IS NOT NULL";
  while (hub.store.rows(leased)[0].n < HELD) await sleep(20);
  return server;
}

/** Waits until every delivery has come again and is written down as delivered; the longest wait in seconds. */
async function takenOver(hub, receiver, from, began) {
  const first = () => new Map(receiver.came.slice(from).reverse().map((one) => [`${one.path} ${one.id}`, one.at]));
  await receiver.until(() => first().size >= HELD);
  const pending = "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'pending'";
  while (hub.store.rows(pending)[0].n > 0) await sleep(50);
  return Math.max(...[...first().values()].map((at) => at - began)) / 1_000;
}
