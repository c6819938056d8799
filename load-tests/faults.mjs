// Faults, one experiment at a time: processes that die, receivers that misbehave, an endpoint that stays dead. What
// was done, the numbers, and whether what must hold did.
//
//   cargo build --release && node load-tests/faults.mjs 21        (or several numbers, or: all)
//
// Each starts servers of its own on free ports, on SQLite and on a PostgreSQL of its own (DATABASES=sqlite or postgres
// for one of them). The README beside this file has the table. Exit code 1 when something did not hold.

import { experiments } from './faults/experiments.mjs';

const asked = process.argv.slice(2);
const wanted = asked.includes('all') ? experiments : experiments.filter((e) => asked.includes(String(e.number)));
const unknown = asked.filter((word) => word !== 'all' && !experiments.some((e) => String(e.number) === word));
const databases = (process.env.DATABASES ?? 'sqlite,postgres').split(',');

if (wanted.length === 0 || unknown.length > 0) {
  for (const { number, title, holds } of experiments) console.log(`${number}  ${title}: ${holds}`);
  console.error('usage: node load-tests/faults.mjs NUMBER… | all');
  process.exit(2);
}

// So that what stands in temporary folders goes; processes go with this one by themselves.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

let failed = 0;
for (const { number, title, run } of wanted) {
  for (const database of databases) {
    const began = performance.now();
    let [numbers, ok] = ['', false];
    try {
      ({ numbers, ok } = await run(database));
    } catch (error) {
      numbers = error.stack;
    }
    failed += ok ? 0 : 1;
    const seconds = ((performance.now() - began) / 1_000).toFixed(0);
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${number}  ${title}, ${database}: ${numbers} (${seconds} s)`);
  }
}
process.exit(failed ? 1 : 0);
