// Several processes send what is due from one PostgreSQL, and one after another is killed at random.

import { sleep } from '../abuse/api.mjs';
import { Hub } from '../faults/hub.mjs';
import { later, scheduled, users } from './rows.mjs';

const ROWS = Number(process.env.ROWS ?? 100_000);
const SECONDS = Number(process.env.SECONDS ?? 120);
const PROCESSES = Number(process.env.PROCESSES ?? 4);
const USERS = 1_000;
/** What a process dies with in hand is another's after its lease (10 s), a try that failed after that, and a bit. */
const RECOVERY_SECONDS = 15;

export async function kill(kind) {
  const hub = await Hub.open(kind);
  try {
    const ids = users(hub, USERS);
    const start = Date.now() + 5_000;
    scheduled(hub, ROWS, later(hub, start, `i * ${SECONDS}.0 / ${ROWS}`), [ids[0], ids.at(-1)]);
    hub.store.logMoves('scheduled_notifications');
    const servers = await Promise.all(Array.from({ length: PROCESSES }, () => hub.serve()));
    let kills = 0;
    while (Date.now() < start + SECONDS * 1_000) {
      await sleep(200 + Math.random() * 1_800);
      const victim = Math.floor(Math.random() * PROCESSES);
      await servers[victim].end('SIGKILL');
      kills += 1;
      servers[victim] = await hub.serve();
    }
    const pending = "SELECT count(*) AS n FROM scheduled_notifications WHERE status = 'pending'";
    const limit = Date.now() + 60_000;
    while (hub.store.rows(pending)[0].n > 0 && Date.now() < limit) await sleep(200);
    const [statuses] = [hub.store.rows('SELECT status, count(*) AS n FROM scheduled_notifications GROUP BY status')];
    const delivered = statuses.find(({ status }) => status === 'delivered')?.n ?? 0;
    const inbox = hub.store.rows('SELECT count(*) AS n, count(DISTINCT scheduled_id) AS d FROM in_app_notifications')[0];
    const events = hub.store.rows("SELECT count(*) AS n FROM events WHERE name = 'notification:created'")[0].n;
    const moved = hub.store.rows('SELECT count(*) AS n, count(DISTINCT row_id) AS d FROM moves')[0];
    const late = "extract(epoch FROM delivered_at - due_at)";
    const slowest = hub.store.rows(`SELECT max(${late}) AS s, percentile_cont(0.99) WITHIN GROUP (ORDER BY ${late}) AS p99 FROM scheduled_notifications`)[0];
    return {
      numbers:
        `${PROCESSES} processes, ${kills} kills in ${SECONDS} s, ${ROWS} rows: ${ROWS - delivered} lost, ${inbox.n - inbox.d} twice in inboxes, ` +
        `${inbox.n} in inboxes, ${events} events, ${moved.n} changes of status, ${moved.n - moved.d} rows changed twice; late by ${Number(slowest.p99).toFixed(1)} s (p99), ${Number(slowest.s).toFixed(1)} s at most`,
      ok: delivered === ROWS && inbox.n === ROWS && inbox.d === ROWS && events === ROWS && moved.n === ROWS && moved.d === ROWS && slowest.s <= RECOVERY_SECONDS,
    };
  } finally {
    await hub.close();
  }
}
