// How long the scheduler's claims take while the same server prunes a million rows of the same table.

import { sleep } from '../abuse/api.mjs';
import { Hub } from '../faults/hub.mjs';
import { ended, later, scheduled, sqlTime, users } from './rows.mjs';

const OLD = Number(process.env.OLD ?? 1_000_000);
const FUTURE = Number(process.env.FUTURE ?? 100_000);
const PER_SECOND = 50;
const DAY_MS = 86_400_000;
/** The claims have to be enough for a 99th percentile. */
const ENOUGH = 500;

/** `[upper bound in seconds, how many did not exceed it]` of each bucket. */
async function buckets(server) {
  const [, text] = await server.rest('GET', '/metrics');
  return [...text.matchAll(/bellwire_scheduler_claim_seconds_bucket\{le="([^"]+)"\} (\d+)/g)].map(([, le, count]) => [
    le === '+Inf' ? Infinity : Number(le),
    Number(count),
  ]);
}

export async function claims(kind) {
  const hub = await Hub.open(kind);
  try {
    const ids = users(hub, 1_000);
    const range = [ids[0], ids.at(-1)];
    ended(hub, OLD, sqlTime(Date.now() - 180 * DAY_MS), range);
    scheduled(hub, FUTURE, later(hub, Date.now() + DAY_MS, 'i'), range);
    const start = Date.now();
    // For an hour; what is left of them when the old rows are gone does not matter.
    scheduled(hub, PER_SECOND * 3_600, later(hub, start, `i / ${PER_SECOND}.0`), range);
    const server = await hub.serve({ BELLWIRE__RETENTION__CRON: '*/5 * * * * *' });
    const began = Date.now();
    const left = `SELECT id FROM scheduled_notifications WHERE status = 'delivered' AND created_at < '${sqlTime(start - 90 * DAY_MS)}' LIMIT 1`;
    while (hub.store.rows(left).length > 0) await sleep(1_000);
    const seconds = (Date.now() - began) / 1_000;
    const counts = await buckets(server);
    await server.end();
    const all = counts.at(-1)[1];
    const within = (share) => counts.find(([, count]) => count >= share * all)[0] * 1_000;
    return {
      numbers:
        `${all} claims while ${OLD} rows were pruned in ${seconds.toFixed(0)} s: p50 ≤ ${within(0.5)} ms, p99 ≤ ${within(0.99)} ms, ` +
        `the slowest ≤ ${within(1)} ms`,
      ok: all >= Math.min(ENOUGH, OLD / 2_000) && within(0.99) <= 50,
    };
  } finally {
    await hub.close();
  }
}
