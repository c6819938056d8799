// standardwebhooks, unmodified: a subscriber verifies what it is sent, and the older header beside it.

import assert from 'node:assert/strict';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { Bellwire } from './support/bellwire.js';
import { Inbox } from './support/wait.js';

let server, receiver, tenant, ana;
const inbox = new Inbox();

before(async () => {
  server = await Bellwire.start();
  tenant = server.tenant();
  ana = server.user(tenant, 'Ana');
  receiver = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      inbox.push({ headers: request.headers, body: Buffer.concat(parts) });
      response.writeHead(204).end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  await server.end();
  receiver.closeAllConnections();
  receiver.close();
});

function subscribe(events, ...more) {
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  return server.cli('webhook', 'create', '--tenant', tenant, '--url', url, '--events', events, ...more);
}

/** Whether a v1a signature of the delivery holds; by Node's own ed25519. */
function verifiesPublicly({ headers, body }, whpk) {
  const x = Buffer.from(whpk.replace('whpk_', ''), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), body]);
  const signatures = headers['webhook-signature'].split(' ').filter((one) => one.startsWith('v1a,'));
  return signatures.some((one) => verify(null, content, key, Buffer.from(one.slice(4), 'base64')));
}

test('a delivery verifies, and says what happened', async () => {
  const { secret } = subscribe('product:updated');
  const product = await server.product(ana);
  const { data } = await server.rest(ana, 'PATCH', `/products/${product.id}`, { name: 'Größe "M"' });

  const { headers, body } = await inbox.take('a delivery', 10_000);
  const verified = new Webhook(secret).verify(body, headers);
  assert.deepEqual(verified, { event: 'product:updated', data });
  assert.equal(headers['x-webhook-signature'], createHmac('sha256', secret).update(body).digest('hex'));
  assert.equal(headers['content-type'], 'application/json');
  assert.match(headers['webhook-id'], /^msg_/);

  assert.throws(() => new Webhook(secret).verify(Buffer.concat([body, Buffer.from(' ')]), headers));
});

test('while secrets overlap both verify, and v1a with both public keys', async () => {
  const first = subscribe('product:created', '--v1a');
  const second = server.cli('webhook', 'rotate-secret', first.id, '--tenant', tenant);
  assert.notEqual(second.secret, first.secret);
  await server.product(ana);
  const delivery = await inbox.take('a delivery', 10_000);
  for (const { secret, public_key: key } of [first, second]) {
    new Webhook(secret).verify(delivery.body, delivery.headers);
    assert.ok(verifiesPublicly(delivery, key));
    assert.ok(!verifiesPublicly({ ...delivery, body: Buffer.from('{}') }, key));
  }
});
