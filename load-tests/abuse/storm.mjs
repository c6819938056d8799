// 20: every connection reset in one instant, and everyone back at once.

import { paced, percentile, sleep, trigger, until } from './api.mjs';
import { Server } from './server.mjs';
import { Socket } from './socket.mjs';

const SOCKETS = 10_000;
const GROUP = 10;
/** Events a second (L3). */
const RATE = 50;

/** Clients do as pusher-js does: they come back at once, and after a second when that fails. */
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
    const memory = server.watchMemory();
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
    const [most, after] = [memory.stop(), server.rss()];
    flow.stop();
    for (const client of crowd) client.socket.reset();
    const ratio = after / before;
    const slowest = Math.max(...seconds);
    return {
      numbers:
        `all ${open} back and subscribed after ${slowest.toFixed(1)} s (half after ` +
        `${percentile(seconds, 0.5).toFixed(1)} s); memory ${before.toFixed(0)} → ${after.toFixed(0)} MB ` +
        `(${ratio.toFixed(3)}×, ${(most / before).toFixed(2)}× at most)`,
      ok: open === SOCKETS && slowest <= 15 && ratio <= 1.05,
    };
  } finally {
    await server.end();
  }
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
