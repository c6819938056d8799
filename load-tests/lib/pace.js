// Doing something so many times at a steady rate.

import { sleep } from 'k6';
import { Trend } from 'k6/metrics';
import { now } from './clock.js';
import { time } from './figures.js';

const behind = new Trend('behind', true);

/** Told and not judged: what was behind its time by seconds was less load than was asked for. */
export const paceFigure = time(behind, 'max', '', 'the most that one of them was behind its time at this rate');

/** `work(n)` for n from 0 to `times` - 1, at `perSecond`; what is late is caught up with. It blocks the VU. */
export function paced(times, perSecond, work) {
  const start = now();
  for (let n = 0; n < times; n += 1) {
    const early = start + (n * 1_000) / perSecond - now();
    if (early > 0) sleep(early / 1_000);
    behind.add(now() - start - (n * 1_000) / perSecond);
    work(n);
  }
}

/** Asks every fifth of a second until the answer is true, so many seconds long; whether it came. */
export function until(ask, seconds) {
  // The clock of `now` does not run in `teardown`.
  const deadline = Date.now() + seconds * 1_000;
  while (!ask()) {
    if (Date.now() > deadline) return false;
    sleep(0.2);
  }
  return true;
}
