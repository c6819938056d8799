// How long a product update takes from the REST request to a stock pusher-js client.
//
//   cargo build --release && npm ci --prefix tests/clients && node load-tests/rest-to-socket.mjs
//
// Starts a server of its own (SQLite in a temporary folder, or DATABASE_URL) and makes UPDATES updates at RATE
// a second. Time runs from just before the request is sent to the event in the client, on one machine.

import { existsSync } from 'node:fs';

const release = new URL('../target/release/bellwire', import.meta.url).pathname;
if (!process.env.BELLWIRE_BIN && existsSync(release)) process.env.BELLWIRE_BIN = release;
const { Bellwire } = await import('../tests/clients/support/bellwire.js');
const { withAuthorizer, disconnectAll } = await import('../tests/clients/support/pusher.js');
const { next, within } = await import('../tests/clients/support/wait.js');

const updates = Number(process.env.UPDATES ?? 1000);
const rate = Number(process.env.RATE ?? 100);

const server = await Bellwire.start();
try {
  const user = server.user(server.tenant(), 'Ana');
  const product = await server.product(user);
  const channel = withAuthorizer(server, user).subscribe(`private-tenant.${user.tenant}`);
  await next(channel, 'pusher:subscription_succeeded');

  const [sent, took, answered] = [new Map(), [], []];
  const all = new Promise((resolve) => {
    channel.bind('product:updated', ({ price }) => {
      took.push(performance.now() - sent.get(price));
      if (took.length === updates) resolve();
    });
  });
  const start = performance.now();
  const requests = [];
  for (let price = 1; price <= updates; price += 1) {
    const wait = start + (price * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const at = performance.now();
    sent.set(price, at);
    const answer = server.rest(user, 'PATCH', `/products/${product.id}`, { price });
    requests.push(answer.then(() => answered.push(performance.now() - at)));
  }
  await within(60_000, `${updates} events`, all);
  await Promise.all(requests);

  const program = process.env.BELLWIRE_BIN ? 'release build' : 'debug build';
  const database = process.env.DATABASE_URL ? 'DATABASE_URL' : 'SQLite';
  console.log(`${updates} updates at ${rate} a second, ${database}, ${program} (milliseconds)`);
  row('', 'p50', 'p90', 'p99', 'max');
  for (const [name, times] of [['REST → pusher-js', took], ['REST → answer', answered]]) {
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(2);
    row(name, at(0.5), at(0.9), at(0.99), at(1));
  }
} finally {
  disconnectAll();
  await server.end();
}

function row(name, ...cells) {
  console.log(name.padEnd(20) + cells.map((cell) => cell.padStart(9)).join(''));
}
