//! `bellwire prune`

use super::output::Output;
use super::{database, lifetime};
use crate::config::Config;
use crate::domain::{Clock, Result};
use crate::storage::prune::{self, Done, Mode, Pruned};
use serde_json::json;
use std::time::Duration;

/// Delete webhook deliveries, events, notifications and idempotency keys that have had their time, and what deleted
/// webhooks left
///
/// A server does it by itself ([retention]). Pending deliveries and their events stay, and so does the newest event. Idempotency keys go after 24 hours. It
/// works in short transactions, so a server may run beside it. A SQLite file does not shrink: what is freed in it
/// is used again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Delete ended webhook deliveries and events of this age; 1h at least
    #[arg(long, value_name = "AGE", value_parser = lifetime::parse, default_value = "90d")]
    older_than: Duration,
    /// Only count what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    let mode = if args.dry_run { Mode::Count } else { Mode::Delete };
    let done = prune::run(&db, args.older_than, mode, Clock::System.now()).await?;
    Ok(shown(done, args.dry_run))
}

fn shown(Done { pruned, longest }: Done, dry_run: bool) -> Output {
    let Pruned {
        webhooks,
        webhook_deliveries,
        webhook_delivery_logs,
        webhook_stats,
        events,
        idempotency_keys,
        notification_log,
        in_app_notifications,
        scheduled_notifications,
        notification_digests,
        notification_fan_outs,
        notification_templates,
        scheduler_runs,
    } = pruned;
    let tables = [
        ("webhooks", webhooks),
        ("webhook_deliveries", webhook_deliveries),
        ("webhook_delivery_logs", webhook_delivery_logs),
        ("webhook_stats", webhook_stats),
        ("events", events),
        ("idempotency_keys", idempotency_keys),
        ("notification_log", notification_log),
        ("in_app_notifications", in_app_notifications),
        ("scheduled_notifications", scheduled_notifications),
        ("notification_digests", notification_digests),
        ("notification_fan_outs", notification_fan_outs),
        ("notification_templates", notification_templates),
        ("scheduler_runs", scheduler_runs),
    ];
    let column = if dry_run { "would delete" } else { "deleted" };
    let human =
        Output::list(&["table", column], tables.map(|(name, rows)| json!({"table": name, column: rows})));
    let mut json = json!({"dry_run": dry_run, "longest_transaction_ms": longest.as_millis()});
    for (name, rows) in tables {
        json[name] = rows.into();
    }
    Output { json, human: human.human }
}
