// What a crash of the network costs: SOCKETS clients lose their connections in one instant, STORMS times, and come back
// as pusher-js does while RATE broadcasts a second go on. Each must be back within BACK_WITHIN seconds and have missed
// nothing: what was published meanwhile is replayed.
//
//   k6 run -e SOCKETS=5000 load-tests/reconnect-storm.js

import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { at, now } from './lib/clock.js';
import { awaitCrowd, crowdFigures, dismiss, gather, scenarios } from './lib/crowd.js';
import { Figures, count, time } from './lib/figures.js';
import { paced } from './lib/pace.js';
import { bySecret } from './lib/pusher/authorizers.js';
import { publish, userCount } from './lib/pusher/back-end.js';
import { Pusher } from './lib/pusher/client.js';
import { number } from './lib/settings.js';
import { delivered, followed, follower, missed, publishEnd, publishNumber, repeated } from './lib/stream.js';
import { findServer, target } from './lib/target.js';

const SOCKETS = number('SOCKETS', 1_000);
const STORMS = number('STORMS', 2);
const RATE = number('RATE', 4);
const BACK_WITHIN = number('BACK_WITHIN', 15);
/** How long the broadcasts go on after each storm. */
const SECONDS = number('SECONDS', BACK_WITHIN);
/** Members of a channel: fewer than a presence channel may have, by whose members the server knows who is back. */
const GROUP = 10;
/** How long after the call for a storm it breaks. Nothing is published until then: k6 drops what comes as it closes. */
const NOTICE_MS = 1_000;
/** pusher-js tries again so long after its connection broke. */
const RETRY_MS = 1_000;
const STORM = 'load:storm';

const back = new Counter('back');
const backTime = new Trend('back_time', true);
const gaps = new Counter('gaps');

const figures = new Figures('reconnect-storm', [
  ...crowdFigures(SOCKETS, { mayFail: true, p99: BACK_WITHIN * 1_000 }),
  count(back, `==${SOCKETS * STORMS}`, `comebacks: each client after each of ${STORMS} storms`),
  time(backTime, 'p(50)', '', `from the break to the channel regained, half; pusher-js waits ${RETRY_MS} ms of it`),
  time(backTime, 'max', `<${BACK_WITHIN * 1_000}`, 'the last client'),
  count(followed, `==${SOCKETS}`, 'clients that were there at the end of the stream of broadcasts'),
  count(delivered, '>0', 'broadcasts that they received, live or replayed'),
  count(missed, '==0', 'broadcasts that a client did not get, or got behind a later one'),
  count(gaps, '==0', 'times that the server could not replay everything, and said so'),
  count(repeated, '', 'broadcasts that came again, as their receipt was not confirmed when the connection broke'),
]);

export const options = figures.options({
  scenarios: scenarios(SOCKETS, STORMS * (SECONDS + NOTICE_MS / 1_000) + BACK_WITHIN, 'suffer', 'storm'),
});

/** The channels' prefix, which no other run uses. */
export function setup() {
  findServer();
  return `presence-load.${Date.now()}`;
}

export async function suffer(prefix) {
  const crowd = await gather(SOCKETS, (n) => {
    const client = new Pusher({ authorize: bySecret(target.app, { user_id: `${n}` }) });
    const member = follower(client, `${prefix}.${Math.floor(n / GROUP)}`);
    member.channel.bind(STORM, ({ when }) => breakAt(when, member)).bind('gap', () => gaps.add(1));
    return member;
  });
  await Promise.all(crowd.map(({ end }) => end));
  dismiss(crowd);
}

async function breakAt(when, { client, channel }) {
  await at(when);
  const broke = now();
  client.drop(RETRY_MS);
  const [, came] = await channel.next('subscribed');
  backTime.add(came - broke);
  back.add(1);
}

export function storm(prefix) {
  const channels = Array.from({ length: Math.ceil(SOCKETS / GROUP) }, (_, n) => `${prefix}.${n}`);
  awaitCrowd(SOCKETS, () => userCount(`${prefix}.`));
  let n = 0;
  const stream = () => paced(SECONDS * RATE, RATE, () => publishNumber(channels, n++));
  for (let storms = 0; storms < STORMS; storms += 1) {
    publish(channels, STORM, { when: now() + NOTICE_MS });
    sleep((NOTICE_MS + RETRY_MS / 10) / 1_000);
    stream();
  }
  publishEnd(channels, n);
}

export const handleSummary = figures.summary;
