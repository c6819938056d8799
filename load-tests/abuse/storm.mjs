// 20: every connection reset in one instant, and everyone back at once.

import { paced, percentile, sleep, trigger, until } from './api.mjs';
import { Server } from './server.mjs';
import { Socket } from './socket.mjs';

const SOCKETS = 10_000;
const GROUP = 10;
/** Events a second (L3). */
const RATE = 50;

/**
 * Clients do as pusher-js does: they come back at once, and after a second when that fails. Twice, because what grows
 * once is the allocator's high-water mark, and what grows each time is a leak.
 */
export async function storm() {
  const server = await Server.start();
  try {
    const crowd = Array.from({ length: SOCKETS }, (_, n) => new Client(server.port, n));
    for (let begun = 0; begun < SOCKETS; begun += 250) {
      await Promise.all(crowd.slice(begun, begun + 250).map((client) => client.come()));
    }
    const flow = paced(RATE, (n) =>
      trigger(server.port, { name: 'm', channels: [`private-storm.${n % (SOCKETS / GROUP)}`], data: 'x' }).catch(() => {}),
    );
    await sleep(5_000);
    const before = server.rss();
    const [first, second] = [await drop(server, crowd), await drop(server, crowd)];
    flow.stop();
    for (const client of crowd) client.socket.reset();
    const told = ({ half, all, open, after }) =>
      `all ${open} back and subscribed after ${all.toFixed(1)} s (half after ${half.toFixed(1)} s), memory ` +
      `${after.toFixed(0)} MB (${(after / before).toFixed(3)}×)`;
    return {
      numbers: `${before.toFixed(0)} MB before; ${told(first)}; again: ${told(second)}`,
      ok: [first, second].every(({ open, all, after }) => open === SOCKETS && all <= 15 && after / before <= 1.05),
    };
  } finally {
    await server.end();
  }
}

/** Resets everyone in one instant and waits until all are back. */
async function drop(server, crowd) {
  const began = performance.now();
  for (const client of crowd) client.socket.reset();
  const back = crowd.map(async (client) => {
    await client.come();
    return (performance.now() - began) / 1_000;
  });
  const seconds = await Promise.all(back);
  await until(async () => (await server.metric('bellwire_connections')) === SOCKETS, 10_000);
  const open = await server.metric('bellwire_connections');
  await sleep(5_000);
  return { half: percentile(seconds, 0.5), all: Math.max(...seconds), open, after: server.rss() };
}

class Client {
  constructor(port, number) {
    this.port = port;
    this.channel = `private-storm.${number % (SOCKETS / GROUP)}`;
    this.from = `127.2.${number % 200}.${1 + (number % 250)}`;
  }

  /** Connects and subscribes, however often it takes. */
  async come() {
    for (;;) {
      try {
        this.socket = await Socket.open(this.port, { from: this.from });
        await this.socket.join(this.channel);
        return;
      } catch {
        this.socket?.tcp.destroy();
        await sleep(1_000);
      }
    }
  }
}
