// The others: clients that behave, in a thread of their own, so that what is done to the server is not done to their
// stop-watch. Groups of ten share a private channel each; events come through the HTTP API.
//
//   L1   200 sockets, 200 events a second (2,000 deliveries)
//   L2 2,000 sockets, 1,000 events a second (10,000 deliveries)

import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { paced, percentile, sleep, trigger, until } from './api.mjs';
import { Socket } from './socket.mjs';

const LOADS = { L1: { sockets: 200, rate: 200 }, L2: { sockets: 2_000, rate: 1_000 } };
const GROUP = 10;

export class Crowd {
  /** Connects and subscribes everyone, and lets the events flow. */
  static async start(server, load) {
    const crowd = new Crowd();
    crowd.worker = new Worker(new URL(import.meta.url), { workerData: { port: server.port, ...LOADS[load] } });
    crowd.worker.on('error', (error) => {
      throw error;
    });
    await crowd.#told('ready');
    return crowd;
  }

  #told(what) {
    return new Promise((resolve) => {
      const listen = ([said, value]) => {
        if (said !== what) return;
        this.worker.off('message', listen);
        resolve(value);
      };
      this.worker.on('message', listen);
    });
  }

  async #ask(what) {
    const told = this.#told(what);
    this.worker.postMessage(what);
    return told;
  }

  /** From now on a new window is measured. */
  async mark() {
    await this.#ask('mark');
  }

  /** The window so far: `{ deliveries, p50, p99, max }`, in milliseconds from publish to receipt. */
  async window() {
    return this.#ask('window');
  }

  /** The window of so many milliseconds from now. */
  async measure(milliseconds) {
    await this.mark();
    await sleep(milliseconds);
    return this.window();
  }

  /** Stops the events and tells `{ published, lost, closed }`. */
  async end() {
    const totals = await this.#ask('end');
    await this.worker.terminate();
    return totals;
  }
}

if (!isMainThread) await run(workerData);

async function run({ port, sockets, rate }) {
  const groups = Math.ceil(sockets / GROUP);
  let [times, received, asked, published, failed, closed, ending] = [[], 0, 0, 0, 0, 0, false];
  const onEvent = (message) => {
    if (message.event !== 'm') return;
    received += 1;
    times.push(performance.now() - Number(message.data));
  };
  const crowd = [];
  for (let begun = 0; begun < sockets; begun += 50) {
    const some = Array.from({ length: Math.min(50, sockets - begun) }, async (_, n) => {
      const number = begun + n;
      // Loopback is a whole /8: nobody's neighbours share the limit of an address.
      const socket = await Socket.open(port, { onEvent, from: `127.1.${number % 200}.${1 + (number % 250)}` });
      await socket.join(`private-crowd.${number % groups}`);
      socket.closed.then(() => (closed += ending ? 0 : 1));
      return socket;
    });
    crowd.push(...(await Promise.all(some)));
  }
  const flow = paced(rate, async (n) => {
    const event = { name: 'm', channels: [`private-crowd.${n % groups}`], data: String(performance.now()) };
    asked += 1;
    const status = await trigger(port, event).catch(() => 0);
    if (status === 200) published += 1;
    else failed += 1;
  });
  parentPort.on('message', async (what) => {
    if (what === 'mark') times = [];
    const summary = () => ({
      deliveries: times.length,
      p50: percentile(times, 0.5),
      p99: percentile(times, 0.99),
      max: percentile(times, 1),
    });
    if (what === 'window') parentPort.postMessage([what, summary()]);
    else if (what === 'end') {
      flow.stop();
      await until(() => asked === published + failed && received >= published * GROUP, 5_000);
      ending = true;
      for (const socket of crowd) socket.tcp.destroy();
      parentPort.postMessage([what, { published, failed, closed, lost: published * GROUP - received }]);
    } else parentPort.postMessage([what]);
  });
  await sleep(1_000);
  parentPort.postMessage(['ready']);
}
