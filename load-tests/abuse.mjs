// Abuse, one experiment at a time: what is done to the server, the numbers, and whether what must hold did.
//
//   cargo build --release && node load-tests/abuse.mjs 4        (or several numbers, or: all)
//
// Each starts a server of its own on a free port. The README beside this file has the table. Exit code 1 when
// something did not hold.

import { experiments } from './abuse/experiments.mjs';

const asked = process.argv.slice(2);
const wanted = asked.includes('all') ? experiments : experiments.filter((e) => asked.includes(String(e.number)));
const unknown = asked.filter((word) => word !== 'all' && !experiments.some((e) => String(e.number) === word));

if (wanted.length === 0 || unknown.length > 0) {
  for (const { number, title, holds } of experiments) console.log(`${String(number).padStart(2)}  ${title}: ${holds}`);
  console.error('usage: node load-tests/abuse.mjs NUMBER… | all');
  process.exit(2);
}

let failed = 0;
for (const { number, title, run } of wanted) {
  try {
    const { numbers, ok } = await run();
    failed += ok ? 0 : 1;
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${String(number).padStart(2)}  ${title}: ${numbers}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${String(number).padStart(2)}  ${title}: ${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
