// Many clients in few VUs: each VU has its share, opens them at the common pace and counts what becomes of them.

import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { at, now, within } from './clock.js';
import { count, time } from './figures.js';
import { number } from './settings.js';

/** A VU is a JavaScript engine with one thread; a few of them drive thousands of sockets. */
const VUS = number('VUS', 10);
/** In which connecting, and joining, must be done. */
export const CONNECT_P99_MS = number('CONNECT_P99_MS', 1_000);
/** How long a client is waited for. */
const PATIENCE_MS = 30_000;

const joined = new Counter('joined');
const connectTime = new Trend('connect_time', true);
const joinTime = new Trend('join_time', true);
const lost = new Counter('lost');
const unreached = new Counter('unreached');
const refused = new Counter('refused');

/** The VUs that share so many clients. */
export const vus = (size) => Math.min(VUS, size);

/** A scenario of k6 that runs `exec` once in each VU, all of them together for so many clients. */
export const scenario = (exec, size, seconds) => ({
  executor: 'per-vu-iterations',
  exec,
  vus: vus(size),
  iterations: 1,
  maxDuration: `${Math.ceil(seconds)}s`,
  gracefulStop: '5s',
});

/** What every run with a crowd must show. A connect that fails is tried again; whether one may is `mayFail`. */
export const crowdFigures = (size, { mayFail = false } = {}) => [
  count(joined, `==${size}`, 'clients that connected and were let into their channel'),
  time(connectTime, 'p(99)', `<${CONNECT_P99_MS}`, 'from opening a socket to connection_established, 99 of 100'),
  time(joinTime, 'p(99)', `<${CONNECT_P99_MS}`, 'from there to subscription_succeeded, 99 of 100'),
  count(unreached, mayFail ? '' : '==0', 'connects that failed'),
  count(refused, '==0', 'subscriptions that were refused'),
  count(lost, '==0', 'connections that ended before we ended them'),
];

/** The numbers of this VU's clients among `size`. */
export function share(size) {
  const numbers = [];
  for (let n = exec.scenario.iterationInTest; n < size; n += vus(size)) numbers.push(n);
  return numbers;
}

/**
 * This VU's share of `size` clients, opened as if all were opened by one hand at `perSecond`; `make(n)` gives the n-th:
 * a client and the name of its channel. Resolves to those that have joined, when the others have had their time.
 */
export async function gather(size, perSecond, make) {
  const start = now();
  const crowd = share(size).map(async (n) => {
    await at(start + (n * 1_000) / perSecond);
    const { client, channel } = make(n);
    const member = { n, client, channel: client.subscribe(channel) };
    if (await within(PATIENCE_MS, join(member))) return member;
    client.disconnect();
    return undefined;
  });
  return (await Promise.all(crowd)).filter((member) => member);
}

/** Whether the client was let into its channel. */
function join({ client, channel }) {
  let asked;
  client.bind('connected', (took, came) => {
    connectTime.add(took);
    asked = came;
  });
  client.bind('unreached', () => unreached.add(1));
  client.bind('lost', () => lost.add(1)).bind('failed', () => lost.add(1));
  channel.bind('refused', () => refused.add(1));
  return new Promise((resolve) => {
    channel.next('subscribed').then(([, came]) => {
      joined.add(1);
      joinTime.add(came - asked);
      resolve(true);
    });
    channel.bind('refused', () => resolve(false));
    client.bind('failed', () => resolve(false));
    client.connect();
  });
}

/** Ends all of them. */
export function dismiss(crowd) {
  for (const { client } of crowd) client.disconnect();
}
