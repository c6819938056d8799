// The scheduler: a burst that is due at one moment, and processes that are killed while they send.
//
//   cargo build --release && node load-tests/scheduler.mjs [burst] [kill]
//
// On SQLite and on a PostgreSQL of its own (DATABASES; `kill` is PostgreSQL's alone, where several processes share the
// rows). FUTURE, USERS, SCHEDULED; ROWS, SECONDS, PROCESSES make them smaller. BELLWIRE names another program. Exits
// with 1 when a bar is missed.

import { burst } from './scheduler/burst.mjs';
import { kill } from './scheduler/kill.mjs';

const TESTS = { burst: [burst, ['sqlite', 'postgres']], kill: [kill, ['postgres']] };
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
