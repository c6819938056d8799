// The scheduler: a burst that is due at one moment, processes that are killed while they send, claims beside retention, a
// backlog for two processes, a clock that is set.
//
//   cargo build --release && node load-tests/scheduler.mjs [burst] [kill] [claims] [backlog] [clock]
//
// On SQLite and on a PostgreSQL of its own (DATABASES; `kill` is PostgreSQL's alone, where several processes share the
// rows). FUTURE, USERS, SCHEDULED; ROWS, SECONDS, PROCESSES, OLD, BACKLOG, COUNT make them smaller. BELLWIRE names another program. Exits
// with 1 when a bar is missed.

import { backlog } from './scheduler/backlog.mjs';
import { burst } from './scheduler/burst.mjs';
import { claims } from './scheduler/claims.mjs';
import { clock } from './scheduler/clock.mjs';
import { kill } from './scheduler/kill.mjs';

const BOTH = ['sqlite', 'postgres'];
const TESTS = {
  burst: [burst, BOTH],
  kill: [kill, ['postgres']],
  claims: [claims, BOTH],
  backlog: [backlog, BOTH],
  clock: [clock, BOTH],
};
const wanted = process.argv.slice(2);
const databases = (process.env.DATABASES ?? 'sqlite,postgres').split(',');

for (const name of wanted.length ? wanted : Object.keys(TESTS)) {
  if (!TESTS[name]) throw new Error(`there is no ${name}: it may be ${Object.keys(TESTS).join(', ')}`);
  const [test, on] = TESTS[name];
  for (const database of databases.filter((one) => on.includes(one))) {
    const { numbers, ok } = await test(database);
    if (!ok) process.exitCode = 1;
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}, ${database}: ${numbers}`);
  }
}
