// 4 and 5: subscribers that stop reading while much is said to them.

import { paced, sleep, trigger, until } from './api.mjs';
import { Crowd } from './crowd.mjs';
import { inPairs } from './pairs.mjs';
import { Server } from './server.mjs';
import { Socket } from './socket.mjs';

/** A busy feed: 25 messages of 10 kB a second. */
const FEED = { rate: 25, data: 'x'.repeat(10_000) };
/** `limits.queue_bytes`, and what a connection's own buffers may take beside it, in MB. */
const BUDGET = (262_144 + 131_072) / 1e6;

export function feed(server) {
  return paced(FEED.rate, () => trigger(server.port, { name: 'm', channels: ['private-feed'], data: FEED.data }));
}

async function subscribers(server, count, from) {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const socket = await Socket.open(server.port, { from: `127.${from}.0.${1 + (n % 250)}` });
      await socket.join('private-feed');
      return socket;
    }),
  );
}

/** Seconds from now until each of them was ended; a paused socket does not see its own end, so the server is asked. */
async function untilEnded(server, left) {
  const began = performance.now();
  const isEnded = await until(async () => (await server.metric('bellwire_connections')) <= left, 30_000, 50);
  return isEnded ? (performance.now() - began) / 1_000 : Number.POSITIVE_INFINITY;
}

/** 20 of 2,000 stop, five times; 20 that read take the same feed. */
export async function someStall() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L2');
  try {
    const readers = await subscribers(server, 20, 3);
    const stream = feed(server);
    let stalling = [];
    const [seconds, perSocket] = [[], []];
    const quiet = async () => {
      stalling = await subscribers(server, 20, 2);
      await sleep(8_000);
    };
    const stall = async () => {
      const [base, open] = [server.rss(), await server.metric('bellwire_connections')];
      const memory = server.watchMemory();
      for (const socket of stalling) socket.tcp.pause();
      const took = await untilEnded(server, open - stalling.length);
      seconds.push(took);
      perSocket.push(((memory.stop() - base) / stalling.length) * 1_000);
      await sleep(Math.max(0, 8_000 - took * 1_000));
      for (const socket of stalling) socket.tcp.destroy();
    };
    await sleep(2_000);
    const { isUnharmed, told } = await inPairs(crowd, quiet, stall);
    stream.stop();
    const { lost, closed } = await crowd.end();
    const alive = readers.filter((socket) => !socket.isClosed).length;
    return {
      numbers:
        `ended after ${Math.max(...seconds).toFixed(1)} s at most, ${Math.max(...perSocket).toFixed(0)} kB each; ` +
        `${told}, lost ${lost}, closed ${closed + 20 - alive}`,
      ok: Math.max(...seconds) <= 10 && isUnharmed && lost === 0 && closed === 0 && alive === 20,
    };
  } finally {
    await server.end();
  }
}

/** All 200 subscribers of the feed stop, in the middle of it. */
export async function allStall() {
  const server = await Server.start();
  const crowd = await Crowd.start(server, 'L2');
  try {
    const stalled = await subscribers(server, 200, 2);
    const stream = feed(server);
    await sleep(2_000);
    const [base, open] = [server.rss(), await server.metric('bellwire_connections')];
    const memory = server.watchMemory();
    let [slowest, asking] = [0, true];
    const health = (async () => {
      while (asking) {
        const began = performance.now();
        const answer = await fetch(`${server.url}/ready`);
        slowest = Math.max(slowest, answer.ok ? performance.now() - began : Number.POSITIVE_INFINITY);
        await sleep(100);
      }
    })();
    await crowd.mark();
    for (const socket of stalled) socket.tcp.pause();
    const seconds = await untilEnded(server, open - stalled.length);
    const perSocket = (memory.stop() - base) / stalled.length;
    asking = false;
    await health;
    stream.stop();
    const during = await crowd.window();
    const { lost, closed } = await crowd.end();
    return {
      numbers:
        `ended after ${seconds.toFixed(1)} s, ${(perSocket * 1_000).toFixed(0)} kB each (budget ` +
        `${(BUDGET * 1_000).toFixed(0)}); /ready in ${slowest.toFixed(0)} ms at most; others’ p99 ` +
        `${during.p99.toFixed(2)} ms, lost ${lost}, closed ${closed}`,
      ok: seconds <= 10 && perSocket <= BUDGET && slowest < 1_000 && lost === 0 && closed === 0,
    };
  } finally {
    await server.end();
  }
}
