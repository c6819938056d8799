// Pusher webhooks, read and verified by pusher, the server SDK for Node, unmodified.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { anonymous, disconnectAll, withAuthorizer } from './support/pusher.js';
import { next, until } from './support/wait.js';

let server, tenant, ana, backend;
const events = [];

// The back end's receiver: what does not verify fails the test run.
const receiver = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const asked = { headers: request.headers, rawBody: Buffer.concat(parts).toString() };
    const webhook = backend.webhook(asked);
    assert.ok(webhook.isValid());
    assert.ok(Math.abs(webhook.getTime() - Date.now()) < 60_000);
    const impostor = new Backend({ appId: '1', key: server.app.key, secret: 'another' });
    assert.ok(!impostor.webhook(asked).isValid());
    events.push(...webhook.getEvents());
    response.end();
  });
});

before(async () => {
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${receiver.address().port}/pusher`;
  server = await Bellwire.start(
    `client_events = true\nsubscription_count = true\nwebhooks = [{ url = ${JSON.stringify(url)} }]`,
  );
  const { id: appId, key, secret } = server.app;
  backend = new Backend({ appId, key, secret, host: '127.0.0.1', port: server.port, useTLS: false });
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
});
afterEach(disconnectAll);
after(async () => {
  await server.end();
  receiver.closeAllConnections();
  receiver.close();
});

/** The events of a channel, without those that tell how many subscribers it has. */
function on(channel) {
  return events.filter((event) => event.channel === channel && event.name !== 'subscription_count');
}

async function joined(pusher, name) {
  const channel = pusher.subscribe(name);
  await next(channel, 'pusher:subscription_succeeded');
  return channel;
}

test('a channel is occupied, and vacated only when nobody came back for a while', async () => {
  const pusher = anonymous(server);
  await joined(pusher, 'room');
  await until('occupied', () => on('room').length === 1);
  pusher.unsubscribe('room');
  await joined(pusher, 'room');
  pusher.unsubscribe('room');
  await until('vacated', () => on('room').length === 2, 10_000);
  assert.deepEqual(on('room'), [
    { name: 'channel_occupied', channel: 'room' },
    { name: 'channel_vacated', channel: 'room' },
  ]);
});

test('a member is added with the first socket and removed with the last', async () => {
  const name = `presence-tenant.${tenant}`;
  const [first, second] = [withAuthorizer(server, ana), withAuthorizer(server, ana)];
  await joined(first, name);
  await joined(second, name);
  first.disconnect();
  second.disconnect();
  await until('vacated', () => on(name).length === 4, 10_000);
  const told = on(name).map(({ name, user_id }) => [name, user_id]);
  assert.deepEqual(told.slice(0, 2).sort(), [['channel_occupied', undefined], ['member_added', `${ana.id}`]]);
  assert.deepEqual(told.slice(2).sort(), [['channel_vacated', undefined], ['member_removed', `${ana.id}`]]);
});

test('a client event comes with its data as a string, its socket and, on a presence channel, its user', async () => {
  const pusher = withAuthorizer(server, ana);
  const [inner, presence] = [`private-tenant.${tenant}`, `presence-tenant.${tenant}`];
  (await joined(pusher, inner)).trigger('client-typing', { on: true });
  (await joined(pusher, presence)).trigger('client-typing', 'a "word"');
  const told = (channel) => on(channel).find(({ name }) => name === 'client_event');
  await until('both client events', () => told(inner) && told(presence));
  const event = { name: 'client_event', event: 'client-typing', socket_id: pusher.connection.socket_id };
  assert.deepEqual(told(inner), { ...event, channel: inner, data: '{"on":true}' });
  assert.deepEqual(told(presence), { ...event, channel: presence, data: 'a "word"', user_id: `${ana.id}` });
});

test('a cache channel that has nothing to give is told of', async () => {
  await joined(anonymous(server), 'cache-news');
  await until('cache_miss', () => on('cache-news').some(({ name }) => name === 'cache_miss'));
  assert.deepEqual(on('cache-news').find(({ name }) => name === 'cache_miss'), {
    name: 'cache_miss',
    channel: 'cache-news',
  });
});

test('the number of subscribers is told when it changes', async () => {
  const counts = () => events.filter(({ name, channel }) => name === 'subscription_count' && channel === 'counted');
  await joined(anonymous(server), 'counted');
  await until('the first', () => counts().length === 1);
  await joined(anonymous(server), 'counted');
  await until('the second', () => counts().length === 2);
  assert.deepEqual(counts().map(({ subscription_count: count }) => count), [1, 2]);
});
