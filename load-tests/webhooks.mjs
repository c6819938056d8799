// Outgoing webhooks: how many a second, how soon, and what bad endpoints do to good ones.
//
//   cargo build --release && node load-tests/webhooks.mjs [throughput] [latency] [bad-neighbours]
//
// The receiver is another process, connections are kept alive, every delivery is signed and each attempt written
// down. On SQLite and on a PostgreSQL of its own. BELLWIRE names another program. Exits with 1 when a bar is missed.

import { Shop } from './webhooks/shop.mjs';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const now = () => Number(process.hrtime.bigint() / 1_000n);
let missed = false;

function report(line, isGood) {
  missed ||= !isGood;
  console.log(`${isGood ? 'ok  ' : 'FAIL'} ${line}`);
}

/** Deliveries that wait are sent as fast as they go, to endpoints of which `dead` hang: from the first that comes to the last. */
async function throughput(database, endpoints, dead, waiting) {
  const shop = await Shop.open(database);
  try {
    for (let n = 0; n < endpoints; n += 1) shop.endpoint(n < dead ? `/hang/${n}` : `/good/${n}`);
    shop.seed(waiting / endpoints);
    const deliveries = (waiting / endpoints) * (endpoints - dead);
    await shop.serve();
    const times = [];
    while (times.length < deliveries) {
      await sleep(200);
      for (const [, , at] of await shop.deliveries()) times.push(at);
    }
    const rate = (deliveries / (times.at(-1) - times[0])) * 1e6;
    while ((await shop.attempts('ok')) < deliveries) await sleep(50);
    const bad = times.length - deliveries;
    report(
      `${database}, ${endpoints} endpoint${endpoints > 1 ? 's' : ''}, ${dead} dead: ${deliveries} deliveries, ${rate.toFixed(0)} a second, ` +
        `${bad} twice, ${shop.rss().toFixed(0)} MB`,
      rate >= 2_500 && bad === 0,
    );
  } finally {
    await shop.close();
  }
}

/** Updates at `rate` a second for `seconds`; from just before each request to its delivery at each good endpoint. */
async function measure(shop, product, rate, seconds) {
  await shop.deliveries();
  const [sent, requests] = [new Map(), []];
  const start = performance.now();
  for (let n = 1; n <= rate * seconds; n += 1) {
    const wait = start + (n * 1_000) / rate - performance.now();
    if (wait > 0) await sleep(wait);
    const mark = 1_000_000 + Math.floor(Math.random() * 8_000_000);
    sent.set(mark, now());
    requests.push(shop.rest('PATCH', `/products/${product}`, { name: `mark-${mark}` }));
  }
  await Promise.all(requests);
  await sleep(1_000);
  const times = (await shop.deliveries()).filter(([, mark]) => sent.has(mark)).map(([, mark, at]) => (at - sent.get(mark)) / 1_000);
  times.sort((a, b) => a - b);
  return { count: times.length, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

const newProduct = async (shop) =>
  (await shop.rest('POST', '/products', { name: 'Tea', sku: 'TEA', price: 100, stock: 1 })).data.id;

/** Updates at `rate` a second to endpoints of which `dead` hang. */
async function latency(database, endpoints, dead, rate) {
  const shop = await Shop.open(database);
  try {
    for (let n = 0; n < endpoints; n += 1) shop.endpoint(n < dead ? `/hang/${n}` : `/good/${n}`);
    await shop.serve();
    const product = await newProduct(shop);
    await measure(shop, product, rate, 2);
    const { count, p50, p99 } = await measure(shop, product, rate, 20);
    const [good, expected] = [endpoints - dead, rate * 20 * (endpoints - dead)];
    report(
      `${database}, ${rate} a second to ${good} good and ${dead} dead: request to receiver p50 ${p50.toFixed(2)} ms, ` +
        `p99 ${p99.toFixed(2)} ms, ${expected - count} missing`,
      count === expected && (dead > 0 || (p50 <= 3 && p99 <= 9)),
    );
  } finally {
    await shop.close();
  }
}

/** 80 endpoints that answer, with and without 10 that hang and 10 that answer 500, in turns. */
async function badNeighbours(database) {
  const run = async (bad) => {
    const shop = await Shop.open(database);
    try {
      for (let n = 0; n < 80; n += 1) shop.endpoint(`/good/${n}`);
      for (let n = 0; n < bad; n += 1) {
        shop.endpoint(`/hang/${n}`);
        shop.endpoint(`/bad/${n}`);
      }
      await shop.serve();
      const product = await newProduct(shop);
      return await measure(shop, product, 10, 10);
    } finally {
      await shop.close();
    }
  };
  const pairs = [];
  for (let round = 0; round < 3; round += 1) pairs.push([await run(0), await run(10)]);
  const ratio = (of) => pairs.map(([alone, among]) => of(among) / of(alone)).sort((a, b) => a - b)[1];
  const [p99, count] = [ratio((run) => run.p99), ratio((run) => run.count)];
  const each = pairs.map((pair) => pair.map((run) => run.p99.toFixed(1)).join(' → ')).join(', ');
  report(
    `${database}, 80 good among 10 that hang and 10 that answer 500: p99 ${p99.toFixed(2)} × (median of ${each} ms), ` +
      `deliveries ${count.toFixed(2)} × (${pairs[0][1].count} of 8,000)`,
    p99 <= 1.2 && count >= 0.8,
  );
}

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
for (const database of (process.env.DATABASES ?? 'sqlite,postgres').split(',')) {
  if (isWanted('throughput')) for (const [endpoints, dead] of [[1, 0], [100, 0], [100, 1], [100, 10]]) await throughput(database, endpoints, dead, 30_000);
  if (isWanted('latency')) for (const [endpoints, dead, rate] of [[1, 0, 100], [100, 1, 10], [10, 1, 100]]) await latency(database, endpoints, dead, rate);
  if (isWanted('bad-neighbours')) await badNeighbours(database);
}
process.exitCode = missed ? 1 : 0;
