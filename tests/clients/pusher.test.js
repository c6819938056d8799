// pusher, the server SDK for Node, unmodified: a back end publishes over the HTTP API.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { anonymous, disconnectAll, withAuthorizer } from './support/pusher.js';
import { Inbox, next } from './support/wait.js';

let server, tenant, ana;

before(async () => {
  server = await Bellwire.start();
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
});
afterEach(disconnectAll);
after(() => server.end());

function backend(changes = {}) {
  const { id: appId, key, secret } = server.app;
  return new Backend({ appId, key, secret, host: '127.0.0.1', port: server.port, useTLS: false, ...changes });
}

async function listen(pusher, name, event) {
  const [channel, inbox] = [pusher.subscribe(name), new Inbox()];
  await next(channel, 'pusher:subscription_succeeded');
  channel.bind(event, inbox.push);
  return inbox;
}

test('a triggered event reaches the subscribers of its channels', async () => {
  const news = await listen(anonymous(server), 'news', 'App\\Events\\Published');
  const inner = await listen(withAuthorizer(server, ana), `private-tenant.${tenant}`, 'App\\Events\\Published');
  const data = { title: 'Größe "M"', lines: ['a', 'b\n'] };
  const response = await backend().trigger(['news', `private-tenant.${tenant}`], 'App\\Events\\Published', data);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {});
  assert.deepEqual(await news.take(), data);
  assert.deepEqual(await inner.take(), data);
});

test('the socket that is named does not get the event', async () => {
  const [mine, others] = [anonymous(server), anonymous(server)];
  const [left, told] = [await listen(mine, 'news', 'x'), await listen(others, 'news', 'x')];
  await backend().trigger('news', 'x', { turn: 1 }, { socket_id: mine.connection.socket_id });
  await backend().trigger('news', 'x', { turn: 2 });
  assert.deepEqual([await told.take(), await told.take()], [{ turn: 1 }, { turn: 2 }]);
  assert.deepEqual(await left.take(), { turn: 2 });
});

test('a wrong secret, key or app is refused', async () => {
  for (const wrong of [{ secret: 'x' }, { key: 'x' }, { appId: '9' }]) {
    await assert.rejects(backend(wrong).trigger('news', 'x', {}), (error) => [401, 403, 404].includes(error.status));
  }
});

test('a message that is too large is refused and the next goes through', async () => {
  const inbox = await listen(anonymous(server), 'news', 'x');
  const large = { text: 'x'.repeat(2_000_000) };
  await assert.rejects(backend().trigger('news', 'x', large), (error) => error.status === 413);
  await backend().trigger('news', 'x', { turn: 3 });
  assert.deepEqual(await inbox.take(), { turn: 3 });
});
