// What a client missed comes when it is back: unmodified pusher-js and Laravel Echo through a cut connection, a
// laptop that slept, and a server that was restarted. Counted by the clients: none lost, none twice, in order.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import Echo from 'laravel-echo';
import PusherServer from 'pusher';
import Pusher from 'pusher-js';
import { Bellwire } from './support/bellwire.js';
import { Proxy } from './support/proxy.js';
import { disconnectAll, withAuthorizer } from './support/pusher.js';
import { until, within } from './support/wait.js';

let server, proxy, tenant, ana, channelName, backend;
const echoes = [];

before(async () => {
  server = await Bellwire.start();
  const { id: appId, key, secret } = server.app;
  backend = new PusherServer({ appId, key, secret, host: '127.0.0.1', port: `${server.port}`, useTLS: false });
});
beforeEach(async () => {
  proxy = await Proxy.start(server.port);
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
  channelName = `private-tenant.${tenant}`;
});
afterEach(() => {
  disconnectAll();
  echoes.splice(0).forEach((echo) => echo.disconnect());
  proxy.close();
});
after(() => server.end());

// A client that notices a silent connection within a second or two, as a browser does when the network is back.
const impatient = { activityTimeout: 1_000, pongTimeout: 500 };

/** Through the proxy, as `subscribe` and as `connection`; `heard` are the numbers that came, in order. */
const clients = {
  'pusher-js': () => {
    const pusher = withAuthorizer(server, ana, { wsPort: proxy.port, ...impatient });
    const client = { heard: [], gaps: 0, connection: pusher.connection };
    const channel = pusher.subscribe(channelName);
    channel.bind('n', (n) => client.heard.push(n));
    channel.bind('product:created', ({ price }) => client.heard.push(price));
    channel.bind('bellwire:replay_gap', () => (client.gaps += 1));
    client.subscribed = () => channel.subscribed;
    return client;
  },
  'Laravel Echo': () => {
    const echo = new Echo({
      broadcaster: 'reverb',
      Pusher,
      key: server.app.key,
      cluster: '',
      wsHost: '127.0.0.1',
      wsPort: proxy.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      authEndpoint: `${server.url}/broadcasting/auth`,
      bearerToken: ana.token,
      ...impatient,
    });
    echoes.push(echo);
    const client = { heard: [], gaps: 0, connection: echo.connector.pusher.connection };
    const channel = echo.private(`tenant.${tenant}`);
    channel.listen('.n', (n) => client.heard.push(n));
    channel.listen('.product:created', ({ price }) => client.heard.push(price));
    channel.listen('.bellwire:replay_gap', () => (client.gaps += 1));
    client.subscribed = () => channel.subscription.subscribed;
    return client;
  },
};

/** Numbers from the HTTP API, or from rows (prices of new products). */
const publish = async (from, to) => {
  for (let n = from; n < to; n += 1) await backend.trigger(channelName, 'n', n);
};
const create = async (from, to) => {
  for (let price = from; price < to; price += 1) await server.product(ana, { price });
};

const numbers = (to) => Array.from({ length: to }, (_, n) => n);
const heard = (client, count) => until(`${count} heard`, () => client.heard.length >= count, 20_000);

/** Two rounds to the server behind everything that came: its pings are answered and the answers are there. */
async function settled(client) {
  for (let round = 0; round < 2; round += 1) {
    let handler;
    const pong = new Promise((resolve) => {
      handler = ({ event }) => event === 'pusher:pong' && resolve();
      client.connection.bind('message', handler);
    });
    client.connection.send_event('pusher:ping', {});
    await within(5_000, 'a pong', pong);
    client.connection.unbind('message', handler);
  }
}

/** The server has noted where its clients stand. */
const noted = () => until('positions noted', async () => (await server.metrics()).includes('bellwire_channels_unnoted 0\n'));

async function ready(make) {
  const client = make();
  await until('subscribed', client.subscribed);
  return client;
}

/** All the numbers, each once, in order, and nothing behind them. */
async function complete(client, count) {
  await heard(client, count);
  await settled(client);
  assert.deepEqual(client.heard, numbers(count));
  assert.equal(client.gaps, 0);
}

for (const [name, make] of Object.entries(clients)) {
  test(`${name} gets what it missed while its connection was cut`, async () => {
    const client = await ready(make);
    await publish(0, 5);
    await heard(client, 5);
    await settled(client);
    proxy.cut();
    await publish(5, 10);
    await create(10, 15);
    await complete(client, 15);
    await publish(15, 18);
    await complete(client, 18);
  });

  test(`${name} gets what it missed while its laptop slept`, async () => {
    const client = await ready(make);
    await create(0, 5);
    await heard(client, 5);
    await settled(client);
    proxy.sleep();
    await publish(5, 10);
    await create(10, 15);
    await complete(client, 15);
  });

  test(`${name} gets what it missed while the server was restarted`, async () => {
    const client = await ready(make);
    await create(0, 5);
    await heard(client, 5);
    await settled(client);
    const { port } = server;
    await server.stop();
    await server.launch(port);
    await create(5, 10);
    await complete(client, 10);
  });

  test(`${name} gets what it missed after the server was killed`, async () => {
    const client = await ready(make);
    await create(0, 5);
    await heard(client, 5);
    await settled(client);
    await noted();
    const { port } = server;
    await server.kill();
    await server.launch(port);
    await create(5, 10);
    await complete(client, 10);
  });

  // What was confirmed in its last quarter of a second a killed server has not noted: that may come twice.
  test(`${name} loses nothing when the server is killed in the midst of it`, async () => {
    const client = await ready(make);
    await noted();
    await create(0, 5);
    const { port } = server;
    await server.kill();
    await server.launch(port);
    await create(5, 10);
    await until('the last', () => client.heard.includes(9), 20_000);
    assert.deepEqual([...new Set(client.heard)], numbers(10));
    assert.equal(client.gaps, 0);
  });
}
