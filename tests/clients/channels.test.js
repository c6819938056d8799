// pusher-js, unmodified, on what a channel is beside its messages: members that break off and are back, the last
// event of cache channels, and the count of subscribers.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { Proxy } from './support/proxy.js';
import { anonymous, disconnectAll } from './support/pusher.js';
import { Inbox, until } from './support/wait.js';

let server, backend, proxy;

before(async () => {
  server = await Bellwire.start('subscription_count = true');
  const { id: appId, key, secret } = server.app;
  backend = new Backend({ appId, key, secret, host: '127.0.0.1', port: server.port, useTLS: false });
  proxy = await Proxy.start(server.port);
});
afterEach(disconnectAll);
after(async () => {
  proxy.close();
  await server.end();
});

/** A client that its back end signs in as this member; `port` is the proxy's for one that is to be cut. */
function client(id, port = server.port) {
  const customHandler = ({ socketId, channelName }, callback) => {
    const member = channelName.startsWith('presence-') ? { user_id: id, user_info: { name: id } } : undefined;
    callback(null, backend.authorizeChannel(socketId, channelName, member));
  };
  return anonymous({ ...server, app: server.app, port }, { channelAuthorization: { customHandler } });
}

/** Everything that a channel emits, as [event, data], from its subscription on. */
function listen(pusher, name) {
  const inbox = new Inbox();
  const channel = pusher.subscribe(name);
  channel.bind_global((event, data) => inbox.push([event, data]));
  return { channel, inbox };
}

async function subscribed(pusher, name) {
  const { channel, inbox } = listen(pusher, name);
  assert.equal((await inbox.take())[0], 'pusher:subscription_succeeded');
  return { channel, inbox };
}

test('a member whose connection is cut and who is back is no news to the others', async () => {
  const watcher = await subscribed(client('watcher'), 'presence-room');
  const ana = client('ana', proxy.port);
  const room = await subscribed(ana, 'presence-room');
  assert.deepEqual(await watcher.inbox.take(), ['pusher:member_added', { id: 'ana', info: { name: 'ana' } }]);

  const first = ana.connection.socket_id;
  proxy.cut();
  assert.equal((await room.inbox.take('back', 10_000))[0], 'pusher:subscription_succeeded');
  assert.notEqual(ana.connection.socket_id, first);
  assert.deepEqual(Object.keys(room.channel.members.members).sort(), ['ana', 'watcher']);
  assert.equal(watcher.channel.members.count, 2);

  ana.unsubscribe('presence-room');
  // Had she been told gone and come in between, that would stand before.
  assert.equal((await watcher.inbox.take())[0], 'pusher:member_removed');
  assert.equal(watcher.channel.members.count, 1);
});

test('a member who disconnects is gone', async () => {
  const watcher = await subscribed(client('watcher'), 'presence-room');
  const ana = client('ana');
  await subscribed(ana, 'presence-room');
  assert.equal((await watcher.inbox.take())[0], 'pusher:member_added');
  ana.disconnect();
  assert.deepEqual(await watcher.inbox.take('gone', 2_000), [
    'pusher:member_removed',
    { id: 'ana', info: { name: 'ana' } },
  ]);
});

for (const name of ['cache-news', 'private-cache-news', 'presence-cache-news']) {
  const counts = !name.startsWith('presence-');

  test(`a cache channel gives its last event to who comes later, or a miss: ${name}`, async () => {
    const first = await subscribed(client('ana'), name);
    assert.deepEqual(await first.inbox.take(), ['pusher:cache_miss', {}]);
    if (counts) assert.deepEqual(await first.inbox.take(), ['pusher:subscription_count', { subscription_count: 1 }]);
    await backend.trigger(name, 'rate', { eur: 1.08 });
    assert.deepEqual(await first.inbox.take(), ['rate', { eur: 1.08 }]);

    const later = await subscribed(client('ben'), name);
    assert.deepEqual(await later.inbox.take(), ['rate', { eur: 1.08 }]);
    if (counts) assert.deepEqual(await later.inbox.take(), ['pusher:subscription_count', { subscription_count: 2 }]);
    await backend.trigger(name, 'rate', { eur: 1.09 });
    assert.deepEqual(await later.inbox.take(), ['rate', { eur: 1.09 }]);
  });
}

test('pusher-js knows how many subscribers there are', async () => {
  const one = await subscribed(client('ana'), 'counted');
  await until('one is counted', () => one.channel.subscriptionCount === 1);
  const pusher = client('ben');
  await subscribed(pusher, 'counted');
  await until('two are counted', () => one.channel.subscriptionCount === 2);
  pusher.disconnect();
  await until('one is left', () => one.channel.subscriptionCount === 1);
});
