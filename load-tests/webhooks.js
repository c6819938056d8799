// How soon changes reach a webhook: CHANGES product updates at RATE a second over REST, posted by the server to an
// endpoint that this run makes. What became of each delivery is read from the server's own log of attempts.
//
//   k6 run -e RATE=100 load-tests/webhooks.js

import { Counter, Trend } from 'k6/metrics';
import { instant, now } from './lib/clock.js';
import { Figures, count, time } from './lib/figures.js';
import { paceFigure, paced, until } from './lib/pace.js';
import * as rest from './lib/rest.js';
import { makeProduct, removeProduct } from './lib/shop.js';
import { number } from './lib/settings.js';
import { findServer, target } from './lib/target.js';

const CHANGES = number('CHANGES', 1_000);
const RATE = number('RATE', 50);
const P99_MS = number('P99_MS', 100);
/** Within which all must have arrived after the last change. */
const DRAIN_SECONDS = number('DRAIN_SECONDS', 30);

const changed = new Counter('changed');
const delivered = new Counter('delivered');
const retried = new Counter('retried');
const deliveryTime = new Trend('delivery_time', true);
const drainTime = new Trend('drain_time', true);

const figures = new Figures('webhooks', [
  count(changed, `==${CHANGES}`, `product updates that the server took, ${RATE} a second`),
  paceFigure,
  count(delivered, `==${CHANGES}`, 'deliveries that the endpoint accepted: one for each update'),
  count(retried, '==0', 'deliveries that took more than one try'),
  time(deliveryTime, 'p(50)', '', "from the writing of the update to the endpoint's acceptance, half of them"),
  time(deliveryTime, 'p(99)', `<${P99_MS}`, '99 of 100 deliveries'),
  time(deliveryTime, 'max', '', 'the slowest'),
  time(drainTime, 'max', `<${DRAIN_SECONDS * 1_000}`, 'from the last update until no delivery waited any more'),
]);

export const options = figures.options({ scenarios: { shop: { executor: 'shared-iterations', maxDuration: '1h' } } });

export function setup() {
  findServer();
  const endpoint = rest.post('/webhooks', { name: 'k6', url: target.webhookUrl, events: ['product:updated'] }).id;
  findReceiver(endpoint);
  return { product: makeProduct().id, endpoint };
}

/** Ends the run at once when the endpoint does not take a test. */
function findReceiver(endpoint) {
  const path = `/webhooks/${endpoint}/deliveries/${rest.post(`/webhooks/${endpoint}/test`).id}`;
  if (until(() => rest.get(path).status === 'delivered', 5)) return;
  const { error, response_status } = rest.get(path).log[0] ?? {};
  rest.remove(`/webhooks/${endpoint}`);
  const why = error ?? `status ${response_status}`;
  throw new Error(`${target.webhookUrl} takes no webhooks (${why}). Name a receiver in BELLWIRE_WEBHOOK_URL.`);
}

export default function ({ product, endpoint }) {
  paced(CHANGES, RATE, (n) => {
    rest.patch(`/products/${product}`, { price: n + 1 });
    changed.add(1);
  });
  const last = now();
  until(() => rest.get(`/webhooks/${endpoint}/stats?period=hour`).pending === 0, DRAIN_SECONDS);
  drainTime.add(now() - last);
  readLog(endpoint, product);
}

/** Everything that the server says of this product's deliveries. */
function readLog(endpoint, product) {
  for (let path = `/webhooks/${endpoint}/deliveries?per_page=50`; path; ) {
    const page = rest.ask('GET', path);
    const details = rest.data(page).map(({ id }) => `/webhooks/${endpoint}/deliveries/${id}`);
    for (const delivery of rest.askAll(details).map(rest.data)) if (delivery.data.id === product) judge(delivery);
    path = page.json('links.next')?.replace(/^.*\/api\/v1/, '');
  }
}

function judge({ status, created_at, attempts, log }) {
  if (attempts > 1) retried.add(1);
  if (status !== 'delivered') return;
  delivered.add(1);
  deliveryTime.add(instant(log[log.length - 1].delivered_at) - instant(created_at));
}

export function teardown({ product, endpoint }) {
  rest.remove(`/webhooks/${endpoint}`);
  removeProduct(product);
}

export const handleSummary = figures.summary;
