// 2 and 3: frames that lie about their length, and messages in too many pieces.

import { sleep } from './api.mjs';
import { Crowd } from './crowd.mjs';
import { Server } from './server.mjs';
import { OPCODE, Socket, frame } from './socket.mjs';

const MIB = 1 << 20;
/** What the memory may grow by and still be called flat, in MB: the allocator's own breath. */
const FLAT = 8;

/** Headers alone must end the connection; behind one of them 400 MiB are really sent. */
export async function liar() {
  const server = await Server.start();
  try {
    await Socket.open(server.port);
    await sleep(500);
    const before = server.rss();
    const memory = server.watchMemory();
    const header = frame(OPCODE.text, Buffer.alloc(0), { declared: 400 * MIB });
    let slowest = 0;
    for (let n = 0; n < 100; n += 1) {
      const socket = await Socket.open(server.port);
      const began = performance.now();
      socket.tcp.write(header);
      slowest = Math.max(slowest, (await socket.closed).at - began);
    }
    const socket = await Socket.open(server.port);
    socket.tcp.write(header);
    const chunk = Buffer.alloc(65_536);
    let sent = 0;
    while (sent < 400 * MIB && !socket.isClosed) {
      sent += chunk.length;
      const room = socket.tcp.write(chunk);
      await Promise.race([socket.closed, room ? sleep(0) : new Promise((resolve) => socket.tcp.once('drain', resolve))]);
    }
    await socket.closed;
    const [delta, read] = [memory.stop() - before, (sent - socket.tcp.writableLength) / 1024];
    return {
      numbers:
        `100 of 100 ended by the header alone, 0 bytes of payload read, slowest ${slowest.toFixed(0)} ms; ` +
        `of a sent payload ${read.toFixed(0)} KiB left here before the end; memory ${delta.toFixed(1)} MB more`,
      ok: delta < FLAT && slowest < 5_000,
    };
  } finally {
    await server.end();
  }
}

/** A million fragments of one byte, two million of none; and how many of each the server takes. */
export async function fragments() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L1');
  try {
    const taken = {};
    for (const [name, size] of [['one byte', 1], ['no byte', 0]]) taken[name] = await mostFragments(server, size);
    const before = server.rss();
    const memory = server.watchMemory();
    const codes = [await bomb(server, 1, 1_000_000), await bomb(server, 0, 2_000_000)];
    const delta = memory.stop() - before;
    const { lost, closed } = await crowd.end();
    const counts = Object.entries(taken).map(([name, count]) => `${count} fragments of ${name}`);
    return {
      numbers:
        `takes ${counts.join(' and ')}, then closes with ${codes.join(' and ')}; memory ${delta.toFixed(1)} MB ` +
        `more; others lost ${lost} messages, ${closed} sockets`,
      ok: codes.every((code) => code === 1008 || code === 1009) && delta < FLAT && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}

/** The largest number of fragments of a message that is still answered. */
async function mostFragments(server, size) {
  let [least, most] = [1, 4_096];
  while (least < most) {
    const count = Math.ceil((least + most) / 2);
    if (await isTaken(server, count, size)) least = count;
    else most = count - 1;
  }
  return least;
}

async function isTaken(server, count, size) {
  const socket = await Socket.open(server.port);
  const pong = socket.next('pusher:pong').then(() => true, () => false);
  const message = Buffer.from('{"event":"pusher:ping","data":{}}');
  // The whole message in the first fragment, blanks after it.
  const parts = [frame(OPCODE.text, message, { fin: false })];
  for (let n = 2; n <= count; n += 1) {
    parts.push(frame(OPCODE.continuation, Buffer.alloc(size, ' '), { fin: n === count }));
  }
  if (count === 1) parts[0] = frame(OPCODE.text, message);
  socket.tcp.write(Buffer.concat(parts));
  const isTaken = await pong;
  socket.tcp.destroy();
  return isTaken;
}

/** Sends so many fragments, or fewer if the connection ends; the code that it was closed with. */
async function bomb(server, size, count) {
  const socket = await Socket.open(server.port);
  const chunk = Buffer.concat(Array.from({ length: 1_000 }, () => frame(OPCODE.continuation, Buffer.alloc(size), { fin: false })));
  socket.tcp.write(frame(OPCODE.text, Buffer.alloc(size), { fin: false }));
  for (let sent = 1; sent < count && !socket.isClosed; sent += 1_000) {
    const room = socket.tcp.write(chunk);
    await Promise.race([socket.closed, room ? sleep(0) : new Promise((resolve) => socket.tcp.once('drain', resolve))]);
  }
  await Promise.race([socket.closed, sleep(5_000)]);
  return socket.code ?? 'no code';
}
