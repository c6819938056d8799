// What a crash of the network costs: SOCKETS clients lose their connections in one instant, STORMS times, and come back
// as pusher-js does while RATE broadcasts a second go on. Each must be back within BACK_WITHIN seconds and have missed
// nothing: what was published meanwhile is replayed.
//
//   k6 run -e SOCKETS=5000 load-tests/reconnect-storm.js

import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { at, now } from './lib/clock.js';
import { crowdFigures, dismiss, gather, scenario } from './lib/crowd.js';
import { Figures, count, time } from './lib/figures.js';
import { paced, until } from './lib/pace.js';
import { bySecret } from './lib/pusher/authorizers.js';
import { publish } from './lib/pusher/back-end.js';
import { Pusher } from './lib/pusher/client.js';
import { number } from './lib/settings.js';
import { delivered, follow, followed, missed, publishEnd, publishNumber, repeated } from './lib/stream.js';
import { connections, findServer, target } from './lib/target.js';

const SOCKETS = number('SOCKETS', 1_000);
const STORMS = number('STORMS', 2);
const RATE = number('RATE', 4);
const BACK_WITHIN = number('BACK_WITHIN', 15);
/** How long the broadcasts go on after each storm. */
const SECONDS = number('SECONDS', BACK_WITHIN);
/** Sockets that connect a second before the first storm. */
const RAMP = 250;
/** Members of a channel: fewer than a presence channel may have, by whose members the server knows who is back. */
const GROUP = 10;
/** How long after the call for a storm it breaks. Nothing is published until then: k6 drops what comes as it closes. */
const NOTICE_MS = 1_000;
/** pusher-js tries again so long after its connection broke. */
const RETRY_MS = 1_000;
const STORM = 'load:storm';

const MOST_SECONDS = SOCKETS / RAMP + STORMS * (SECONDS + NOTICE_MS / 1_000) + BACK_WITHIN + 60;

const back = new Counter('back');
const backTime = new Trend('back_time', true);
const gaps = new Counter('gaps');

const figures = new Figures('reconnect-storm', [
  ...crowdFigures(SOCKETS, { mayFail: true }),
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
  scenarios: { clients: scenario('suffer', SOCKETS, MOST_SECONDS), publisher: scenario('storm', 1, MOST_SECONDS) },
});

/** The channels' prefix, which no other run uses, and the connections of others. */
export function setup() {
  findServer();
  return { prefix: `presence-load.${Date.now()}`, others: connections() };
}

export async function suffer({ prefix }) {
  const crowd = await gather(SOCKETS, RAMP, (n) => ({
    client: new Pusher({ authorize: bySecret(target.app, { user_id: `${n}` }) }),
    channel: `${prefix}.${Math.floor(n / GROUP)}`,
  }));
  for (const { client, channel } of crowd) {
    channel.bind(STORM, ({ when }) => breakAt(when, client, channel));
    channel.bind('gap', () => gaps.add(1));
  }
  await Promise.all(crowd.map(({ channel }) => follow(channel)));
  dismiss(crowd);
}

async function breakAt(when, client, channel) {
  await at(when);
  const broke = now();
  client.drop(RETRY_MS);
  const [, came] = await channel.next('subscribed');
  backTime.add(came - broke);
  back.add(1);
}

export function storm({ prefix, others }) {
  const channels = Array.from({ length: Math.ceil(SOCKETS / GROUP) }, (_, n) => `${prefix}.${n}`);
  until(() => connections() >= others + SOCKETS, 30);
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
