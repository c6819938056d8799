// 22: killed at random, again and again, while changes are made and endpoints take, fail and refuse them.
//
// KILLS says how often. A table beside the server's own notes every change of a delivery's status.

import { paced, sleep } from '../abuse/api.mjs';
import { PATH, Socket } from '../abuse/socket.mjs';
import { Books } from './books.mjs';
import { Hub } from './hub.mjs';
import { Receiver } from './receiver.mjs';

const KILLS = Number(process.env.KILLS ?? 100);
/** Changes a second, and how many may be under way: a server that is down is not asked. */
const RATE = 200;
const AT_ONCE = 16;
const SOCKETS = 20;
/** `/dead` never takes anything: its deliveries are given up after the third try. */
const ENDPOINTS = { '/good': [], '/flaky': [], '/dead': ['--max-retries', '2'] };
const TRIES = { '/good': 1, '/flaky': 6, '/dead': 3 };

export async function atRandom(kind) {
  const settings = 'retry_seconds = [1, 1, 1, 1, 1]\nbreaker_threshold = 1000000\nsweep_ms = 200';
  const hub = await Hub.open(kind, settings);
  const answers = { '/good': () => 200, '/flaky': () => (Math.random() < 0.2 ? 500 : 200), '/dead': () => 500 };
  const receiver = await Receiver.start(({ path }) => answers[path]());
  const [books, seen] = [new Books(), []];
  try {
    hub.store.logMoves('webhook_deliveries');
    // The shortest time-out makes the shortest lease: what a dead process held is not waited for long.
    for (const [path, more] of Object.entries(ENDPOINTS)) {
      hub.endpoint(`${receiver.url}${path}`, '--retry-delay', '20', '--timeout-ms', '1000', ...more);
    }
    for (let kill = 0; kill < KILLS; kill += 1) await life(hub, books, seen);
    const last = await hub.serve();
    const pending = "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'pending'";
    while (hub.store.rows(pending)[0].n > 0) await sleep(200);
    await last.end();
    const { lost, invented, repeats, events } = books.audit(hub.store, receiver.came, Object.keys(ENDPOINTS), seen);
    const { ended, wrong } = judge(hub.store);
    const retries = hub.store.rows('SELECT count(*) AS n FROM webhook_delivery_logs WHERE attempt_number > 1')[0].n;
    const share = ((repeats - retries) / receiver.came.length) * 100;
    return {
      numbers:
        `${KILLS} kills, ${books.yes.size} changes acknowledged (${books.refused} refused), ${events} events: lost ${lost}, ` +
        `invented ${invented}, duplicates ${share.toFixed(1)} %; ${ended.delivered} deliveries delivered, ${ended.failed} ` +
        `failed, ended twice, otherwise or with holes in their log ${wrong}`,
      ok: books.yes.size > 0 && ended.failed > 0 && lost === 0 && invented === 0 && wrong === 0,
    };
  } finally {
    receiver.close();
    await hub.close();
  }
}

/** From a start to a kill. */
async function life(hub, books, seen) {
  const server = await hub.serve();
  const path = `${PATH}&token=${encodeURIComponent(hub.token)}`;
  const onEvent = ({ event, data }) => {
    if (event.startsWith('product:')) seen.push((typeof data === 'string' ? JSON.parse(data) : data).price);
  };
  const opening = Array.from({ length: SOCKETS }, async () => {
    const socket = await Socket.open(server.port, { path, onEvent });
    await socket.join(`private-tenant.${hub.tenant}`);
  });
  // From the start: the kill may come before they are in their channel, and then they fail.
  const opened = Promise.allSettled(opening);
  const [products, underway] = [[], new Set()];
  const load = paced(RATE, () => {
    if (underway.size >= AT_ONCE) return;
    const product = products[Math.floor(Math.random() * products.length)];
    const isNew = product === undefined || Math.random() < 0.2;
    const asking = isNew
      ? books.create(server).then((made) => made && products.push(made))
      : books.change(server, product);
    const done = asking.catch(() => {}).finally(() => underway.delete(done));
    underway.add(done);
  });
  await sleep(100 + Math.random() * 900);
  await server.end('SIGKILL');
  load.stop();
  await Promise.allSettled([opened, ...underway]);
}

/**
 * Each delivery has moved once, from pending to its end; its log has the attempts 1, 2, … as many as its row counts,
 * only the last of them good, and no more than its endpoint allows.
 */
function judge(store) {
  const moves = grouped(store.rows('SELECT * FROM moves'), 'row_id');
  const attempts = 'SELECT delivery_id, attempt_number, outcome FROM webhook_delivery_logs ORDER BY attempt_number, id';
  const logs = grouped(store.rows(attempts), 'delivery_id');
  const rows = store.rows('SELECT d.id, d.status, d.attempts, w.url FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id');
  const ended = { delivered: 0, failed: 0 };
  let wrong = 0;
  for (const { id, status, attempts, url } of rows) {
    ended[status] += 1;
    const [moved, log] = [moves.get(id) ?? [], logs.get(id) ?? []];
    const movedOnce = moved.length === 1 && moved[0].before === 'pending' && moved[0].after === status;
    const hasNoHoles = log.length === attempts && log.every((row, n) => row.attempt_number === n + 1);
    const endedWell = log.every((row, n) => (row.outcome === 'ok') === (n === log.length - 1 && status === 'delivered'));
    const most = TRIES[new URL(url).pathname];
    const wasDue = status === 'delivered' ? attempts <= most : attempts === most;
    // A time-out on a busy machine may cost a good endpoint a try.
    const isExcused = status === 'delivered' && log.some((row) => row.outcome === 'timeout');
    if (!movedOnce || !hasNoHoles || !endedWell || !(wasDue || isExcused)) wrong += 1;
  }
  return { ended, wrong };
}

function grouped(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    if (!groups.has(row[key])) groups.set(row[key], []);
    groups.get(row[key]).push(row);
  }
  return groups;
}
