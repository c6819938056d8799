// The Pusher HTTP API as a back end uses it, over a few connections that stay open.

import { createHash, createHmac } from 'node:crypto';
import { Agent, request } from 'node:http';
import { app } from './server.mjs';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/** Posts `{ name, channels, data }`; the status of the answer. */
export function trigger(port, event) {
  const body = JSON.stringify(event);
  const path = `/apps/${app.id}/events`;
  const query =
    `auth_key=${app.key}&auth_timestamp=${Math.floor(Date.now() / 1000)}&auth_version=1.0` +
    `&body_md5=${createHash('md5').update(body).digest('hex')}`;
  const signed = createHmac('sha256', app.secret).update(`POST\n${path}\n${query}`).digest('hex');
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const options = { agent, port, host: '127.0.0.1', method: 'POST', headers };
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, path: `${path}?${query}&auth_signature=${signed}` }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Calls `act` so many times a second until `stop()`; a tick that comes late catches up. */
export function paced(rate, act) {
  const began = performance.now();
  let done = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * rate);
    for (; done < due; done += 1) act(done);
  }, 5);
  return { stop: () => clearInterval(timer) };
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Asks until the answer is true, for at most so long; whether it came to be. */
export async function until(ask, milliseconds = 15_000, every = 20) {
  const deadline = performance.now() + milliseconds;
  while (!(await ask())) {
    if (performance.now() > deadline) return false;
    await sleep(every);
  }
  return true;
}

/** The value below which this share of the sorted or unsorted numbers lies. */
export function percentile(numbers, share) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : Number.NaN;
}
