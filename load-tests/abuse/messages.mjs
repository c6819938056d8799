// 6, 10, 11 and 12: what one connection may say, and how often.

import { paced, percentile, sleep, until } from './api.mjs';
import { Crowd } from './crowd.mjs';
import { inPairs } from './pairs.mjs';
import { Server } from './server.mjs';
import { OPCODE, Socket, frame, signature } from './socket.mjs';

/** Pings as fast as they are taken, by a flooder that reads the answers and by one that does not; it comes back. */
export async function pingFlood() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L1');
  try {
    await sleep(1_000);
    const [closes, quiet, busy] = [[], [], []];
    const rest = async () => quiet.push(await cpu(server, () => sleep(4_000)));
    const flood = async () => {
      const rounds = async () => {
        for (let round = 0; round < 4; round += 1) {
          closes.push(await floodWithPings(server, round % 2 === 0));
          await sleep(1_000 - 100);
        }
      };
      busy.push(await cpu(server, rounds));
    };
    const { isUnharmed, told } = await inPairs(crowd, rest, flood);
    const { lost, closed } = await crowd.end();
    const slowest = Math.max(...closes.map(({ seconds }) => seconds));
    const more = percentile(busy.map((used, n) => (used / quiet[n] - 1) * 100), 0.5);
    const codes = [...new Set(closes.map(({ code }) => code ?? 'none'))].join(', ');
    return {
      numbers:
        `${closes.length} floods, each closed within ${slowest.toFixed(2)} s (codes ${codes}); server CPU ` +
        `${more.toFixed(0)} % more; ${told}, lost ${lost}, closed ${closed}`,
      ok: slowest < 2 && more <= 10 && isUnharmed && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** CPU seconds a second while `act` runs. */
async function cpu(server, act) {
  const [began, used] = [performance.now(), server.cpu()];
  await act();
  return ((server.cpu() - used) / (performance.now() - began)) * 1_000;
}

/** 100,000 pings a second until the connection is closed, for 5 s at most. */
async function floodWithPings(server, reads) {
  const socket = await Socket.open(server.port, { from: '127.2.0.1' });
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(OPCODE.ping, Buffer.from('x'))));
  if (!reads) socket.tcp.pause();
  const began = performance.now();
  const flow = paced(200, () => socket.tcp.writableLength < 1 << 20 && socket.tcp.write(pings));
  // One that does not read does not see its end either: writing fails when the other side has gone.
  const isClosed = await until(() => socket.isClosed || socket.tcp.errored, 5_000, 5);
  flow.stop();
  const seconds = isClosed ? (performance.now() - began) / 1_000 : Number.POSITIVE_INFINITY;
  socket.tcp.destroy();
  return { seconds, code: reads ? socket.code : undefined };
}

/** 10,000 names on one socket: without the limit on messages, and with it. */
export async function subscribeFlood() {
  const names = 10_000;
  const server = await Server.start({ limits: { messages_per_second: 0 } });
  try {
    const memory = server.watchMemory();
    const before = server.rss();
    const counts = new Map();
    const onEvent = ({ event }) => counts.set(event, (counts.get(event) ?? 0) + 1);
    const socket = await Socket.open(server.port, { onEvent });
    for (let n = 0; n < names; n += 1) {
      const channel = `private-flood.${n}`;
      const room = socket.event('pusher:subscribe', { channel, auth: signature(socket.id, channel) });
      if (!room) await new Promise((resolve) => socket.tcp.once('drain', resolve));
    }
    await socket.roundTrip();
    const held = counts.get('pusher_internal:subscription_succeeded') ?? 0;
    const channels = await server.metric('bellwire_channels');
    const delta = memory.stop() - before;
    const limited = await subscribeFast(names);
    return {
      numbers:
        `${held} channels held of ${names} asked for (${channels} exist), ${delta.toFixed(1)} MB more; with the ` +
        `default limit on messages ${limited.held}, and ${limited.end}`,
      ok: held === 128 && channels === 128 && delta < 8 && limited.held <= 128,
    };
  } finally {
    await server.end();
  }
}

async function subscribeFast(names) {
  const server = await Server.start();
  try {
    let held = 0;
    const onEvent = ({ event }) => (held += event === 'pusher_internal:subscription_succeeded' ? 1 : 0);
    const socket = await Socket.open(server.port, { onEvent });
    for (let n = 0; n < names && !socket.isClosed; n += 1) socket.event('pusher:subscribe', { channel: `flood.${n}` });
    const end = await Promise.race([socket.closed, socket.roundTrip().then(() => undefined, () => socket.closed)]);
    return { held, end: end ? `the flooder is closed with ${end.code}` : 'the flooder stays' };
  } finally {
    await server.end();
  }
}

/** 200 client events a second on a private channel, five times for four seconds; the limit is 10. */
export async function clientEvents() {
  const [rate, limit] = [200, 10];
  const settings = { limits: { messages_per_second: 0 } };
  const server = await Server.start(settings, { client_events: true });
  const crowd = await Crowd.start(server, 'L1');
  try {
    await sleep(1_000);
    let [accepted, refused] = [0, 0];
    const listener = await Socket.open(server.port, { onEvent: ({ event }) => (accepted += event === 'client-x' ? 1 : 0) });
    await listener.join('private-room');
    const isRefusal = ({ event, data }) =>
      event === 'pusher:error' && (typeof data === 'string' ? JSON.parse(data) : data).code === 4301;
    const flooder = await Socket.open(server.port, { onEvent: (message) => (refused += isRefusal(message) ? 1 : 0) });
    await flooder.join('private-room');
    let [sent, during] = [0, 0];
    const { isUnharmed, told } = await inPairs(crowd, 4_000, async () => {
      const began = performance.now();
      const flow = paced(rate, () => {
        flooder.event('client-x', { n: sent }, 'private-room');
        sent += 1;
      });
      await sleep(4_000);
      flow.stop();
      during += (performance.now() - began) / 1_000;
    });
    await flooder.roundTrip();
    await listener.roundTrip();
    const { lost, closed } = await crowd.end();
    const isOpen = !flooder.isClosed;
    return {
      numbers:
        `${(accepted / during).toFixed(1)} a second accepted of ${rate}, ${refused} of ${sent} answered with 4301, ` +
        `the flooder ${isOpen ? 'stays' : 'is closed'}; ${told}, lost ${lost}, closed ${closed}`,
      // The bucket is full whenever a flood begins.
      ok: accepted >= limit * during && accepted <= limit * (during + 5) + 5 && accepted + refused === sent && isOpen &&
        isUnharmed && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** Messages that break parsers. */
function corpus() {
  const deep = (open, close, depth) => open.repeat(depth) + close.repeat(depth);
  const subscribe = (channel) => `{"event":"pusher:subscribe","data":{"channel":${channel}}}`;
  return {
    'arrays, 30,000 deep': deep('[', ']', 30_000),
    'arrays, 60,000 deep and open': '['.repeat(60_000),
    'objects, 10,000 deep': `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
    'deep data': `{"event":"client-x","channel":"private-a","data":${deep('[', ']', 30_000)}}`,
    'deep data in a string': JSON.stringify({ event: 'pusher:subscribe', data: deep('[', ']', 30_000) }),
    'a huge number': `{"event":"pusher:ping","data":${'9'.repeat(60_000)}}`,
    'a huge exponent': '{"event":"pusher:ping","data":1e999999999}',
    'a long fraction': `{"event":"pusher:ping","data":0.${'1'.repeat(60_000)}}`,
    'one key twice': '{"event":"pusher:ping","event":"pusher:subscribe","data":{},"data":{"channel":"a"}}',
    'ten thousand keys': `{"event":"pusher:ping","data":{${Array.from({ length: 5_000 }, (_, n) => `"k${n}":0`)}}}`,
    'a NUL in a name': subscribe('"a\\u0000b"'),
    'a name of 60,000 letters': subscribe(`"${'a'.repeat(60_000)}"`),
    'a lone surrogate': subscribe('"\\ud800"'),
    'no JSON': 'x'.repeat(60_000),
    'nothing': '',
    'null': 'null',
    'a name that is no string': '{"event":{"a":1},"data":[]}',
    'a channel that is no string': subscribe('[["a"]]'),
    'bad UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0xc0, 0x80, 0x22, 0x7d]),
    'a bad UTF-8 name': Buffer.concat([Buffer.from('{"event":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
  };
}

/** Each of them five times, with the time to the answer of a ping behind it. */
export async function oddMessages() {
  const server = await Server.start({ limits: { messages_per_second: 0 } });
  const crowd = await Crowd.start(server, 'L1');
  try {
    let [worst, panics] = [{ ms: 0 }, 0];
    const closes = new Map();
    const plain = await timed(server, undefined, closes);
    for (const [name, message] of Object.entries(corpus())) {
      const ms = await timed(server, Buffer.from(message), closes, name);
      if (ms > worst.ms) worst = { name, ms };
    }
    panics = server.panics;
    const { lost, closed } = await crowd.end();
    const cost = Math.max(0, worst.ms - plain);
    const ends = [...closes].map(([name, code]) => `${name} ${code}`).join(', ');
    return {
      numbers:
        `${panics} panics; worst is “${worst.name}” with ${worst.ms.toFixed(2)} ms (${plain.toFixed(2)} without it); ` +
        `closed: ${ends || 'none'}; others lost ${lost}, closed ${closed}`,
      ok: panics === 0 && server.isAlive && cost <= 1 && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** The median of nine times from the message to the pong or the close behind it, in milliseconds. */
async function timed(server, message, closes, name) {
  const times = [];
  let socket = await Socket.open(server.port, { from: '127.2.0.1' });
  for (let n = 0; n < 9; n += 1) {
    if (socket.isClosed) socket = await Socket.open(server.port, { from: '127.2.0.1' });
    await sleep(5);
    const began = performance.now();
    if (message) socket.frame(OPCODE.text, message);
    await socket.roundTrip().catch(() => {});
    times.push(performance.now() - began);
    if (socket.code) closes.set(name, socket.code);
  }
  socket.tcp.destroy();
  return percentile(times, 0.5);
}
