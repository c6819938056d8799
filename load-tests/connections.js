// How many sockets the server holds: SOCKETS connect at RAMP a second, join a private channel each, stay for HOLD
// seconds, and must then all be there still and answer.
//
//   k6 run -e SOCKETS=5000 load-tests/connections.js

import { Counter, Trend } from 'k6/metrics';
import { after, within } from './lib/clock.js';
import { crowdFigures, dismiss, gather, scenarios } from './lib/crowd.js';
import { Figures, count, time } from './lib/figures.js';
import { Pusher } from './lib/pusher/client.js';
import { number } from './lib/settings.js';
import { findServer as setup } from './lib/target.js';

const SOCKETS = number('SOCKETS', 1_000);
const HOLD = number('HOLD', 30);
const P99_MS = number('P99_MS', 1_000);

const answered = new Counter('answered');
const answerTime = new Trend('answer_time', true);

const figures = new Figures('connections', [
  ...crowdFigures(SOCKETS),
  count(answered, `==${SOCKETS}`, `clients that answered a ping after ${HOLD} s of holding`),
  time(answerTime, 'p(99)', `<${P99_MS}`, 'from that ping, sent to all at once, to its pong, 99 of 100 clients'),
]);

export const options = figures.options({ scenarios: scenarios(SOCKETS, HOLD, 'hold') });

export { setup };

export async function hold() {
  const crowd = await gather(SOCKETS, (n) => {
    const client = new Pusher();
    return { client, channel: client.subscribe(`private-load.${n}`) };
  });
  await after(HOLD * 1_000);
  await Promise.all(crowd.map(({ client }) => within(10_000, answer(client))));
  dismiss(crowd);
}

async function answer(client) {
  answerTime.add(await client.ping());
  answered.add(1);
}

export const handleSummary = figures.summary;
