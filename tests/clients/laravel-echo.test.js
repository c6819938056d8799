// laravel-echo, unmodified, over pusher-js: private and presence channels and whispers as its users write them.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { Bellwire } from './support/bellwire.js';
import { Inbox, within } from './support/wait.js';

let server, tenant, ana, ben;
const open = [];

before(async () => {
  server = await Bellwire.start('client_events = true');
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
  ben = server.user(tenant, 'Ben');
});
afterEach(() => open.splice(0).forEach((echo) => echo.disconnect()));
after(() => server.end());

function echoOf(user, broadcaster = 'reverb', options = {}) {
  const echo = new Echo({
    broadcaster,
    Pusher,
    key: server.app.key,
    cluster: '',
    wsHost: '127.0.0.1',
    wsPort: server.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    authEndpoint: `${server.url}/broadcasting/auth`,
    bearerToken: user.token,
    ...options,
  });
  open.push(echo);
  return echo;
}

const subscribed = (channel) =>
  within(5_000, 'subscribed', new Promise((resolve, reject) => channel.subscribed(resolve).error(reject)));

for (const broadcaster of ['reverb', 'pusher']) {
  test(`private().listen() hears a REST change, as broadcaster ${broadcaster}`, async () => {
    const product = await server.product(ana);
    const [updates, stocks] = [new Inbox(), new Inbox()];
    const channel = echoOf(ana, broadcaster).private(`tenant.${tenant}`);
    channel.listen('.product:updated', updates.push).listen('.stock:updated', stocks.push);
    await subscribed(channel);
    const { data } = await server.rest(ana, 'PATCH', `/products/${product.id}`, { stock: 3 });
    assert.deepEqual(await updates.take(), data);
    assert.deepEqual(await stocks.take(), { productId: product.id, newStock: 3 });
  });
}

test('join() tells who is here, who joins and who leaves', async () => {
  const [here, joining, leaving] = [new Inbox(), new Inbox(), new Inbox()];
  echoOf(ana).join(`tenant.${tenant}`).here(here.push).joining(joining.push).leaving(leaving.push);
  assert.deepEqual(await here.take(), [{ name: 'Ana' }]);

  const [second, hereToo] = [echoOf(ben), new Inbox()];
  second.join(`tenant.${tenant}`).here(hereToo.push);
  const names = (await hereToo.take()).map((member) => member.name).sort();
  assert.deepEqual(names, ['Ana', 'Ben']);
  assert.deepEqual(await joining.take(), { name: 'Ben' });

  second.leave(`tenant.${tenant}`);
  assert.deepEqual(await leaving.take(), { name: 'Ben' });
});

test('a channel of another tenant is an error', async () => {
  const stranger = server.user(server.tenant('Other'), 'Eve');
  await assert.rejects(subscribed(echoOf(stranger).private(`tenant.${tenant}`)), (error) => error.status === 403);
});

test('leaveChannel() ends the events and listening again starts them', async () => {
  const product = await server.product(ana);
  const [echo, inbox] = [echoOf(ana), new Inbox()];
  await subscribed(echo.private(`tenant.${tenant}`).listen('.product:updated', () => inbox.push('before')));
  echo.leave(`tenant.${tenant}`);
  await server.rest(ana, 'PATCH', `/products/${product.id}`, { price: 1 });
  await subscribed(echo.private(`tenant.${tenant}`).listen('.product:updated', () => inbox.push('after')));
  await server.rest(ana, 'PATCH', `/products/${product.id}`, { price: 2 });
  assert.equal(await inbox.take(), 'after');
});

test('a whisper reaches the others and not the one who whispers', async () => {
  const [first, second] = [echoOf(ana), echoOf(ben)];
  const channels = [first, second].map((echo) => echo.private(`tenant.${tenant}`));
  await Promise.all(channels.map(subscribed));
  const [heard, echoed] = [new Inbox(), new Inbox()];
  channels[1].listenForWhisper('typing', heard.push);
  channels[0].listenForWhisper('typing', echoed.push);
  channels[0].whisper('typing', { name: 'Ana' });
  assert.deepEqual(await heard.take(), { name: 'Ana' });
  channels[1].whisper('typing', { name: 'Ben' });
  // Events of a channel come in order, so the first here would have been the one of oneself.
  assert.deepEqual(await echoed.take(), { name: 'Ben' });
});

test('signin() lets the user be told what is theirs', async () => {
  const headers = { Authorization: `Bearer ${ana.token}` };
  const userAuthentication = { endpoint: `${server.url}/broadcasting/user-auth`, headers };
  const echo = echoOf(ana, 'reverb', { userAuthentication });
  echo.connector.signin();
  await within(5_000, 'signed in', new Promise((resolve) => {
    echo.connector.pusher.connection.bind('message', ({ event }) => event === 'pusher:signin_success' && resolve());
  }));
  assert.equal(echo.connector.pusher.user.user_data.id, `${ana.id}`);
});
