// The rows that the scheduler's tests begin with, and what is to be found in them afterwards.

/** A time as both databases take it. */
export const sqlTime = (milliseconds) => new Date(milliseconds).toISOString().replace('T', ' ').replace('Z', '000');

const numbers = (n) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${n})`;

/** Users of the hub's tenant, for whom it is noon wherever this runs: nobody's quiet hours are in the way. Their ids. */
export function users(hub, count) {
  const now = new Date();
  const offset = now.getUTCHours() - 12;
  const zone = `Etc/GMT${offset < 0 ? offset : `+${offset}`}`;
  hub.store.run(`
    UPDATE tenants SET timezone = '${zone}' WHERE id = ${hub.tenant};
    ${numbers(count)} INSERT INTO users (tenant_id, name, email, created_at, updated_at)
      SELECT ${hub.tenant}, 'User', 'user' || i || '@shop.example', '${sqlTime(+now)}', '${sqlTime(+now)}' FROM n;`);
  return hub.store.rows("SELECT id FROM users WHERE email LIKE 'user%@shop.example' ORDER BY id").map(({ id }) => id);
}

/** Notifications that were scheduled long ago for `due(i)`, an SQL expression; written around the API, which asks for requests of a thousand. */
export function scheduled(hub, count, due, [first, last]) {
  const now = sqlTime(Date.now());
  hub.store.run(`
    ${numbers(count)} INSERT INTO scheduled_notifications (tenant_id, recipient_id, notification_type, title, body, payload,
        priority, scheduled_at, due_at, reason, status, next_attempt_at, created_at, updated_at)
      SELECT ${hub.tenant}, ${first} + i % ${last - first + 1}, 'reminder', 'Reminder ' || i, 'Do not forget.', '{}',
        'normal', ${due}, ${due}, 'as_asked', 'pending', ${due}, '${now}', '${now}' FROM n;
    ANALYZE;`);
}

/** Notifications that were scheduled and delivered at `time`, which is text. */
export function ended(hub, count, time, [first, last]) {
  hub.store.run(`
    ${numbers(count)} INSERT INTO scheduled_notifications (tenant_id, recipient_id, notification_type, title, body, payload,
        priority, scheduled_at, due_at, reason, status, next_attempt_at, delivered_at, created_at, updated_at)
      SELECT ${hub.tenant}, ${first} + i % ${last - first + 1}, 'reminder', 'Reminder ' || i, 'Do not forget.', '{}',
        'normal', t, t, 'as_asked', 'delivered', t, t, t, t FROM n, (SELECT ${hub.store.kind === 'postgres' ? 'TIMESTAMP ' : ''}'${time}' AS t) AS past;`);
}

/** `base` and so many seconds after it, as SQL: seconds may be an expression in `i`. */
export function later(hub, base, seconds) {
  return hub.store.kind === 'postgres'
    ? `TIMESTAMP '${sqlTime(base)}' + (${seconds}) * INTERVAL '1 second'`
    : `strftime('%Y-%m-%d %H:%M:%f', '${sqlTime(base).slice(0, -3)}', (${seconds}) || ' seconds') || '000'`;
}
