// All experiments, by the numbers of the table in the README.

import { connectFlood, slowHandshakes, strangers } from './connects.mjs';
import { fragments, liar } from './frames.mjs';
import { clientEvents, oddMessages, pingFlood, subscribeFlood } from './messages.mjs';
import { allStall, someStall } from './readers.mjs';
import { storm } from './storm.mjs';
import { forgedSignatures, origins, secrets } from './suites.mjs';

export const experiments = [
  { number: 2, title: 'a frame that declares 400 MiB', holds: 'cut at its header, memory flat', run: liar },
  { number: 3, title: 'messages in a million fragments', holds: '1008 or 1009, memory flat', run: fragments },
  { number: 4, title: '1 % of the readers stop', holds: 'ended within 10 s, others’ p99 ≤ 1.2×', run: someStall },
  { number: 5, title: 'a whole channel stops reading', holds: 'the hub answers, memory ≤ budget × n', run: allStall },
  { number: 6, title: 'ping flood', holds: 'closed, others’ CPU ≤ +10 %', run: pingFlood },
  { number: 7, title: '1,000 slow handshakes', holds: 'all closed ≤ 5.5 s, connects < 100 ms', run: slowHandshakes },
  { number: 8, title: '5,000 that never authenticate', holds: 'all closed ≤ 10 s', run: strangers },
  { number: 9, title: 'connect flood with spoofed addresses', holds: 'refused above the cap, 0 get by', run: connectFlood },
  { number: 10, title: 'one socket subscribes to 10,000 names', holds: 'capped at 128', run: subscribeFlood },
  { number: 11, title: 'client events without end', holds: '4301 above 10 a second, others’ p99 ≤ 1.2×', run: clientEvents },
  { number: 12, title: 'odd JSON', holds: 'no panic, ≤ 1 ms each', run: oddMessages },
  { number: 14, title: 'forged signatures', holds: '0 accepted of ≥ 10,000', run: forgedSignatures },
  { number: 15, title: 'origins', holds: '0 wrong verdicts', run: origins },
  { number: 16, title: 'secrets in logs, errors and metrics', holds: '0 found', run: secrets },
  { number: 20, title: '10,000 sockets dropped at once', holds: 'all back ≤ 15 s, memory ≤ 1.05×', run: storm },
];
