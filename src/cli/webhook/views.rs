//! Verbs that look: deliveries, the failed ones, figures.

use super::endpoints::{output, unwritable};
use super::{Desk, One, Owner};
use crate::cli::lifetime;
use crate::cli::output::Output;
use crate::domain::{Clock, EndpointId, EventFilter, Result, Timestamp};
use crate::storage::page::Cursor;
use crate::webhooks::deliveries::{self, DeliveryFilter, Status};
use crate::webhooks::endpoint;
use crate::webhooks::stats::{self, Period};
use crate::webhooks::time_range::TimeRange;
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Deliveries {
    #[command(flatten)]
    one: One,
    /// pending, delivered or failed
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    #[command(flatten)]
    part: Part,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Failed {
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    part: Part,
}

/// Which part of a long list.
#[derive(Debug, clap::Args)]
struct Part {
    /// Of an event: a name (product:updated) or a prefix (order:*)
    #[arg(long, value_parser = EventFilter::parse)]
    event: Option<EventFilter>,
    /// Made then or later: a time (2026-03-01T08:00:00Z) or an age (24h)
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    from: Option<Timestamp>,
    /// Made before then
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    to: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Those behind this one: next of the answer before
    #[arg(long, value_name = "ID")]
    cursor: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Stats {
    #[command(flatten)]
    one: One,
    /// hour, day or month
    #[arg(long, default_value = "day", value_parser = str::parse::<Period>)]
    period: Period,
}

fn status(text: &str) -> Result<Status, String> {
    text.parse().map_err(|()| "pending, delivered or failed".to_owned())
}

/// A time, or an age that is counted from now.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    match (Timestamp::parse_rfc3339(text), lifetime::parse(text)) {
        (Some(at), _) => Ok(at),
        (None, Ok(age)) => Ok(Clock::System.now().minus(age)),
        (None, Err(_)) => Err("a time such as 2026-03-01T08:00:00Z, or an age such as 24h".to_owned()),
    }
}

pub(super) async fn deliveries(desk: &Desk<'_>, args: Deliveries) -> Result<Output> {
    let found = args.one.find(&mut desk.db.read().await?).await?;
    list(desk, &[found.id], args.status, args.part).await
}

pub(super) async fn failed(desk: &Desk<'_>, args: Failed) -> Result<Output> {
    let endpoints = endpoint::ids(&mut desk.db.read().await?, args.owner.tenant).await?;
    list(desk, &endpoints, Some(Status::Failed), args.part).await
}

async fn list(
    desk: &Desk<'_>,
    endpoints: &[EndpointId],
    status: Option<Status>,
    part: Part,
) -> Result<Output> {
    let made = TimeRange { since: part.from, until: part.to };
    let filter = DeliveryFilter { status, event: part.event, made };
    let cursor = Cursor { after: part.cursor, per_page: part.limit.into() };
    let slice = deliveries::list(&mut desk.db.read().await?, endpoints, &filter, cursor).await?;
    let rows = slice.rows.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let columns = ["id", "webhook_id", "event", "status", "attempts", "due_at", "created_at"];
    let mut output = Output::list(&columns, rows.map_err(unwritable)?);
    output.json["next"] = slice.next.into();
    if let Some(next) = slice.next {
        // Writing to a string does not fail.
        let _ = write!(output.human, "\nThere is more: --cursor {next}");
    }
    Ok(output)
}

pub(super) async fn stats(desk: &Desk<'_>, args: Stats) -> Result<Output> {
    let mut conn = desk.db.read().await?;
    let found = args.one.find(&mut conn).await?;
    output(&stats::report(&mut conn, found.id, args.period, desk.now).await?)
}
