// 35: 50,000 that are due when two processes come up: each goes out once, in the order in which they were due.
//
// On PostgreSQL two servers pass over what the other is claiming. A SQLite file is one server's, and the console command
// beside it is the second; there the file's lock is nobody's turn, and who waits for it may wait long with a batch in
// hand: how far that overtakes the order is told and not judged.

import { spawn } from 'node:child_process';
import { sleep } from '../abuse/api.mjs';
import { Hub } from '../faults/hub.mjs';
import { later, scheduled, users } from './rows.mjs';

const BACKLOG = Number(process.env.BACKLOG ?? 50_000);
const USERS = 1_000;
/** They were due one after another, a millisecond apart, and the last of them a second ago. */
const BEHIND_MS = 1_000;
/** A batch: what two processes have in hand at one time may overtake each other. */
const BATCH = 1_000;

async function second(hub) {
  if (hub.store.kind === 'postgres') return { end: (server) => server.end(), server: await hub.serve() };
  const args = ['--pdeathsig', 'KILL', '--', hub.program, 'notifications', 'process-scheduled'];
  const child = spawn('setpriv', args, { cwd: hub.folder, env: hub.env, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  return { end: () => (child.kill('SIGTERM'), ended) };
}

export async function backlog(kind) {
  const hub = await Hub.open(kind);
  try {
    const ids = users(hub, USERS);
    const first = Date.now() - BACKLOG - BEHIND_MS;
    scheduled(hub, BACKLOG, later(hub, first, 'i / 1000.0'), [ids[0], ids.at(-1)]);
    const began = Date.now();
    const [server, other] = [await hub.serve(), await second(hub)];
    const pending = "SELECT id FROM scheduled_notifications WHERE status = 'pending' LIMIT 1";
    while (hub.store.rows(pending).length > 0 && Date.now() < began + 120_000) await sleep(200);
    await Promise.all([server.end(), other.end(other.server)]);
    const [inbox] = hub.store.rows('SELECT count(*) AS n, count(DISTINCT scheduled_id) AS d FROM in_app_notifications');
    const [events] = hub.store.rows("SELECT count(*) AS n FROM events WHERE name = 'notification:created'");
    const rows = hub.store.rows(
      `SELECT s.id, s.due_at AS due, s.delivered_at AS delivered FROM in_app_notifications i
       JOIN scheduled_notifications s ON s.id = i.scheduled_id ORDER BY i.id`,
    );
    const time = (text) => Date.parse(`${String(text).replace(' ', 'T')}Z`);
    const lags = rows.map(({ delivered }) => time(delivered) - began).sort((a, b) => a - b);
    let [latest, behind] = [0, 0];
    for (const { due } of rows) {
      latest = Math.max(latest, time(due));
      behind = Math.max(behind, latest - time(due));
    }
    const p99 = lags[Math.floor(lags.length * 0.99)] / 1_000;
    return {
      numbers:
        `${BACKLOG} due when two processes began: ${BACKLOG - inbox.d} lost, ${inbox.n - inbox.d} twice, ${events.n} events; ` +
        `p99 ${p99.toFixed(1)} s after the beginning, all in ${(lags.at(-1) / 1_000).toFixed(1)} s; one that was due a millisecond ` +
        `after another came before it by at most ${behind} places (a batch is ${BATCH})`,
      // Of each process two batches are under way at most: one is delivered and the next is claimed.
      ok:
        inbox.n === BACKLOG && inbox.d === BACKLOG && events.n === BACKLOG &&
        (kind === 'sqlite' || behind <= 4 * BATCH),
    };
  } finally {
    await hub.close();
  }
}
