// Many clients in few VUs: each VU has its share, opens them at the common pace and counts what becomes of them.

import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { at, now, within } from './clock.js';
import { count, time } from './figures.js';
import { until } from './pace.js';
import { number } from './settings.js';

/** A VU is a JavaScript engine with one thread; a few of them drive thousands of sockets. */
const VUS = number('VUS', 10);
/** In which connecting, and joining, must be done. */
export const CONNECT_P99_MS = number('CONNECT_P99_MS', 1_000);
/** Clients that connect a second. */
const RAMP = number('RAMP', 250);
/** How long a client is waited for. */
const PATIENCE_SECONDS = 30;

const joined = new Counter('joined');
const connectTime = new Trend('connect_time', true);
const joinTime = new Trend('join_time', true);
const lost = new Counter('lost');
const overlooked = new Counter('overlooked');
const unreached = new Counter('unreached');
const refused = new Counter('refused');

/** The VUs that share so many clients. */
const vus = (size) => Math.min(VUS, size);

/** Seconds in which so many clients are there, or never. */
const gatherSeconds = (size) => size / RAMP + PATIENCE_SECONDS;

/**
 * k6's scenarios, one for each function: the first runs once in each VU, all of them together for `size` clients, the
 * others in a VU of their own. They may take so many seconds once the clients are there.
 */
export function scenarios(size, seconds, exec, ...others) {
  const once = (name, count) => ({
    executor: 'per-vu-iterations',
    exec: name,
    vus: count,
    iterations: 1,
    maxDuration: `${Math.ceil(gatherSeconds(size) + seconds + PATIENCE_SECONDS)}s`,
    gracefulStop: '5s',
  });
  const beside = others.map((name) => [name, once(name, 1)]);
  return { [exec]: once(exec, vus(size)), ...Object.fromEntries(beside) };
}

/** Waits until the server counts `size` clients; `ask` is how many it counts. For the functions beside the crowd. */
export const awaitCrowd = (size, ask) => until(() => ask() >= size, gatherSeconds(size));

/** What every run with a crowd must show. A connect that fails is tried again; whether one may is `mayFail`. */
export const crowdFigures = (size, { mayFail = false, p99 = CONNECT_P99_MS } = {}) => [
  count(joined, `==${size}`, 'clients that connected and were let into their channel'),
  time(connectTime, 'p(99)', `<${p99}`, 'from opening a socket to connection_established, 99 of 100'),
  time(joinTime, 'p(99)', `<${p99}`, 'from there to subscription_succeeded, 99 of 100'),
  // More than the odd one would be the server's doing.
  count(overlooked, `<=${1 + Math.floor(size / 20)}`, 'welcomes that k6 lost by a race of its own, so that a client came anew'),
  count(unreached, mayFail ? '' : '==0', 'connects that failed'),
  count(refused, '==0', 'subscriptions that were refused'),
  count(lost, '==0', 'connections that ended before we ended them'),
];

/** Those of the numbers below `size` that fall to the n-th of so many that share them. */
export function share(size, n, among) {
  const numbers = [];
  for (let each = n; each < size; each += among) numbers.push(each);
  return numbers;
}

/**
 * This VU's share of `size` clients, opened as if all were opened by one hand; `make(n)` gives the n-th: `client`,
 * `channel` and what else it likes. Resolves to those that have joined, when the others have had their time.
 */
export async function gather(size, make) {
  const start = now();
  const mine = share(size, exec.scenario.iterationInTest, vus(size));
  const crowd = mine.map(async (n) => {
    await at(start + (n * 1_000) / RAMP);
    const member = make(n);
    if (await within(PATIENCE_SECONDS * 1_000, join(member))) return member;
    member.client.disconnect();
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
  client.bind('overlooked', () => overlooked.add(1));
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
