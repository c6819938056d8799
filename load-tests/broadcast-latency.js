// How soon a broadcast arrives: a back end publishes BROADCASTS events at RATE a second through the Pusher HTTP API,
// and each of SUBSCRIBERS clients of one private channel says when it got them.
//
//   k6 run -e SUBSCRIBERS=500 load-tests/broadcast-latency.js

import { awaitCrowd, crowdFigures, dismiss, gather, scenarios } from './lib/crowd.js';
import { Figures, count, time } from './lib/figures.js';
import { paceFigure, paced } from './lib/pace.js';
import { subscriptionCount } from './lib/pusher/back-end.js';
import { Pusher } from './lib/pusher/client.js';
import { number } from './lib/settings.js';
import { delivered, follower, latency, missed, publishEnd, publishNumber, published, repeated } from './lib/stream.js';
import { findServer } from './lib/target.js';

const SUBSCRIBERS = number('SUBSCRIBERS', 100);
const BROADCASTS = number('BROADCASTS', 1_000);
const RATE = number('RATE', 50);
const P99_MS = number('P99_MS', 100);

const figures = new Figures('broadcast-latency', [
  ...crowdFigures(SUBSCRIBERS),
  count(published, `==${BROADCASTS}`, `broadcasts that the server took, ${RATE} a second`),
  paceFigure,
  count(delivered, `==${SUBSCRIBERS * BROADCASTS}`, 'deliveries: each broadcast to each subscriber'),
  count(missed, '==0', 'deliveries that were missing, or came behind a later one'),
  count(repeated, '==0', 'deliveries that came a second time'),
  time(latency, 'p(50)', '', 'from before the back end asked to the arrival at a subscriber, half of the deliveries'),
  time(latency, 'p(99)', `<${P99_MS}`, '99 of 100 deliveries'),
  time(latency, 'max', '', 'the slowest'),
]);

export const options = figures.options({
  scenarios: scenarios(SUBSCRIBERS, BROADCASTS / RATE, 'subscribe', 'broadcast'),
});

/** A channel that no other run uses. */
export function setup() {
  findServer();
  return `private-load.${Date.now()}`;
}

export async function subscribe(channel) {
  const crowd = await gather(SUBSCRIBERS, () => follower(new Pusher(), channel));
  await Promise.all(crowd.map(({ end }) => end));
  dismiss(crowd);
}

export function broadcast(channel) {
  awaitCrowd(SUBSCRIBERS, () => subscriptionCount(channel));
  paced(BROADCASTS, RATE, (n) => publishNumber([channel], n));
  publishEnd([channel], BROADCASTS);
}

export const handleSummary = figures.summary;
