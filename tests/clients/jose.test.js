// jose, unmodified, opens an encrypted delivery, whose signature standardwebhooks verifies over what was sent.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { compactDecrypt } from 'jose';
import { Webhook } from 'standardwebhooks';
import { Bellwire } from './support/bellwire.js';
import { Inbox } from './support/wait.js';

let server, receiver;
const inbox = new Inbox();

before(async () => {
  server = await Bellwire.start();
  receiver = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      inbox.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
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

test('an encrypted delivery opens with its key alone', async () => {
  const tenant = server.tenant();
  const ana = server.user(tenant, 'Ana');
  const key = randomBytes(32);
  const secrets = join(server.folder, 'secrets.json');
  writeFileSync(secrets, JSON.stringify({ encryption_key: key.toString('base64'), headers: { 'X-Shop': 'seven' } }));
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  const create = ['webhook', 'create', '--tenant', tenant, '--url', url, '--events', 'product:*', '--secrets', secrets];
  const { secret } = server.cli(...create);
  const product = await server.product(ana, { name: 'Größe "M"' });

  const { headers, body } = await inbox.take('a delivery', 10_000);
  assert.equal(headers['content-type'], 'application/jose');
  assert.equal(headers['x-shop'], 'seven');
  assert.throws(() => new Webhook(secret).verify(`${body} `, headers));
  // It verifies before it parses, and what is signed is no JSON: a ciphertext.
  assert.throws(() => new Webhook(secret).verify(body, headers), SyntaxError);

  const { plaintext, protectedHeader } = await compactDecrypt(body, key);
  assert.deepEqual(protectedHeader, { alg: 'dir', enc: 'A256GCM' });
  assert.deepEqual(JSON.parse(new TextDecoder().decode(plaintext)), { event: 'product:created', data: product });
  await assert.rejects(compactDecrypt(body, randomBytes(32)));
});
