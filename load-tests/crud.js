// What REST costs under load, and how soon each change is on the tenant's channel: WORKERS at a time make categories,
// products and orders, read, list, change and delete them for SECONDS, as fast as they are answered.
//
//   k6 run -e WORKERS=20 load-tests/crud.js

import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { now } from './lib/clock.js';
import { crowdFigures, dismiss, gather, scenarios, share } from './lib/crowd.js';
import { Events } from './lib/events.js';
import { Figures, count, time } from './lib/figures.js';
import { byAddress } from './lib/pusher/authorizers.js';
import { Pusher } from './lib/pusher/client.js';
import * as rest from './lib/rest.js';
import { makeProduct, newProduct, removeProduct, code } from './lib/shop.js';
import { number } from './lib/settings.js';
import { findServer, target } from './lib/target.js';

const WORKERS = number('WORKERS', 5);
const SECONDS = number('SECONDS', 30);
const P99_MS = number('P99_MS', 250);
/** Sockets on the tenant's channel, a VU each. Few: all workers in a VU share one, and each gets the events of all. */
const LISTENERS = Math.min(2, WORKERS);
/** An event that has not come after so long is missing. */
const PATIENCE_MS = 5_000;
/** The events that are waited for. */
const EVENTS = [
  'category:created',
  'category:deleted',
  'product:created',
  'product:updated',
  'product:deleted',
  'order:created',
  'order:updated',
];

const answered = new Counter('answered');
const failed = new Counter('failed');
const seen = new Counter('seen');
const unseen = new Counter('unseen');
const readTime = new Trend('read_time', true);
const listTime = new Trend('list_time', true);
const writeTime = new Trend('write_time', true);
const eventTime = new Trend('event_time', true);

const figures = new Figures('crud', [
  ...crowdFigures(LISTENERS),
  count(answered, '>0', `requests that were answered as they should be, by ${WORKERS} workers in ${SECONDS} s`),
  count(failed, '==0', 'requests that were not'),
  time(readTime, 'p(99)', `<${P99_MS}`, 'reading one row, 99 of 100 requests'),
  time(listTime, 'p(99)', `<${P99_MS}`, 'reading a page of a list, 99 of 100 requests'),
  time(writeTime, 'p(50)', '', 'a change, from its request to the answer, half of them'),
  time(writeTime, 'p(99)', `<${P99_MS}`, '99 of 100 changes'),
  count(seen, '>0', "changes whose event came on the tenant's channel"),
  count(unseen, '==0', `changes whose event did not within ${PATIENCE_MS / 1_000} s`),
  time(eventTime, 'p(50)', '', 'from before the request to the event at a subscriber, half of the changes'),
  time(eventTime, 'p(99)', `<${P99_MS}`, '99 of 100 changes'),
]);

export const options = figures.options({ scenarios: scenarios(LISTENERS, SECONDS, 'work') });

/** A product for the orders. */
export function setup() {
  findServer();
  return makeProduct().id;
}

export async function work(product) {
  const crowd = await gather(LISTENERS, (n) => {
    const client = new Pusher({ authorize: byAddress(), token: target.token });
    const channel = client.subscribe(`private-tenant.${target.tenant}`);
    return { client, channel, n, events: new Events(channel, EVENTS, ({ id }) => id) };
  });
  const workers = crowd.flatMap(({ n, events }) => share(WORKERS, n, LISTENERS).map(() => repeat(events, product)));
  await Promise.all(workers);
  dismiss(crowd);
}


async function repeat(events, product) {
  const end = now() + SECONDS * 1_000;
  while (now() < end) {
    const category = await change(events, 'category:created', 'POST', '/categories', { name: `k6 ${code()}` });
    const fresh = { ...newProduct(), category_id: category };
    const made = await change(events, 'product:created', 'POST', '/products', fresh);
    await change(events, 'product:updated', 'PATCH', `/products/${made}`, { price: 200 });
    await read(readTime, `/products/${made}`);
    await read(listTime, '/products?per_page=20&sort=-price');
    await change(events, 'product:deleted', 'DELETE', `/products/${made}`);
    await change(events, 'category:deleted', 'DELETE', `/categories/${category}`);
    const items = [{ product_id: product, quantity: 1 }];
    const order = await change(events, 'order:created', 'POST', '/orders', { items });
    await read(readTime, `/orders/${order}`);
    await change(events, 'order:updated', 'PATCH', `/orders/${order}`, { status: 'cancelled' });
    // Nobody is told of this one.
    await timed(writeTime, rest.askAsync('DELETE', `/orders/${order}`));
  }
}

/** A request, and the event that it must cause; the id of the row. */
async function change(events, event, method, path, body) {
  const sent = now();
  const data = await timed(writeTime, rest.askAsync(method, path, body));
  const id = data?.id ?? Number(path.replace(/^.*\//, ''));
  const came = await events.after(sent, event, id, PATIENCE_MS);
  if (came === undefined) return unseen.add(1), id;
  seen.add(1);
  eventTime.add(came - sent);
  return id;
}

const read = (trend, path) => timed(trend, rest.askAsync('GET', path));

async function timed(trend, request) {
  const answer = await request;
  trend.add(answer.timings.duration);
  try {
    const data = rest.data(answer);
    answered.add(1);
    return data;
  } catch (error) {
    failed.add(1);
    console.error(error.message);
  }
}

export const teardown = removeProduct;

export const handleSummary = figures.summary;
