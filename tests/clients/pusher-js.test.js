// pusher-js, unmodified: connect, private and presence channels, events after a REST change, reconnect.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { anonymous, disconnectAll, withAuthorizer, withToken } from './support/pusher.js';
import { Inbox, next, until, within } from './support/wait.js';

let server, tenant, ana, ben;

before(async () => {
  server = await Bellwire.start();
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
  ben = server.user(tenant, 'Ben');
});
afterEach(disconnectAll);
after(() => server.end());

function subscribed(pusher, name) {
  const channel = pusher.subscribe(name);
  const answer = new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', () => resolve(channel));
    channel.bind('pusher:subscription_error', (error) => reject(new Error(JSON.stringify(error))));
  });
  return within(5_000, `subscribed to ${name}`, answer);
}

test('it connects and learns its socket id', async () => {
  const pusher = anonymous(server);
  await next(pusher.connection, 'connected');
  assert.match(pusher.connection.socket_id, /^\d+\.\d+$/);
});

test('an unknown key is refused for good', async () => {
  const pusher = anonymous(server, { key: 'nobody' });
  const error = await next(pusher.connection, 'error');
  assert.equal(error.error.data.code, 4001);
  await until('disconnected', () => pusher.connection.state === 'disconnected');
});

test('a wrong token is refused for good', async () => {
  const pusher = withToken(server, { ...ana, token: '1|wrong' });
  const error = await next(pusher.connection, 'error');
  assert.equal(error.error.data.code, 4009);
});

for (const [how, connect] of [['an authorizer', withAuthorizer], ['a token in the query', withToken]]) {
  test(`a REST change arrives on the tenant's channel, by ${how}`, async () => {
    const product = await server.product(ana);
    const channel = await subscribed(connect(server, ana), `private-tenant.${tenant}`);
    const inbox = new Inbox();
    channel.bind_global((event, data) => inbox.push([event, data]));

    const { data: dearer } = await server.rest(ana, 'PATCH', `/products/${product.id}`, { price: 59900 });
    assert.deepEqual(await inbox.take(), ['product:updated', dearer]);

    const { data: fewer } = await server.rest(ana, 'PATCH', `/products/${product.id}`, { stock: 9 });
    const two = [await inbox.take(), await inbox.take()];
    assert.deepEqual(two, [
      ['product:updated', fewer],
      ['stock:updated', { productId: product.id, newStock: 9 }],
    ]);

    await server.rest(ana, 'DELETE', `/products/${product.id}`);
    assert.deepEqual(await inbox.take(), ['product:deleted', { id: product.id }]);
  });

  test(`another tenant's channel is refused, by ${how}`, async () => {
    const stranger = server.user(server.tenant('Other'), 'Eve');
    const pusher = connect(server, stranger);
    const error = await next(pusher.subscribe(`private-tenant.${tenant}`), 'pusher:subscription_error');
    assert.equal(error.type, 'AuthError');
    assert.equal(error.status, 403);
    await subscribed(pusher, `private-tenant.${stranger.tenant}`);
  });

  test(`members of a presence channel see each other come and go, by ${how}`, async () => {
    const name = `presence-tenant.${tenant}`;
    const first = await subscribed(connect(server, ana), name);
    assert.equal(first.members.count, 1);
    assert.equal(first.members.me.id, `${ana.id}`);

    const added = next(first, 'pusher:member_added');
    const pusher = connect(server, ben);
    const second = await subscribed(pusher, name);
    assert.deepEqual(await added, { id: `${ben.id}`, info: { name: 'Ben' } });
    assert.equal(second.members.count, 2);
    assert.deepEqual(second.members.get(`${ana.id}`).info, { name: 'Ana' });

    // A second socket of the same user is no second member, and the first to go is not the member's end.
    const [unseen, removed] = [new Inbox(), new Inbox()];
    first.bind('pusher:member_added', unseen.push);
    first.bind('pusher:member_removed', removed.push);
    const third = connect(server, ben);
    assert.equal((await subscribed(third, name)).members.count, 2);
    pusher.disconnect();
    await until('two sockets left', async () => (await server.connections()) === 2);
    assert.equal(removed.size, 0);
    third.disconnect();
    assert.equal((await removed.take()).id, `${ben.id}`);
    assert.equal(unseen.size, 0);
  });
}

test('a back end signs for channels of its own', async () => {
  const { id: appId, key, secret } = server.app;
  const backend = new Backend({ appId, key, secret, host: '127.0.0.1', port: server.port, useTLS: false });
  const customHandler = ({ socketId, channelName }, callback) => {
    const member = { user_id: '77', user_info: { name: 'Guest' } };
    const data = channelName.startsWith('presence-') ? member : undefined;
    callback(null, backend.authorizeChannel(socketId, channelName, data));
  };
  const pusher = anonymous(server, { channelAuthorization: { customHandler } });
  await subscribed(pusher, 'private-room.5');
  const presence = await subscribed(pusher, 'presence-room.5');
  assert.deepEqual(presence.members.me, { id: '77', info: { name: 'Guest' } });
});

test('who causes a change can be left out of its news', async () => {
  const [mine, others] = [withAuthorizer(server, ana), withAuthorizer(server, ben)];
  const channels = await Promise.all([mine, others].map((p) => subscribed(p, `private-tenant.${tenant}`)));
  const [left, told] = [new Inbox(), new Inbox()];
  channels[0].bind('product:created', left.push);
  channels[1].bind('product:created', told.push);
  const quiet = await server.rest(ana, 'POST', '/products', { name: 'Tea', sku: 'TEA-1', price: 100 }, {
    'x-socket-id': mine.connection.socket_id,
  });
  assert.deepEqual(await told.take(), quiet.data);
  const { data: loud } = await server.rest(ana, 'POST', '/products', { name: 'Milk', sku: 'MILK-1', price: 100 });
  assert.deepEqual(await told.take(), loud);
  // Events of a channel come in order, so the first here would have been the one left out.
  assert.deepEqual(await left.take(), loud);
});

test('it reconnects after a restart and goes on', async () => {
  const pusher = withAuthorizer(server, ana);
  const channel = await subscribed(pusher, `private-tenant.${tenant}`);
  // Refused before the upgrade it would wait 15 s before it tries again.
  const back = next(channel, 'pusher:subscription_succeeded', 8_000);
  assert.equal(await server.stop(), 0);
  await server.launch(server.port);
  await back;
  const created = next(channel, 'product:created');
  const product = await server.product(ana);
  assert.deepEqual(await created, product);
});

test('a revoked token loses its connection within seconds', async () => {
  const carl = server.user(tenant, 'Carl');
  const pusher = withToken(server, carl);
  await subscribed(pusher, `private-tenant.${tenant}`);
  const error = next(pusher.connection, 'error', 10_000);
  server.cli('token', 'revoke', carl.token.split('|')[0]);
  assert.equal((await error).data.code, 4009);
});
