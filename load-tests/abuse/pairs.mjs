// How the others fare before and during, in pairs: on shared cores one pair is noise, the median of several counts.

import { percentile, sleep } from './api.mjs';

const ROUNDS = 5;
/** What “the others are not harmed” means: their p99, during over before. */
const BAR = 1.2;

/**
 * Five times `quiet` (or as many milliseconds of nothing) and then `disturb`, each a window of the crowd's. Gives
 * `{ isUnharmed, told }`.
 */
export async function inPairs(crowd, quiet, disturb) {
  const pairs = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await crowd.mark();
    await (typeof quiet === 'number' ? sleep(quiet) : quiet(round));
    const before = (await crowd.window()).p99;
    await crowd.mark();
    await disturb(round);
    pairs.push([before, (await crowd.window()).p99]);
  }
  const ratio = percentile(pairs.map(([before, during]) => during / before), 0.5);
  const each = pairs.map((pair) => pair.map((p99) => p99.toFixed(2)).join(' → ')).join(', ');
  return { isUnharmed: ratio <= BAR, told: `others’ p99 ${ratio.toFixed(2)} × (median of ${each} ms)` };
}
