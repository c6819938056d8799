//! What a claim of scheduled notifications costs on SQLite, a thousand rows of 100,000 that are due: `cargo bench --bench
//! claim`. On PostgreSQL, and beside retention: `node load-tests/scheduler.mjs claims`.

#![expect(clippy::print_stderr, reason = "a benchmark has nobody else to tell")]

use bellwire::domain::{Clock, Timestamp};
use bellwire::notifications::schedule::Scheduler;
use bellwire::storage::{Conn, Db, DbOptions, migrate};
use bellwire::telemetry::Metrics;
use criterion::{Criterion, criterion_group, criterion_main};
use diesel_async::SimpleAsyncConnection;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ROWS: &str = "
    INSERT INTO tenants (id, name, created_at, updated_at) VALUES (1, 'Shop', '2026-01-01', '2026-01-01');
    INSERT INTO users (id, tenant_id, name, email, created_at, updated_at)
        VALUES (1, 1, 'Ana', 'ana@shop.example', '2026-01-01', '2026-01-01');
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO scheduled_notifications (tenant_id, recipient_id, notification_type, title, body, payload, priority,
            scheduled_at, due_at, reason, status, next_attempt_at, created_at, updated_at)
        SELECT 1, 1, 'reminder', 'Reminder', 'Do not forget.', '{}', 'normal', t, t, 'as_asked', 'pending', t, t, t
        FROM (SELECT i, strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', (i / 1000.0) || ' seconds') || '000' AS t FROM n);
    ANALYZE;";

/// More than a lease: what was claimed before is due again, and each claim finds the same.
const STEP: Duration = Duration::from_mins(1);

async fn scheduler(folder: &TempDir, clock: Clock) -> Result<Scheduler, Box<dyn Error>> {
    let url = format!("sqlite:{}", folder.path().join("claim.db").display());
    let db = Db::open(DbOptions { url, pool_size: 2, wait: Duration::from_secs(5) })?;
    migrate::run(&db).await?;
    db.transaction(async |conn| {
        if let Conn::Sqlite(conn) = conn {
            conn.batch_execute(ROWS).await?;
        }
        Ok(())
    })
    .await?;
    Ok(Scheduler::new((db, clock), 0, Arc::new(Metrics::new()?), None))
}

fn claim(criterion: &mut Criterion) {
    let mut run = || -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let start = Timestamp::from_micros(1_800_000_000_000_000).ok_or("no such time")?;
        let clock = Clock::fixed(start);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let scheduler = runtime.block_on(scheduler(&folder, clock.clone()))?;
        criterion.bench_function("claim 1,000 of 100,000 that are due, SQLite", |b| {
            b.iter(|| {
                clock.advance(STEP);
                runtime.block_on(scheduler.claim())
            });
        });
        Ok(())
    };
    if let Err(error) = run() {
        eprintln!("the claim could not be measured: {error}");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = claim
}
criterion_main!(benches);
