// What time does to the server: for MINUTES, SOCKETS clients stay and follow RATE broadcasts a second while CHURN
// others a second come, join a private channel and go. Memory must not creep, nothing may be left behind, and every
// broadcast must arrive, soon, until the end.
//
//   k6 run load-tests/soak.js

import { Counter, Trend } from 'k6/metrics';
import { now, within } from './lib/clock.js';
import { CONNECT_P99_MS, awaitCrowd, crowdFigures, dismiss, gather, scenarios } from './lib/crowd.js';
import { Figures, count, size, time } from './lib/figures.js';
import { paceFigure, paced, until } from './lib/pace.js';
import { process } from './lib/process.js';
import { subscriptionCount } from './lib/pusher/back-end.js';
import { Pusher } from './lib/pusher/client.js';
import { number } from './lib/settings.js';
import { slope } from './lib/slope.js';
import { delivered, follower, latency, missed, publishEnd, publishNumber, published, repeated } from './lib/stream.js';
import { connections, findServer } from './lib/target.js';

const MINUTES = number('MINUTES', 30);
const SOCKETS = number('SOCKETS', 500);
const RATE = number('RATE', 10);
const CHURN = number('CHURN', 50);
const P99_MS = number('P99_MS', 100);
const MIB_A_MINUTE = number('MIB_A_MINUTE', 1);

const SECONDS = Math.round(MINUTES * 60);
const BROADCASTS = Math.round(SECONDS * RATE);
const VISITS = Math.floor(SECONDS * CHURN);
/** What growing to its working size costs is not counted. */
const WARM_UP = 0.2;

const visits = new Counter('visits');
const visitTime = new Trend('visit_time', true);
const leftOver = new Counter('left_over');
const memory = new Trend('memory');
const memorySlope = new Trend('memory_slope');
const descriptorsLeft = new Trend('descriptors_left');

const figures = new Figures('soak', [
  ...crowdFigures(SOCKETS),
  count(published, `==${BROADCASTS}`, `broadcasts that the server took, ${RATE} a second`),
  paceFigure,
  count(delivered, `==${SOCKETS * BROADCASTS}`, 'deliveries: each broadcast to each client that stays'),
  count(missed, '==0', 'deliveries that were missing, or came behind a later one'),
  count(repeated, '==0', 'deliveries that came a second time'),
  time(latency, 'p(99)', `<${P99_MS}`, 'from before the back end asked to the arrival, 99 of 100 deliveries'),
  count(visits, `>=${Math.floor(VISITS * 0.95)}`, 'others that came, joined and went'),
  time(visitTime, 'p(99)', `<${CONNECT_P99_MS}`, 'from opening a socket to its channel, 99 of 100 of the others'),
  count(leftOver, '==0', 'connections that the server still counts when all have gone'),
  size(memory, 'max', '', 'MiB', 'of memory, at most'),
  size(memorySlope, 'max', `<=${MIB_A_MINUTE}`, 'MiB', 'of memory gained a minute, after warming up'),
  size(descriptorsLeft, 'max', '<=10', '', 'descriptors more than before the run when all have gone'),
]);

export const options = figures.options({
  scenarios: {
    ...scenarios(SOCKETS, SECONDS, 'stay', 'broadcast', 'watch'),
    visitors: {
      executor: 'constant-arrival-rate',
      exec: 'visit',
      rate: CHURN,
      duration: `${SECONDS}s`,
      preAllocatedVUs: 10,
      maxVUs: 50,
      gracefulStop: '5s',
    },
  },
});

/** A channel that no other run uses, and what there was before. */
export function setup() {
  findServer();
  return { channel: `private-load.${Date.now()}`, others: connections(), before: process() };
}

export async function stay({ channel }) {
  const crowd = await gather(SOCKETS, () => follower(new Pusher(), channel));
  await Promise.all(crowd.map(({ end }) => end));
  dismiss(crowd);
}

export function broadcast({ channel }) {
  awaitCrowd(SOCKETS, () => subscriptionCount(channel));
  paced(BROADCASTS, RATE, (n) => publishNumber([channel], n));
  publishEnd([channel], BROADCASTS);
}

export async function visit() {
  const client = new Pusher();
  const began = now();
  const joined = client.subscribe('private-load.visitors').next('subscribed');
  client.connect();
  const answer = await within(10_000, joined);
  client.disconnect();
  if (!answer) return;
  visitTime.add(answer[1] - began);
  visits.add(1);
}

/** Looks once a second, or ten times in a short run. */
export function watch() {
  const looks = Math.max(10, Math.floor(SECONDS));
  const samples = [];
  paced(looks, looks / SECONDS, () => {
    const { mebibytes } = process();
    if (mebibytes === undefined) return;
    memory.add(mebibytes);
    samples.push([now() / 60_000, mebibytes]);
  });
  const warm = samples.slice(Math.floor(samples.length * WARM_UP));
  if (warm.length > 1) memorySlope.add(slope(warm));
}

export function teardown({ others, before }) {
  until(() => connections() <= others, 10);
  leftOver.add(Math.max(0, connections() - others));
  const { descriptors } = process();
  if (descriptors !== undefined) descriptorsLeft.add(descriptors - before.descriptors);
}

export const handleSummary = figures.summary;
