// All experiments, by the numbers of the table in the README.

import { syncedFirst } from './durable.mjs';
import { atRandom } from './kills.mjs';
import { lostLeases } from './leases.mjs';
import { badReceivers } from './neighbours.mjs';
import { everyPoint } from './nth.mjs';
import { deadEndpoint } from './schedule.mjs';

export const experiments = [
  { number: 21, title: 'killed at every point', holds: '0 lost, 0 invented', run: everyPoint },
  { number: 22, title: 'killed at random under load', holds: '0 lost, each delivery ends once', run: atRandom },
  { number: 23, title: 'on the disk before it is told', holds: '0 answers before their sync', run: syncedFirst },
  { number: 24, title: 'leases of the dead and the late', holds: 'taken over ≤ 35 s, late outcomes fenced', run: lostLeases },
  { number: 25, title: 'receivers that misbehave', holds: 'each classed rightly, others’ p99 ≤ 1.2×', run: badReceivers },
  { number: 26, title: 'endpoints dead for the whole schedule', holds: 'six tries at their times', run: deadEndpoint },
];
