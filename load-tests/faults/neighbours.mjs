// 25: receivers that misbehave in every way there is. Each is told of as what it is, none is read beyond a bound, no
// private address is dialled, and endpoints that behave are served as fast as without them.
//
// ROUNDS pairs of windows of WINDOW seconds, without the bad ones and with them, the order of each pair the other's way
// round, so that what drifts falls on both alike; 0 rounds leave the p99 out. What counts is the p99 of all deliveries of
// all windows of a kind: of one window it is its slowest update, and that is the disk's. Breakers of the bad ones stay out
// of the way, so that every change is tried at each of them; with BREAKERS=installed they open after five failures, as they
// do for whoever changes nothing.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { paced, percentile, sleep, until } from '../abuse/api.mjs';
import { certificates } from './certificates.mjs';
import { Helper } from './helper.mjs';
import { Hub } from './hub.mjs';

/** With ten updates a second, 1,100 updates of each kind. */
const ROUNDS = Number(process.env.ROUNDS ?? 22);
const WINDOW = Number(process.env.WINDOW ?? 5);
/** Until attempts at those that hang, which have two seconds, are over, or as many as there ever are: it is not counted. */
const SETTLE = 2.5;
const AS_INSTALLED = process.env.BREAKERS === 'installed';
/** With ten updates a second, 200 deliveries a second to those that behave. */
const GOOD = 20;
const UPDATES_A_SECOND = 10;
const BAR = 1.2;
/**
 * A body is read to 64 KiB, a head to 128 KiB. What the kernel took besides is not told apart, and is more the busier
 * the machine; who reads for as long as it has time would take 3 MB.
 */
const MOST_BYTES = 1_048_576;
const MOST_MB = 32;

/** `[what it does, where, as what it is told of]` */
function villains(ports, closed) {
  const at = (path, port = ports.plain, scheme = 'http') => `${scheme}://127.0.0.1:${port}${path}`;
  const tls = (port) => at('/good', port, 'https');
  return [
    ['500', at('/error'), 'http'],
    ['302', at('/redirect'), 'redirect'],
    ['hangs', at('/hang'), 'timeout'],
    ['head at 1 B/s', at('/slow-head'), 'timeout'],
    ['body at 1 B/s', at('/slow-body'), 'timeout'],
    ['1 GiB', at('/gigabyte'), 'ok'],
    ['chunks without end', at('/endless'), 'ok'],
    ['gzip bomb', at('/bomb'), 'ok'],
    ['head without end', at('/endless-head'), 'protocol'],
    // A status that is none of success: it is not waited for what may follow.
    ['1xx without end', at('/interim'), 'http'],
    ['resets', at('/reset'), 'closed'],
    ['closes', at('/close'), 'closed'],
    ['half a body', at('/half'), 'body'],
    ['not HTTP', at('/noise'), 'protocol'],
    ['refuses', at('/', closed), 'connect'],
    ['no such name', 'http://nowhere.invalid/', 'dns'],
    ['good TLS', tls(ports.good), 'ok'],
    ['no TLS', tls(ports.deaf), 'tls'],
    ['TLS that hangs', tls(ports.mute), 'timeout'],
    ['expired certificate', tls(ports.expired), 'tls'],
    ['certificate of another', tls(ports.misnamed), 'tls'],
    ['unknown issuer', tls(ports.unknown), 'tls'],
  ];
}

/** Ways to write addresses that nobody may be led to; 127.0.0.1 alone is exempt. */
function privateUrls(port) {
  const own = Object.values(networkInterfaces()).flat().filter((one) => !one.internal && !one.scopeid);
  const hosts = [
    '127.0.0.2', '127.2', '0x7f000002', '2130706434', '0177.0.0.2', '127.0.0.2.', '0.0.0.0', '0', '[::1]', '[::]',
    '[::ffff:127.0.0.2]', '[::ffff:7f00:2]', '[64:ff9b::7f00:2]', '[2002:7f00:2::]', '169.254.169.254', '10.0.0.1', '192.168.0.1',
    ...own.map(({ family, address }) => (family === 'IPv6' ? `[${address}]` : address)),
  ];
  return hosts.map((host) => `http://${host}:${port}/`);
}

/** A port of loopback where nobody listens. */
async function closedPort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function badReceivers(kind) {
  const hub = await Hub.open(kind);
  const { authority, pairs } = certificates(hub.folder);
  const bad = await Helper.start(new URL('./villains.mjs', import.meta.url), JSON.stringify(pairs));
  const good = await Helper.start(new URL('../webhooks/receiver.mjs', import.meta.url));
  try {
    const server = await hub.serve({ SSL_CERT_FILE: authority });
    const make = async (url, max_retries) => {
      const [status, body] = await server.rest('POST', '/api/v1/webhooks', {
        name: 'x', url, events: ['product:*'], timeout_ms: 2_000, max_retries, breaker_threshold: 1_000,
      });
      return status === 201 ? body.data.id : undefined;
    };
    const cases = villains(bad.ready, await closedPort());
    const kinds = cases.length;
    for (const url of privateUrls(bad.ready.canary)) cases.push([url, url, 'blocked']);
    const ids = [];
    for (const [, url] of cases) ids.push(await make(url, 0));

    const product = (await server.api('POST', '/products', { name: 'Tea', sku: 'TEA', price: 1, stock: 1 })).data.id;
    const before = memory(server.pid);
    const found = await Promise.all(ids.map((id) => outcome(server, id)));
    const wrong = cases.flatMap(([what, , expected], n) => (found[n] === expected ? [] : [`${what}: ${found[n]}, not ${expected}`]));
    const classes = cases.length - wrong.length;

    const grown = memory(server.pid) - before;
    // One of each kind, and one private address.
    const kept = ids.slice(0, kinds + 1);
    const others = ids.slice(kinds + 1).filter((id) => id !== undefined);
    await Promise.all(others.map((id) => server.api('DELETE', `/webhooks/${id}`)));
    for (let n = 0; n < GOOD && ROUNDS > 0; n += 1) await make(`http://127.0.0.1:${good.ready}/good/${n}`, 5);
    const { isUnharmed, told, missing } = await neighbours(server, good, product, kept);
    const { most, dialled } = await bad.ask();
    const [bytes, path] = Object.entries(most).map(([path, bytes]) => [bytes, path]).sort(([a], [b]) => b - a)[0];
    return {
      numbers:
        `${classes} of ${cases.length} told of as what they are${wrong.length ? ` (${wrong.join('; ')})` : ''}, private ` +
        `addresses dialled ${dialled} times, ${bytes} bytes of an answer taken at most (${path}), memory +${grown.toFixed(1)} MB; ${told}`,
      ok: wrong.length === 0 && dialled === 0 && bytes <= MOST_BYTES && grown <= MOST_MB && isUnharmed && missing === 0,
    };
  } finally {
    bad.close();
    good.close();
    await hub.close();
  }
}

/** As what the one attempt at the endpoint's first delivery is told of; of an endpoint that could not be made: blocked. */
async function outcome(server, id) {
  if (id === undefined) return 'blocked';
  let log = [];
  const isThere = async () => {
    const [first] = (await server.api('GET', `/webhooks/${id}/deliveries`)).data;
    log = first ? (await server.api('GET', `/webhooks/${id}/deliveries/${first.id}`)).data.log : [];
    return log.length > 0;
  };
  return (await until(isThere, 20_000, 100)) ? log[0].outcome : 'nothing';
}

/** The p99 of the good ones, without the bad ones and with them, in turns. */
async function neighbours(server, good, product, bad) {
  if (ROUNDS === 0) return { isUnharmed: true, told: 'p99 not measured', missing: 0 };
  const breaker_threshold = AS_INSTALLED ? 5 : 1_000;
  const settings = { max_retries: 5, breaker_threshold };
  const switched = (is_active) => Promise.all(bad.map((id) => server.api('PATCH', `/webhooks/${id}`, { is_active, ...settings })));
  const [marks, found] = [{ last: 0 }, { without: [], among: [] }];
  let [standing, missing] = [undefined, 0];
  for (const kind of turns()) {
    if (kind !== standing) {
      await switched(kind === 'among');
      missing += (await window(server, good, product, marks, SETTLE)).missing;
      standing = kind;
    }
    const one = await window(server, good, product, marks, WINDOW);
    found[kind].push(...one.times);
    missing += one.missing;
  }
  const [p99, p50] = [0.99, 0.5].map((share) => compared(found, share));
  const updates = Math.round(Math.min(found.without.length, found.among.length) / GOOD);
  const told =
    `of ${GOOD} good ones among ${bad.length} bad ones with breakers ${AS_INSTALLED ? 'as installed' : 'out of the way'}, ` +
    `${updates} updates of each kind: p99 ${p99.told}, p50 ${p50.told}, ${missing} missing`;
  return { isUnharmed: p99.ratio <= BAR, told, missing };
}

/** Which kind each window is of. */
function turns() {
  const pair = (round) => (round % 2 === 0 ? ['without', 'among'] : ['among', 'without']);
  return Array.from({ length: ROUNDS }, (_, round) => pair(round)).flat();
}

/** How much longer it takes among the bad ones, at this share of all deliveries. */
function compared({ without, among }, share) {
  const [alone, beside] = [percentile(without, share), percentile(among, share)];
  const ratio = beside / alone;
  return { ratio, told: `${ratio.toFixed(2)} × (${alone.toFixed(1)} → ${beside.toFixed(1)} ms)` };
}

const microseconds = () => Number(process.hrtime.bigint() / 1_000n);

/** Updates at a steady rate for so long; from each request to its deliveries. */
async function window(server, good, product, marks, seconds) {
  const [sent, asked] = [new Map(), []];
  const load = paced(UPDATES_A_SECOND, () => {
    const mark = (marks.last += 1);
    sent.set(mark, microseconds());
    // A database that is away on a crowded machine is not what this is about.
    const changing = server.api('PATCH', `/products/${product}`, { name: `mark-${mark}` });
    asked.push(changing.catch(() => sent.delete(mark)));
  });
  await sleep(seconds * 1_000);
  load.stop();
  await Promise.all(asked);
  const times = [];
  const allCame = async () => {
    for (const [, mark, at] of await good.ask()) if (sent.has(mark)) times.push((at - sent.get(mark)) / 1_000);
    return times.length >= sent.size * GOOD;
  };
  await until(allCame, 10_000, 50);
  return { times, missing: sent.size * GOOD - times.length };
}

/** Resident memory in MB. */
function memory(pid) {
  return (Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+)/m)[1]) * 1_024) / 1e6;
}
