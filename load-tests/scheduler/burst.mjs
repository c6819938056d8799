// 10,000 notifications for 1,000 connected users, all due at one moment, beside a million that are due next year.

import { sleep } from '../abuse/api.mjs';
import { Socket } from '../abuse/socket.mjs';
import { Hub } from '../faults/hub.mjs';
import { later, scheduled, users } from './rows.mjs';

const FUTURE = Number(process.env.FUTURE ?? 1_000_000);
const USERS = Number(process.env.USERS ?? 1_000);
const SCHEDULED = Number(process.env.SCHEDULED ?? 10_000);
/** From the last request that was accepted until they are due. */
const LEAD_MS = 5_000;
const BATCH = 1_000;

export async function burst(kind) {
  const hub = await Hub.open(kind);
  try {
    const ids = users(hub, USERS);
    scheduled(hub, FUTURE, later(hub, Date.now() + 86_400_000, 'i % 30000000'), [ids[0], ids.at(-1)]);
    const server = await hub.serve({ BELLWIRE__NOTIFICATIONS__TENANT_PER_MINUTE: '1000000' });
    const seen = new Map();
    let [last, repeats] = [0, 0];
    const onEvent = ({ event, data }) => {
      if (event !== 'notification:created') return;
      const { id } = typeof data === 'string' ? JSON.parse(data) : data;
      if (seen.has(id)) repeats += 1;
      else seen.set(id, (last = Date.now()));
    };
    for (const id of ids) {
      const socket = await Socket.open(server.port, { onEvent });
      await socket.join(`private-notification.${id}`);
    }
    const due = Math.ceil(Date.now() / 1_000) * 1_000 + 15_000 + LEAD_MS;
    for (let from = 0; from < SCHEDULED; from += BATCH) {
      const notifications = Array.from({ length: Math.min(BATCH, SCHEDULED - from) }, (_, n) => ({
        user_id: ids[(from + n) % ids.length],
        type: 'reminder',
        title: `Reminder ${from + n}`,
        body: 'Do not forget.',
        scheduled_at: new Date(due).toISOString(),
      }));
      await server.api('POST', '/notifications/scheduled', { notifications });
    }
    const accepted = Date.now();
    if (accepted > due) throw new Error(`they were due ${accepted - due} ms before all were accepted`);
    while (seen.size < SCHEDULED && Date.now() < due + 30_000) await sleep(50);
    await sleep(1_000);
    const early = [...seen.values()].filter((at) => at < due).length;
    const inbox = hub.store.rows('SELECT count(*) AS n, count(DISTINCT scheduled_id) AS d FROM in_app_notifications')[0];
    const delivered = hub.store.rows(
      `SELECT count(*) AS n, max(delivered_at) AS last FROM scheduled_notifications WHERE status = 'delivered'`,
    )[0];
    const stored = Date.parse(`${String(delivered.last).replace(' ', 'T')}Z`) - due;
    await server.end();
    return {
      numbers:
        `${SCHEDULED} for ${ids.length} connected users beside ${FUTURE}: the last on its socket after ${last - due} ms, in its inbox ` +
        `after ${stored} ms; ${seen.size} came, ${repeats} twice, ${early} early; ${inbox.n} in inboxes, ${delivered.n} marked delivered`,
      ok:
        last - due <= 2_000 && seen.size === SCHEDULED && repeats === 0 && early === 0 &&
        inbox.n === SCHEDULED && inbox.d === SCHEDULED && delivered.n === SCHEDULED,
    };
  } finally {
    await hub.close();
  }
}
