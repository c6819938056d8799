// 21: the process is killed at every point by which its state leaves it, one after another, until a run has no point
// left; after each it is started again and finishes.
//
// FAULT_STEP takes only each so-manieth point, FAULT_MOST so many of them. `nth_call.c` has what a point is.

import { PATH, Socket } from '../abuse/socket.mjs';
import { Books } from './books.mjs';
import { Clock } from './clock.mjs';
import { Hub } from './hub.mjs';
import { preload } from './preload.mjs';
import { Receiver } from './receiver.mjs';

const STEP = Number(process.env.FAULT_STEP ?? 1);
const MOST = Number(process.env.FAULT_MOST ?? 5_000);
/** Changes of one run. */
const CHANGES = 4;
const PATHS = ['/good', '/second-time'];
/** Longer than any lease: what a dead process held is free when the next one starts. */
const LEASE_MS = 60_000;

export async function everyPoint(kind) {
  // A failed attempt is tried again at once, so that a run has all there is: attempt, failure, retry, end.
  const hub = await Hub.open(kind, 'retry_seconds = [0, 0, 0, 0, 0]\nbreaker_threshold = 1000000');
  const tried = new Set();
  const receiver = await Receiver.start(({ path, id }) => {
    if (path !== '/second-time' || tried.has(id)) return 200;
    tried.add(id);
    return 500;
  });
  const clock = new Clock(hub.folder);
  const faulty = preload(hub.folder, 'nth_call');
  const books = new Books();
  const seen = [];
  const kills = new Map();
  let [point, killed] = [1, 0];
  try {
    const endpoints = PATHS.map((path) => hub.endpoint(`${receiver.url}${path}`));
    for (; killed < MOST; point += STEP) {
      clock.forward(LEASE_MS);
      const libraries = `${faulty.LD_PRELOAD}:${clock.env.LD_PRELOAD}`;
      const server = hub.launch({ ...clock.env, LD_PRELOAD: libraries, FAULT_AT: String(point) });
      await workload(hub, server, receiver, books, seen);
      const { signal } = await server.end();
      if (signal !== 'SIGKILL') break;
      killed += 1;
      const where = placeOf(server, receiver.port, hub.store.postgres?.port);
      kills.set(where, (kills.get(where) ?? 0) + 1);
      clock.forward(LEASE_MS);
      await recover(hub, clock, endpoints);
    }
    const { lost, invented, repeats, events } = books.audit(hub.store, receiver.came, PATHS, seen);
    const share = ((repeats - tried.size) / (receiver.came.length - tried.size)) * 100;
    const failed = hub.store.rows("SELECT count(*) AS n FROM webhook_deliveries WHERE status <> 'delivered'")[0].n;
    const places = [...kills].sort(([, a], [, b]) => b - a).map(([where, n]) => `${where} ${n}`).join(', ');
    return {
      numbers:
        `killed at ${killed} points, ${killed < MOST ? 'the last run had none left' : `then stopped`} (${places}); ` +
        `${books.yes.size} changes acknowledged, ${events} events, each to ${PATHS.length} endpoints: ` +
        `lost ${lost}, invented ${invented}, not delivered ${failed}, duplicates ${share.toFixed(1)} %`,
      ok: killed > 0 && books.yes.size > 0 && lost === 0 && invented === 0 && failed === 0,
    };
  } finally {
    receiver.close();
    await hub.close();
  }
}

/** A product and its changes, with a socket that watches, until all is told or the server is gone. */
async function workload(hub, server, receiver, books, seen) {
  if (!(await server.serves)) return;
  const from = receiver.came.length;
  try {
    const watch = (message) => {
      if (message.event.startsWith('product:')) seen.push(priceOf(message.data));
    };
    const path = `${PATH}&token=${encodeURIComponent(hub.token)}`;
    const opening = Socket.open(server.port, { path, onEvent: watch });
    const socket = await Promise.race([opening, server.ended.then(() => Promise.reject(new Error('it ended')))]);
    await socket.join(`private-tenant.${hub.tenant}`);
    const made = await books.create(server);
    const changes = [];
    for (let n = 1; n < CHANGES; n += 1) {
      // The last two at once: what concurrent commits share is worth a fault, too.
      if (n < CHANGES - 1) await books.change(server, made);
      else changes.push(books.change(server, made));
    }
    changes.push(books.create(server));
    await Promise.all(changes);
    const all = (came) => count(came, from, '/good') >= CHANGES + 1 && count(came, from, '/second-time') >= 2 * (CHANGES + 1);
    await receiver.until(all, server.ended);
  } catch (error) {
    // What a killed server's clients see is no fault of theirs; anything else is.
    if (server.process.signalCode === null) await Promise.race([server.ended, rejectLater(error)]);
  }
}

const count = (came, from, path) => came.slice(from).filter((one) => one.path === path).length;
const priceOf = (data) => (typeof data === 'string' ? JSON.parse(data) : data).price;
const rejectLater = (error) => new Promise((_, reject) => setTimeout(() => reject(error), 5_000).unref());

/** Starts it without faults, waits until nothing is pending, and ends it. */
async function recover(hub, clock, endpoints) {
  const server = await hub.serve(clock.env);
  for (const endpoint of endpoints) {
    const pending = `/webhooks/${endpoint}/deliveries?filter[status]=pending`;
    while ((await server.api('GET', pending)).data.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { code } = await server.end();
  if (code !== 0) throw new Error(`after a fault it ended with ${code}:\n${server.log}`);
}

/** Where it was killed: `database after write`, … */
function placeOf(server, receiverPort, databasePort) {
  const [, edge, call, target] = server.log.match(/^fault (\w+) (\w+) (.*)$/m) ?? [];
  if (!edge) throw new Error(`killed, and not by a fault:\n${server.log}`);
  const [local, peer] = target.match(/^(\d+)-(\d+)$/)?.slice(1).map(Number) ?? [];
  const names = new Map([[receiverPort, 'endpoint'], [databasePort, 'PostgreSQL']]);
  const what = peer === undefined ? target.replace(/^bellwire\.db/, 'db') : names.get(peer) ?? (local === server.port ? 'client' : 'other');
  return `${what} ${edge} ${call}`;
}
