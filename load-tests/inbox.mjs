// What inboxes cost among a million notifications, on SQLite and on PostgreSQL.
//
//   cargo build --release && node load-tests/inbox.mjs
//
// ROWS notifications (1,000,000) of two tenants are put into an empty database and analysed: a fifth of them is one
// user's, a hundredth of that unread; a tenth is another's, all of it unread; the rest is 2,000 users'. Then each request
// is made REQUESTS times (300), one after another, and its median and p99 are printed: as the client sees it, and less
// what the same request costs for an inbox in which there is nothing (the way through the server: connection, token,
// JSON), which leaves the statements. Exits with 1 when the client waited longer than 5 ms for a list, or the count of a
// badge of up to 10,000 took longer than 1 ms in its statements (both p50). A badge is counted in an index, one unread
// after another: that of the user who has read nothing is printed, and not judged. `mark-all-read` of that inbox is
// timed last, with a product changed every 50 ms meanwhile.
//
// DATABASES (sqlite,postgres); BELLWIRE names another program.

import { Agent, request } from 'node:http';
import { sleep } from './abuse/api.mjs';
import { Hub } from './faults/hub.mjs';
import { sqlTime, users } from './scheduler/rows.mjs';

const ROWS = Number(process.env.ROWS ?? 1_000_000);
const REQUESTS = Number(process.env.REQUESTS ?? 300);
const LIST_MS = 5;
const COUNT_MS = 1;
const INBOX = '/api/v1/notifications/in-app';

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Milliseconds until the answer is read, and the answer. */
function ask(port, token, method, path) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const sent = request({ agent, host: '127.0.0.1', port, method, path, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => {
        if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode} ${text}`));
        else resolve([performance.now() - begun, JSON.parse(text)]);
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function timed(port, token, path) {
  const times = [];
  let answer;
  for (let n = 0; n < REQUESTS + 20; n += 1) {
    const [time, body] = await ask(port, token, 'GET', path);
    answer = body;
    // The first open connections and prepare statements.
    if (n >= 20) times.push(time);
  }
  times.sort((a, b) => a - b);
  return { p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)], answer };
}

/** `count` notifications of users from `first` on, in turn; `unread` of a hundred are unread. */
function fill(hub, tenant, [first, last], count, unread) {
  const now = `'${sqlTime(Date.now())}'`;
  const time = hub.store.kind === 'postgres' ? `${now}::timestamp` : now;
  hub.store.run(`
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO in_app_notifications (tenant_id, user_id, notification_type, title, message, action_url, priority, data,
        read_at, archived_at, created_at)
      SELECT ${tenant}, ${first} + i % ${last - first + 1}, 'order_shipped', 'Order ' || i || ' was shipped',
        'It is on its way and will be with you by the end of the week. Look at it at any time in your orders.',
        '/orders/' || i, 'normal', '{"order":' || i || '}', CASE WHEN i % 100 >= ${unread} THEN ${time} END,
        CASE WHEN i % 100 = 99 AND ${unread} < 100 THEN ${time} END, ${time} FROM n;`);
}

async function measure(kind) {
  const hub = await Hub.open(kind);
  try {
    const ids = users(hub, 2_003);
    const [reader, hoarder, nobody] = ids;
    const now = sqlTime(Date.now());
    hub.store.run(`
      INSERT INTO tenants (id, name, created_at, updated_at) VALUES (99, 'Other', '${now}', '${now}');
      INSERT INTO users (id, tenant_id, name, email, created_at, updated_at)
        VALUES (99999, 99, 'Other', 'other@other.example', '${now}', '${now}');`);
    // The oldest are those of the two that are asked for: whoever walks back from the newest has far to go.
    fill(hub, hub.tenant, [reader, reader], ROWS / 5, 1);
    fill(hub, hub.tenant, [hoarder, hoarder], ROWS / 10, 100);
    fill(hub, hub.tenant, [ids[3], ids.at(-1)], ROWS / 2, 20);
    fill(hub, 99, [99_999, 99_999], ROWS / 5, 50);
    hub.store.run('ANALYZE;');
    const token = (id) => hub.cli('token', 'create', '--user', String(id), '--name', 'inbox').token;
    const tokens = { reader: token(reader), hoarder: token(hoarder), crowd: token(ids[500]), nobody: token(nobody) };
    const server = await hub.serve();
    let ok = true;
    const paths = {
      list: `${INBOX}?per_page=20`,
      'list unread': `${INBOX}?per_page=20&filter[unread]=true`,
      'list archived': `${INBOX}?per_page=20&filter[archived]=true`,
      count: `${INBOX}/unread-count`,
    };
    for (const [name, path] of Object.entries(paths)) {
      const floor = await timed(server.port, tokens.nobody, path);
      for (const who of ['reader', 'hoarder', 'crowd']) {
        const { p50, p99, answer } = await timed(server.port, tokens[who], path);
        const found = answer.data.unread_count ?? answer.data.length;
        const inside = Math.max(0, p50 - floor.p50);
        const judged = name !== 'count' ? p50 <= LIST_MS : found > 10_000 || inside <= COUNT_MS;
        ok &&= judged;
        console.log(
          `${judged ? 'ok  ' : 'FAIL'} ${kind}, ${name} of the ${who} (${found}): ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)}; ` +
            `statements ${inside.toFixed(2)} ms (an empty inbox takes ${floor.p50.toFixed(2)})`,
        );
      }
    }
    await markAllRead(hub, server, tokens.hoarder, kind);
    await server.end();
    return ok;
  } finally {
    await hub.close();
  }
}

/** How long it takes, and how long whoever writes meanwhile has to wait. */
async function markAllRead(hub, server, token, kind) {
  const product = await server.api('POST', '/products', { name: 'Tea', sku: 'T-1', price: 950 });
  let done = false;
  const waits = [];
  const others = (async () => {
    for (let stock = 1; !done; stock += 1) {
      const begun = performance.now();
      await server.api('PATCH', `/products/${product.data.id}`, { stock });
      waits.push(performance.now() - begun);
      await sleep(50);
    }
  })();
  const [time, answer] = await ask(server.port, token, 'POST', `${INBOX}/mark-all-read`);
  done = true;
  await others;
  waits.sort((a, b) => a - b);
  console.log(
    `     ${kind}, mark-all-read of ${answer.data.updated}: ${(time / 1_000).toFixed(1)} s; meanwhile ${waits.length} changes of a product ` +
      `took ${waits[waits.length >> 1].toFixed(1)} ms, at most ${waits.at(-1).toFixed(1)} ms`,
  );
}

for (const kind of (process.env.DATABASES ?? 'sqlite,postgres').split(',')) {
  if (!(await measure(kind))) process.exitCode = 1;
}
agent.destroy();
