// pusher, the server SDK for Node, unmodified: a back end publishes over the HTTP API.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { anonymous, disconnectAll, withAuthorizer } from './support/pusher.js';
import { Inbox, next, until, within } from './support/wait.js';

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

/** A client whose subscriptions and sign-in the back end signs; `member` is its channel_data. */
function signedBy(signer, member, user) {
  const answering = (sign) => (asked, callback) => callback(null, sign(asked));
  return anonymous(server, {
    channelAuthorization: {
      customHandler: answering(({ socketId, channelName }) => signer.authorizeChannel(socketId, channelName, member)),
    },
    userAuthentication: { customHandler: answering(({ socketId }) => signer.authenticateUser(socketId, user)) },
  });
}

async function asked(path, params) {
  return (await backend().get({ path, params })).json();
}

test('a batch arrives in its order, and tells what was asked of each event', async () => {
  const inbox = await listen(anonymous(server), 'batch', 'x');
  const batch = Array.from({ length: 10 }, (_, turn) => ({ channel: 'batch', name: 'x', data: { turn } }));
  assert.deepEqual(await (await backend().triggerBatch(batch)).json(), {});
  for (let turn = 0; turn < 10; turn += 1) assert.deepEqual(await inbox.take(), { turn });
  const asking = [
    { channel: 'batch', name: 'x', data: 1, info: 'subscription_count' },
    { channel: 'batch', name: 'x', data: 2 },
  ];
  const told = await backend().triggerBatch(asking);
  assert.deepEqual(await told.json(), { batch: [{ subscription_count: 1 }, {}] });
  await assert.rejects(backend().triggerBatch([...batch, ...batch]), (error) => error.status === 400);
});

test('channels and their users are told, and what a trigger asks', async () => {
  const members = [{ user_id: '1', user_info: { name: 'Ana' } }, { user_id: '1' }, { user_id: 2 }];
  const present = members.map((member) => signedBy(backend(), member));
  for (const pusher of present) await next(pusher.subscribe('presence-api'), 'pusher:subscription_succeeded');
  await next(present[0].subscribe('api-news'), 'pusher:subscription_succeeded');
  const [info, counts] = ['user_count,subscription_count', { user_count: 2, subscription_count: 3 }];
  const listed = await asked('/channels', { filter_by_prefix: 'presence-api', info });
  assert.deepEqual(listed, { channels: { 'presence-api': counts } });
  assert.deepEqual(await asked('/channels', { filter_by_prefix: 'api-' }), { channels: { 'api-news': {} } });
  assert.deepEqual(await asked('/channels', { filter_by_prefix: 'nobody' }), { channels: {} });
  assert.deepEqual(await asked('/channels/presence-api', { info }), { occupied: true, ...counts });
  assert.deepEqual(await asked('/channels/nobody'), { occupied: false });
  assert.deepEqual(await asked('/channels/presence-api/users'), { users: [{ id: '1' }, { id: '2' }] });
  const told = await backend().trigger(['presence-api', 'api-news'], 'x', {}, { info });
  assert.deepEqual(await told.json(), {
    channels: { 'presence-api': counts, 'api-news': { subscription_count: 1 } },
  });
  for (const [path, params] of [['/channels', { info: 'user_count' }], ['/channels/api-news/users', {}]]) {
    await assert.rejects(backend().get({ path, params }), (error) => error.status === 400);
  }
});

test('channel_data is signed on private channels too', async () => {
  const inbox = await listen(signedBy(backend(), { user_id: '1' }), 'private-api', 'x');
  await backend().trigger('private-api', 'x', { turn: 1 });
  assert.deepEqual(await inbox.take(), { turn: 1 });
  const forged = signedBy(backend({ secret: 'x' })).subscribe('private-api');
  assert.equal((await next(forged, 'pusher:subscription_error')).status, 401);
});

test('an encrypted event is passed through sealed, and goes to one channel', async () => {
  const sealing = backend({ encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') });
  const sealed = new Inbox();
  const pusher = signedBy(sealing);
  pusher.connection.bind('message', ({ event, data }) => event === 'x' && sealed.push(data));
  pusher.subscribe('private-encrypted-api');
  const channel = 'private-encrypted-api';
  await within(5_000, 'subscribed', new Promise((resolve) => {
    const isIt = (m) => m.event === 'pusher_internal:subscription_succeeded' && m.channel === channel && resolve();
    pusher.connection.bind('message', isIt);
  }));
  await sealing.trigger(channel, 'x', { secret: 1 });
  assert.deepEqual(Object.keys(await sealed.take()).sort(), ['ciphertext', 'nonce']);
  const both = { name: 'x', data: '1', channels: [channel, 'news'] };
  await assert.rejects(backend().post({ path: '/events', body: both }), (error) => error.status === 400);
});

test('a user is told, and loses every connection when the back end says so', async () => {
  const pages = [1, 2].map(() => signedBy(backend(), undefined, { id: 'ann lee' }));
  const other = signedBy(backend(), undefined, { id: 'ben' });
  for (const pusher of [...pages, other]) {
    await until('connected', () => pusher.connection.state === 'connected');
    const success = within(5_000, 'signed in', new Promise((resolve) => {
      pusher.connection.bind('message', ({ event }) => event === 'pusher:signin_success' && resolve());
    }));
    const own = within(5_000, 'the own channel', new Promise((resolve) => {
      pusher.connection.bind('message', ({ event, channel }) => {
        if (event === 'pusher_internal:subscription_succeeded' && channel.startsWith('#')) resolve();
      });
    }));
    pusher.signin();
    await success;
    await own;
  }
  const told = [...pages, other].map((pusher) => {
    const inbox = new Inbox();
    pusher.user.bind('x', inbox.push);
    return inbox;
  });
  await backend().sendToUser('ann lee', 'x', { turn: 1 });
  await backend().sendToUser('ben', 'x', { turn: 2 });
  assert.deepEqual(await Promise.all(told.map((inbox) => inbox.take())), [{ turn: 1 }, { turn: 1 }, { turn: 2 }]);
  const gone = pages.map((pusher) => next(pusher.connection, 'disconnected'));
  const response = await backend().terminateUserConnections('ann lee');
  assert.deepEqual(await response.json(), {});
  await Promise.all(gone);
  assert.equal(other.connection.state, 'connected');
});
