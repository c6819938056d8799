// A tenant's webhook in Pusher's format, read and verified by pusher, the server SDK for Node, unmodified.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import Backend from 'pusher';
import { Bellwire } from './support/bellwire.js';
import { until } from './support/wait.js';

let server, tenant, ana, backend;
const requests = [];
let status = 200;

const receiver = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const asked = { headers: request.headers, rawBody: Buffer.concat(parts).toString() };
    requests.push(asked);
    response.writeHead(status).end();
  });
});

before(async () => {
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  server = await Bellwire.start();
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
});
after(async () => {
  await server.end();
  receiver.closeAllConnections();
  receiver.close();
});

test('a batch verifies with the key and the secret of the webhook, and with no others', async () => {
  const url = `http://127.0.0.1:${receiver.address().port}/pusher`;
  const made = await server.rest(ana, 'POST', '/webhooks', {
    url, events: ['product:created'], strategy: 'pusher_batch',
  });
  const { id, secret, pusher_key: key } = made.data;
  backend = new Backend({ appId: '1', key, secret });
  await server.rest(ana, 'POST', `/webhooks/${id}/pause`);
  const products = [];
  for (let n = 0; n < 20; n += 1) products.push(await server.product(ana));
  await server.rest(ana, 'POST', `/webhooks/${id}/resume`);

  const events = () => requests.flatMap((asked) => backend.webhook(asked).getEvents());
  await until('all events', () => requests.length > 0 && events().length === 20, 10_000);
  for (const asked of requests) {
    const webhook = backend.webhook(asked);
    assert.ok(webhook.isValid());
    assert.ok(Math.abs(webhook.getTime() - Date.now()) < 60_000);
    assert.ok(!new Backend({ appId: '1', key, secret: 'another' }).webhook(asked).isValid());
    assert.ok(!new Backend({ appId: '1', key: 'another', secret }).webhook(asked).isValid());
    assert.ok(!backend.webhook({ ...asked, rawBody: `${asked.rawBody} ` }).isValid());
  }
  assert.ok(requests.length <= 3, `${requests.length} requests`);
  const told = events();
  assert.ok(told.every(({ name }) => name === 'product:created'));
  assert.equal(new Set(told.map(({ id }) => id)).size, 20);
  assert.deepEqual(
    told.map(({ data }) => JSON.parse(data).id).sort((a, b) => a - b),
    products.map(({ id }) => id),
  );
});
