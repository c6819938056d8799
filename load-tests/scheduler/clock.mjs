// 34: a clock that is put an hour forward and back while notifications wait for their time, and a year with both changes
// of New York's clocks for one that recurs every day at half past one, and half past two, which one day a year has not.

import { sleep } from '../abuse/api.mjs';
import { Clock } from '../faults/clock.mjs';
import { Hub } from '../faults/hub.mjs';
import { users } from './rows.mjs';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const COUNT = Number(process.env.COUNT ?? 60);
const PATIENCE_MS = 20_000;
const ZONE = 'America/New_York';

const iso = (milliseconds) => new Date(milliseconds).toISOString();
const time = (text) => Date.parse(`${String(text).replace(' ', 'T').replace(/Z$/, '')}Z`);

class World {
  constructor(hub, clock, server, user) {
    Object.assign(this, { hub, clock, server, user });
  }

  async schedule(at, more = {}) {
    const body = { user_id: this.user, type: 'reminder', title: 'Look', body: 'It is time.', scheduled_at: iso(at), ...more };
    return (await this.server.api('POST', '/notifications/scheduled', body)).data;
  }

  /** What is in inboxes, in the order in which it came there. */
  inbox() {
    return this.hub.store.rows(
      `SELECT i.id, i.scheduled_id AS scheduled, s.due_at AS due, s.delivered_at AS delivered FROM in_app_notifications i
       JOIN scheduled_notifications s ON s.id = i.scheduled_id ORDER BY i.id`,
    );
  }

  async until(count) {
    const limit = Date.now() + PATIENCE_MS;
    while (this.inbox().length < count && Date.now() < limit) await sleep(50);
  }
}

/** How many came early, and how many twice. */
function faults(rows) {
  const early = rows.filter(({ due, delivered }) => time(delivered) < time(due)).length;
  return { early, twice: rows.length - new Set(rows.map(({ scheduled }) => scheduled)).size };
}

async function jumps(world) {
  const { clock } = world;
  const start = clock.now();
  // The first in a minute, and one each minute.
  for (let n = 1; n <= COUNT; n += 1) await world.schedule(start + n * 60_000);
  const before = world.inbox().length;
  clock.move(HOUR + 60_000);
  await world.until(COUNT);
  const forward = world.inbox().length;
  // Back: what has gone out is not due again, and what is scheduled now waits for its time by this clock.
  clock.move(-HOUR);
  const soon = await world.schedule(clock.now() + 3_000);
  const late = await world.schedule(clock.now() + HOUR / 2);
  await world.until(forward + 1);
  await sleep(2_000);
  const back = world.inbox();
  clock.move(HOUR);
  await world.until(COUNT + 2);
  await sleep(2_000);
  const all = world.inbox();
  const isRight =
    before === 0 && forward === COUNT && back.length === COUNT + 1 && back.at(-1).scheduled === soon.id &&
    all.length === COUNT + 2 && all.at(-1).scheduled === late.id;
  return isRight;
}

/** The local times at which a notification that recurs was due, from noon on a day and for so many days. */
async function recurring(world, cron, noon, days) {
  const { clock, hub } = world;
  const pending = "SELECT min(due_at) AS due FROM scheduled_notifications WHERE status = 'pending'";
  clock.move(Date.parse(noon) - clock.now());
  const before = world.inbox().length;
  // Critical: nobody's quiet hours move it.
  await world.schedule(0, { recurrence: cron, scheduled_at: undefined, priority: 'critical' });
  for (let day = 0; day < days; day += 1) {
    const due = time(hub.store.rows(pending)[0].due);
    const count = world.inbox().length;
    clock.move(due - 200 - clock.now());
    await world.until(count + 1);
  }
  hub.store.run("UPDATE scheduled_notifications SET status = 'cancelled' WHERE status = 'pending'");
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short', timeStyle: 'short' });
  return world.inbox().slice(before).map(({ due }) => local.format(time(due)));
}

const dates = (times) => times.map((one) => one.slice(0, 10));
const isDaily = (times, days) =>
  dates(times).every((date, n, all) => n === 0 || Date.parse(date) - Date.parse(all[n - 1]) === DAY) && times.length === days;

export async function clock(kind) {
  const hub = await Hub.open(kind);
  try {
    const [user] = users(hub, 1);
    hub.store.run(`UPDATE users SET timezone = '${ZONE}' WHERE id = ${user};`);
    const hands = new Clock(hub.folder, { wall: true });
    // What is looked at in the end is months old by then.
    const server = await hub.serve({ ...hands.env, BELLWIRE__RETENTION__DAYS: '0' });
    const world = new World(hub, hands, server, user);
    // Noon in New York: nobody sleeps.
    hands.move(Date.parse(`${iso(Date.now() + DAY).slice(0, 10)}T17:00:00Z`) - hands.now());
    const isRight = await jumps(world);
    const spring = await recurring(world, '30 2 * * *', '2027-03-12T17:00:00Z', 4);
    const autumn = await recurring(world, '30 1 * * *', '2027-11-05T17:00:00Z', 4);
    const { early, twice } = faults(world.inbox());
    await server.end();
    return {
      numbers:
        `an hour forward, back and forward again beside ${COUNT + 2}, and both changes of ${ZONE}: ${early} early, ${twice} twice, ` +
        `${isRight ? 'none missing' : 'NOT AS IT SHOULD BE'}; half past two in spring: ${spring.join(', ')}; half past one in autumn: ${autumn.join(', ')}`,
      ok: isRight && early === 0 && twice === 0 && isDaily(spring, 4) && isDaily(autumn, 4),
    };
  } finally {
    await hub.close();
  }
}
