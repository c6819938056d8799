// 26: endpoints that stay dead for the whole schedule, with the settings as installed: 60, 300, 900, 3600 and 7200 s,
// each give or take 10 %, six tries. The server's clock is put forward to just before whatever comes next (`clock.c`),
// so what waits hours there takes seconds here, and nothing in between runs faster than it would.
//
// DELIVERIES says how many to each of the two endpoints whose breaker stays out of the way. A third has the breaker as
// installed: five failures in a row open it for an hour, then one probe an hour goes.

import { sleep } from '../abuse/api.mjs';
import { Books } from './books.mjs';
import { Clock } from './clock.mjs';
import { Hub } from './hub.mjs';
import { Receiver } from './receiver.mjs';

const SCHEDULE = [60, 300, 900, 3_600, 7_200];
const TRIES = SCHEDULE.length + 1;
const JITTER = 0.1;
const DELIVERIES = Number(process.env.DELIVERIES ?? 10);
/** To the endpoint with a breaker: fewer, for each of its probes takes an hour. */
const BEHIND_BREAKER = 3;
const [THRESHOLD, OPEN_S] = [5, 3_600];
/** So long before something is due the clock goes on by itself: who is early is seen. */
const EARLY_MS = 200;
/** So much later than due an attempt may begin: a look at the rows a second, and a busy machine. */
const LATE_S = 3;
const PATIENCE_MS = 20_000;

export async function deadEndpoint(kind) {
  const hub = await Hub.open(kind);
  const clock = new Clock(hub.folder);
  let isDead = true;
  const receiver = await Receiver.start(() => (isDead ? 500 : 200));
  const refusing = await Receiver.start();
  refusing.close();
  try {
    const free = ['--breaker-threshold', '1000'];
    const plain = [hub.endpoint(`${receiver.url}/free`, ...free), hub.endpoint(`${refusing.url}/refused`, ...free)];
    const server = await hub.serve(clock.env);
    const books = new Books();
    for (let n = 0; n < DELIVERIES - BEHIND_BREAKER; n += 1) await books.create(server);
    // It hears of the last few alone.
    const third = { name: 'guarded', url: `${receiver.url}/guarded`, events: ['*'] };
    const guarded = (await server.api('POST', '/webhooks', third)).data.id;
    for (let n = 0; n < BEHIND_BREAKER; n += 1) await books.create(server);

    const world = { server, clock, due: new Map() };
    while (await step(world, [...plain, guarded])) { /* until nothing is pending */ }
    // Another day changes nothing: what has failed is not tried again.
    clock.forward(86_400_000);
    await sleep(2_000);

    const [free1, free2] = await Promise.all(plain.map((id) => deliveries(server, id)));
    const schedule = keptSchedule([...free1, ...free2], world.due);
    const breaker = keptBreaker(await deliveries(server, guarded));
    isDead = false;
    const closed = await recovers(world, books, guarded);
    const given = [...free1, ...free2].filter((one) => one.status === 'failed' && one.log.length === TRIES).length;
    const outcomes = [free1, free2].map((all) => [...new Set(all.flatMap(({ log }) => log.map((row) => row.outcome)))].join());
    return {
      numbers:
        `clock put forward, ${given} of ${2 * DELIVERIES} given up after ${TRIES} tries (${outcomes.join(', ')}); waits ` +
        `${schedule.waits.join(', ')} s; off the schedule by ${schedule.least} to +${schedule.most} %, behind their own due time by ` +
        `at most ${schedule.latest.toFixed(2)} s (${schedule.drift.toFixed(3)} % of the wait); breaker of ${THRESHOLD}: opened ` +
        `${breaker.openings} times, ${breaker.during} attempts while open, ${breaker.failed} of ${BEHIND_BREAKER} given up after ` +
        `${breaker.hours} h; alive again: ${closed}`,
      ok: given === 2 * DELIVERIES && schedule.isKept && breaker.isKept && closed === 'probe delivered, breaker closed',
    };
  } finally {
    receiver.close();
    await hub.close();
  }
}

const seconds = (text) => Date.parse(text) / 1_000;

async function pending(server, id) {
  return (await server.api('GET', `/webhooks/${id}/deliveries?filter[status]=pending&per_page=100`)).data;
}

/** All of an endpoint's, with their logs; each attempt has `began` and `ended` in seconds. */
async function deliveries(server, id) {
  const rows = (await server.api('GET', `/webhooks/${id}/deliveries?per_page=100`)).data;
  return Promise.all(
    rows.map(async (row) => {
      const { log, ...rest } = (await server.api('GET', `/webhooks/${id}/deliveries/${row.id}`)).data;
      const timed = (one, ended) => ({ ...one, ended, began: ended - one.duration_ms / 1_000 });
      return { ...rest, log: log.map((one) => timed(one, seconds(one.created_at))) };
    }),
  );
}

/** Puts the clock to just before what comes next and waits until it has happened; false when nothing is left. */
async function step({ server, clock, due }, endpoints) {
  // Counted first: what happens while the rest is read is not waited for.
  const before = await tries(server, endpoints);
  const next = [];
  for (const id of endpoints) {
    const { breaker } = (await server.api('GET', `/webhooks/${id}`)).data;
    for (const one of await pending(server, id)) {
      due.set(`${one.id} ${one.attempts + 1}`, seconds(one.due_at));
      next.push(Math.max(Date.parse(one.due_at), breaker.until ? Date.parse(breaker.until) : 0));
    }
  }
  if (next.length === 0) return false;
  clock.forward(Math.min(...next) - EARLY_MS - clock.now());
  while (clock.now() < Math.min(...next)) await sleep(20);
  // Behind a breaker one of several may go: whatever changes is a step.
  while ((await tries(server, endpoints)) === before) {
    if (clock.now() > Math.min(...next) + PATIENCE_MS) throw new Error('what was due was not tried');
    await sleep(10);
  }
  return true;
}

async function tries(server, endpoints) {
  const all = await Promise.all(endpoints.map((id) => server.api('GET', `/webhooks/${id}/deliveries?per_page=100`)));
  return all.flatMap(({ data }) => data).reduce((sum, one) => sum + one.attempts, 0);
}

/** Holds each wait against the schedule and against the time that its row named. */
function keptSchedule(all, due) {
  const off = [];
  const [waits, late] = [SCHEDULE.map(() => []), []];
  for (const { id, log } of all) {
    for (let n = 1; n < log.length; n += 1) {
      const wait = log[n].began - log[n - 1].ended;
      const behind = log[n].began - due.get(`${id} ${n + 1}`);
      waits[n - 1].push(wait);
      late.push({ behind, share: (behind / SCHEDULE[n - 1]) * 100 });
      off.push({ share: (wait - behind) / SCHEDULE[n - 1] - 1, behind });
    }
  }
  const shares = off.map((one) => one.share);
  // Times are cut to milliseconds.
  const isKept = off.every(({ share, behind }) => Math.abs(share) <= JITTER + 0.001 && behind > -0.02 && behind < LATE_S);
  return {
    isKept: isKept && all.length > 0,
    waits: waits.map((list) => `${Math.min(...list).toFixed(0)}–${Math.max(...list).toFixed(0)}`),
    least: (Math.min(...shares) * 100).toFixed(1),
    most: (Math.max(...shares) * 100).toFixed(1),
    latest: Math.max(...late.map((one) => one.behind)),
    drift: Math.max(...late.map((one) => one.share)),
  };
}

/** All attempts in their order: after the fifth failure in a row one an hour, and all given up in the end. */
function keptBreaker(all) {
  const attempts = all.flatMap((one) => one.log).sort((a, b) => a.began - b.began);
  const probes = attempts.slice(THRESHOLD - 1);
  const failed = all.filter((one) => one.status === 'failed' && one.log.length === TRIES).length;
  const during = probes.filter((one, n) => n > 0 && one.began - probes[n - 1].ended < OPEN_S - 0.02).length;
  const hours = ((attempts.at(-1).ended - attempts[0].began) / 3_600).toFixed(1);
  const isKept = during === 0 && failed === BEHIND_BREAKER && attempts.length === BEHIND_BREAKER * TRIES;
  return { openings: probes.length, during, failed, hours, isKept };
}

/** The endpoint takes again: what is new is its probe, and closes its breaker. */
async function recovers(world, books, id) {
  await books.create(world.server);
  while (await step(world, [id])) { /* until it is delivered */ }
  const [last] = await deliveries(world.server, id);
  const { breaker } = (await world.server.api('GET', `/webhooks/${id}`)).data;
  return `probe ${last.status}, breaker ${breaker.state}`;
}
