// How punctual the scheduler is: SCHEDULED notifications for USERS connected users, all due at one moment, asked for
// in requests of a thousand. Each must be in its recipient's inbox and on the recipient's socket within WITHIN seconds,
// once, and none before its time. They are critical, so that nobody's quiet hours defer them.
//
//   k6 run load-tests/scheduled.js

import { Counter, Trend } from 'k6/metrics';
import { after, now, within } from './lib/clock.js';
import { awaitCrowd, crowdFigures, dismiss, gather, scenarios, share } from './lib/crowd.js';
import { Figures, count, time } from './lib/figures.js';
import { until } from './lib/pace.js';
import { Pusher } from './lib/pusher/client.js';
import * as rest from './lib/rest.js';
import { number } from './lib/settings.js';
import { connections, findServer, target } from './lib/target.js';

const SCHEDULED = number('SCHEDULED', 10_000);
const USERS = Math.min(number('USERS', 1_000), target.lastUser - target.firstUser + 1, SCHEDULED);
const WITHIN = number('WITHIN', 2);
/** From the first request until all are due: time to accept them all. */
const LEAD = number('LEAD', 15);
/** How long the last of them is waited for, and a repeat after it. */
const PATIENCE = 30;
const REPEATS_MS = 1_000;
/** Notifications in one request. */
const BATCH = 1_000;
const TYPE = 'k6.scheduled';

const accepted = new Counter('accepted');
const acceptTime = new Trend('accept_time', true);
const arrived = new Counter('arrived');
const early = new Counter('early');
const repeated = new Counter('repeated');
const lateness = new Trend('lateness', true);
const inInbox = new Counter('in_inbox');

/** How many the n-th user gets. */
const quota = (n) => share(SCHEDULED, n, USERS).length;

const figures = new Figures('scheduled', [
  ...crowdFigures(USERS),
  count(accepted, `==${SCHEDULED}`, `notifications that were accepted, ${BATCH} a request`),
  time(acceptTime, 'max', `<${LEAD * 1_000}`, 'until all were: before they are due'),
  count(arrived, `==${SCHEDULED}`, "notifications that came on their recipient's channel"),
  count(early, '==0', 'notifications that came before they were due'),
  count(repeated, '==0', 'notifications that came a second time'),
  time(lateness, 'p(50)', '', 'from when it was due to its arrival, half of them'),
  time(lateness, 'p(99)', '', '99 of 100'),
  time(lateness, 'max', `<${WITHIN * 1_000}`, 'the last'),
  count(inInbox, `==${quota(0)}`, "unread notifications that the first user's inbox gained"),
]);

export const options = figures.options({ scenarios: scenarios(USERS, LEAD + PATIENCE, 'receive', 'schedule') });

/** What marks this run's notifications, the connections of others, and what the first user had not read before. */
export function setup() {
  findServer();
  return { run: Date.now().toString(36), others: connections(), unread: unreadCount() };
}

const unreadCount = () => rest.get('/notifications/in-app/unread-count').unread_count;

export async function receive({ run }) {
  const crowd = await gather(USERS, (n) => {
    const client = new Pusher();
    const channel = client.subscribe(`private-notification.${target.firstUser + n}`);
    return { client, channel, end: collect(channel, run, quota(n)) };
  });
  await within((LEAD + PATIENCE) * 1_000, Promise.all(crowd.map(({ end }) => end)));
  await after(REPEATS_MS);
  dismiss(crowd);
}

/** Resolves when so many different ones have come. */
function collect(channel, run, expected) {
  const seen = new Set();
  return new Promise((resolve) => {
    channel.bind('notification:created', ({ type, title }, came) => {
      const [mark, n, due] = String(title).split(' ');
      if (type !== TYPE || mark !== run) return;
      if (seen.has(n)) return repeated.add(1);
      seen.add(n);
      arrived.add(1);
      if (came < Number(due)) early.add(1);
      lateness.add(came - Number(due));
      if (seen.size === expected) resolve();
    });
  });
}

export function schedule({ run, others, unread }) {
  awaitCrowd(USERS, () => connections() - others);
  const began = now();
  const due = Math.ceil(began + LEAD * 1_000);
  for (let first = 0; first < SCHEDULED; first += BATCH) {
    const size = Math.min(BATCH, SCHEDULED - first);
    const notifications = Array.from({ length: size }, (_, n) => one(run, first + n, due));
    rest.post('/notifications/scheduled', { notifications });
    accepted.add(size);
  }
  acceptTime.add(now() - began);
  until(() => now() > due && unreadCount() >= unread + quota(0), LEAD + PATIENCE);
  inInbox.add(unreadCount() - unread);
}

const one = (run, n, due) => ({
  user_id: target.firstUser + (n % USERS),
  type: TYPE,
  title: `${run} ${n} ${due}`,
  body: 'One of many that are due at one moment.',
  scheduled_at: new Date(due).toISOString(),
  priority: 'critical',
});

export const handleSummary = figures.summary;
