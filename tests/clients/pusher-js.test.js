// pusher-js, unmodified: connect, private and presence channels, events after a REST change, sign-in, watchlists,
// client events, reconnect.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { anonymous, disconnectAll, withAuthorizer, withToken } from './support/pusher.js';
import { Inbox, next, until, within } from './support/wait.js';

let server, tenant, ana, ben;

before(async () => {
  server = await Bellwire.start('client_events = true');
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

function backendOf({ app: { id: appId, key, secret }, port }) {
  return new Backend({ appId, key, secret, host: '127.0.0.1', port, useTLS: false });
}

test('a back end signs for channels of its own', async () => {
  const backend = backendOf(server);
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

function signedIn(user, options) {
  const pusher = anonymous(server, options);
  const answer = within(5_000, `${user} signed in`, new Promise((resolve) => {
    pusher.connection.bind('message', ({ event, channel }) => {
      const own = channel === `#server-to-user-${user}`;
      if (own && event === 'pusher_internal:subscription_succeeded') resolve(pusher);
    });
  }));
  pusher.signin();
  return answer;
}

/** Signed in by a back end of its own, which says whom the user watches. */
function signedInAs(id, watchlist = []) {
  const user = { id, user_info: { name: id }, watchlist };
  const customHandler = ({ socketId }, callback) => callback(null, backendOf(server).authenticateUser(socketId, user));
  return signedIn(id, { userAuthentication: { customHandler } });
}

test('who signs in with a token gets what is sent to the user, on all their pages', async () => {
  const headers = { Authorization: `Bearer ${ana.token}` };
  const userAuthentication = { endpoint: `${server.url}/broadcasting/user-auth`, headers };
  const pages = await Promise.all([1, 2].map(() => signedIn(`${ana.id}`, { userAuthentication })));
  assert.equal(pages[0].user.user_data.user_info.name, 'Ana');
  const heard = pages.map((page) => next(page.user, 'hello'));
  await backendOf(server).sendToUser(`${ana.id}`, 'hello', { n: 1 });
  assert.deepEqual(await Promise.all(heard), [{ n: 1 }, { n: 1 }]);
});

test('a sign-in that does not hold is an error and the end', async () => {
  const customHandler = (_, callback) => callback(null, { auth: 'wrong:signature', user_data: '{"id":"1"}' });
  const pusher = anonymous(server, { userAuthentication: { customHandler } });
  const error = next(pusher.connection, 'error');
  pusher.signin();
  assert.equal((await error).data.code, 4009);
  await until('disconnected', () => pusher.connection.state === 'disconnected');
});

test('a watchlist tells who is online, who comes and who goes', async () => {
  const [online, offline] = [new Inbox(), new Inbox()];
  const present = await signedInAs('present');
  const watcher = anonymous(server, {
    userAuthentication: {
      customHandler: ({ socketId }, callback) => {
        const user = { id: 'watcher', watchlist: ['present', 'absent'] };
        callback(null, backendOf(server).authenticateUser(socketId, user));
      },
    },
  });
  watcher.user.watchlist.bind('online', online.push);
  watcher.user.watchlist.bind('offline', offline.push);
  watcher.signin();
  assert.deepEqual(await online.take(), { name: 'online', user_ids: ['present'] });
  assert.deepEqual(await offline.take(), { name: 'offline', user_ids: ['absent'] });
  await signedInAs('absent');
  assert.deepEqual(await online.take(), { name: 'online', user_ids: ['absent'] });
  present.disconnect();
  assert.deepEqual(await offline.take('offline', 10_000), { name: 'offline', user_ids: ['present'] });
  assert.equal(online.size + offline.size, 0);
});

test('a signed-in user is a presence member without channel_data', async () => {
  const auth = ({ socketId, channelName }, callback) => {
    // What a back end signs that leaves the member to the sign-in.
    const { auth } = backendOf(server).authorizeChannel(socketId, channelName);
    callback(null, { auth });
  };
  const user = { id: 'u7', user_info: { name: 'Seven' } };
  const customHandler = ({ socketId }, callback) => callback(null, backendOf(server).authenticateUser(socketId, user));
  const options = { userAuthentication: { customHandler }, channelAuthorization: { customHandler: auth } };
  const pusher = await signedIn('u7', options);
  const channel = await subscribed(pusher, 'presence-lobby');
  assert.deepEqual(channel.members.me, { id: 'u7', info: { name: 'Seven' } });
});

test('client events reach the others, with the member who said it', async () => {
  const [mine, others] = [withAuthorizer(server, ana), withAuthorizer(server, ben)];
  for (const name of [`private-tenant.${tenant}`, `presence-tenant.${tenant}`]) {
    const [from, to] = await Promise.all([mine, others].map((pusher) => subscribed(pusher, name)));
    const [heard, echoed] = [new Inbox(), new Inbox()];
    to.bind('client-said', (data, metadata) => heard.push([data, metadata]));
    from.bind('client-said', echoed.push);
    const metadata = name.startsWith('presence-') ? { user_id: `${ana.id}` } : {};
    for (const data of [{ n: 1 }, 'text', [1, 2], 7]) {
      assert.ok(from.trigger('client-said', data));
      assert.deepEqual(await heard.take(), [data, metadata]);
    }
    assert.equal(echoed.size, 0);
  }
});

test('too many client events are an error and not the end', async () => {
  const pusher = withAuthorizer(server, ana);
  const channel = await subscribed(pusher, `private-tenant.${tenant}`);
  const error = next(pusher.connection, 'error');
  for (let n = 0; n < 30; n += 1) channel.trigger('client-n', n);
  assert.equal((await error).data.code, 4301);
  assert.equal(pusher.connection.state, 'connected');
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
