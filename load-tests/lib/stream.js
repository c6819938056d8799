// A stream of numbered broadcasts, and what a subscriber makes of it: how late each came, and whether it came once
// and in order.

import { Counter, Trend } from 'k6/metrics';
import { now } from './clock.js';
import { publish } from './pusher/back-end.js';

export const published = new Counter('published');
export const delivered = new Counter('delivered');
export const latency = new Trend('latency', true);
export const missed = new Counter('missed');
export const repeated = new Counter('repeated');
export const followed = new Counter('followed');

const EVENT = 'load:number';
const END = 'load:end';
/** As many bytes as a small event of an application has. */
const PADDING = 'x'.repeat(150);

/** Publishes the n-th number on all these channels. It is stamped before the request, which counts as latency. */
export function publishNumber(channels, n) {
  if (publish(channels, EVENT, { n, sent: now(), padding: PADDING })) published.add(1);
}

/** Tells the subscribers that no number follows the last of so many. */
export const publishEnd = (channels, numbers) => publish(channels, END, { numbers });

/** A client of a crowd that counts what comes on the channel; `end` resolves at the stream's end. */
export function follower(client, name) {
  const channel = client.subscribe(name);
  return { client, channel, end: follow(channel) };
}

function follow(channel) {
  let next = 0;
  channel.bind(EVENT, ({ n, sent }, came) => {
    if (n < next) return repeated.add(1);
    if (n > next) missed.add(n - next);
    next = n + 1;
    delivered.add(1);
    latency.add(came - sent);
  });
  return channel.next(END).then(([{ numbers }]) => {
    if (numbers > next) missed.add(numbers - next);
    followed.add(1);
  });
}
