// What becomes of messages when connections break: stock pusher-js clients under a stream, cut at random.
//
//   cargo build --release && npm ci --prefix tests/clients && node load-tests/replay.mjs
//
// CLIENTS clients (1,000) follow CHANNELS channels (20), on which RATE messages a second (200) are published in
// turn; for SECONDS (60) connections are cut at random, CUTS a second (50), by destroying the TCP socket under
// pusher-js, which notices and reconnects by itself. Each message has the number it is of its channel; every
// client counts what it did not get, got twice, or got out of order. Exits 1 unless all three are 0.

import { existsSync } from 'node:fs';

const release = new URL('../target/release/bellwire', import.meta.url).pathname;
if (!process.env.BELLWIRE_BIN && existsSync(release)) process.env.BELLWIRE_BIN = release;
const { Bellwire } = await import('../tests/clients/support/bellwire.js');
const { withAuthorizer, disconnectAll } = await import('../tests/clients/support/pusher.js');
const { until } = await import('../tests/clients/support/wait.js');
const { createHash, createHmac } = await import('node:crypto');
const { Agent, request } = await import('node:http');

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const [count, channels, rate] = [number('CLIENTS', 1000), number('CHANNELS', 20), number('RATE', 200)];
const [seconds, cutsASecond] = [number('SECONDS', 60), number('CUTS', 50)];

const server = await Bellwire.start();
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const published = Array(channels).fill(0);
const clients = [];
const turns = new Map();
let cuts = 0;
let failed = true;

try {
  const user = server.user(server.tenant(), 'Ana');
  const channelOf = (n) => `private-tenant.${user.tenant}.stream.${n}`;
  const started = performance.now();
  for (let n = 0; n < count; n += 1) {
    clients.push(follow(user, n, channelOf(n % channels)));
    // Not all handshakes at one instant: they would wait for each other longer than pusher-js waits.
    if (n % 50 === 49) await until('subscribed', () => clients.every((client) => client.ready), 60_000);
  }
  await until('subscribed', () => clients.every((client) => client.ready), 60_000);
  console.log(`${count} clients subscribed in ${((performance.now() - started) / 1000).toFixed(1)} s`);

  await Promise.all([stream(channelOf), cutAtRandom()]);
  const behind = () => clients.filter((client) => client.next <= published[client.stream]);
  await until('the last message at every client', () => behind().length === 0, 30_000).catch(() => {});

  const sum = (of) => clients.reduce((total, client) => total + of(client), 0);
  const lost = sum((client) => client.lost + Math.max(0, published[client.stream] + 1 - client.next));
  const total = published.reduce((a, b) => a + b, 0);
  const [twice, disordered, gaps] = [sum((c) => c.twice), sum((c) => c.disordered), sum((c) => c.gaps)];
  console.log(`${total} messages published, ${sum((c) => c.got)} received, ${cuts} connections cut`);
  console.log(`${lost} lost, ${twice} twice, ${disordered} out of order, ${gaps} gaps`);
  failed = lost + twice + disordered + gaps > 0;
} finally {
  disconnectAll();
  agent.destroy();
  await server.end();
}
process.exit(failed ? 1 : 0);

function follow(user, n, name) {
  const client = { stream: n % channels, next: 1, got: 0, lost: 0, twice: 0, disordered: 0, gaps: 0, ready: false };
  // One token for all: `client` is what a page may add to be told apart from others with the same token.
  const channelAuthorization = {
    endpoint: `${server.url}/broadcasting/auth`,
    headers: { Authorization: `Bearer ${user.token}` },
    params: { client: `client-${n}` },
  };
  client.pusher = withAuthorizer(server, user, { channelAuthorization });
  const channel = client.pusher.subscribe(name);
  channel.bind('pusher:subscription_succeeded', () => (client.ready = true));
  channel.bind('bellwire:replay_gap', () => (client.gaps += 1));
  const seen = new Set();
  channel.bind('n', (at) => {
    client.got += 1;
    if (seen.has(at)) client.twice += 1;
    else if (at < client.next) client.disordered += 1;
    else {
      client.lost += at - client.next;
      client.next = at + 1;
    }
    seen.add(at);
  });
  return client;
}

async function stream(channelOf) {
  const start = performance.now();
  const answers = [];
  for (let n = 0; n < rate * seconds; n += 1) {
    const wait = start + (n * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const at = n % channels;
    published[at] += 1;
    answers.push(publish(channelOf(at), published[at]));
  }
  await Promise.all(answers);
}

async function cutAtRandom() {
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    await new Promise((resolve) => setTimeout(resolve, (Math.random() * 2000) / cutsASecond));
    const client = clients[Math.floor(Math.random() * clients.length)];
    const tcp = client.pusher.connection.connection?.transport.socket?._stream;
    if (client.pusher.connection.state !== 'connected' || !tcp) continue;
    tcp.destroy();
    cuts += 1;
  }
}

/** One signed request of the Pusher HTTP API; `n` alone on its channel keeps its order by waiting its turn. */
function publish(channel, n) {
  const before = turns.get(channel) ?? Promise.resolve();
  const turn = before.then(() => trigger(channel, n));
  turns.set(channel, turn);
  return turn;
}

function trigger(channel, n) {
  const body = JSON.stringify({ name: 'n', channels: [channel], data: `${n}` });
  const path = `/apps/${server.app.id}/events`;
  const md5 = createHash('md5').update(body).digest('hex');
  const time = Math.floor(Date.now() / 1000);
  const query = `auth_key=${server.app.key}&auth_timestamp=${time}&auth_version=1.0&body_md5=${md5}`;
  const signature = createHmac('sha256', server.app.secret).update(`POST\n${path}\n${query}`).digest('hex');
  const options = {
    agent,
    host: '127.0.0.1',
    port: server.port,
    method: 'POST',
    path: `${path}?${query}&auth_signature=${signature}`,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  };
  return new Promise((resolve, reject) => {
    const ask = request(options, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`))));
    });
    ask.on('error', reject).end(body);
  });
}
