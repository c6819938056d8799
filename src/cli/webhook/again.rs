//! Verbs that send: a test, one delivery again, those that failed, past events.

use super::views::instant;
use super::{Desk, One};
use crate::cli::output::Output;
use crate::cli::progress;
use crate::domain::{Clock, DeliveryId, EventFilter, Result, Timestamp};
use crate::storage::Conn;
use crate::webhooks::deliveries::DeliveryResource;
use crate::webhooks::recovery::{self, Wanted};
use crate::webhooks::time_range::TimeRange;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Resend {
    #[command(flatten)]
    one: One,
    /// The delivery's id
    delivery: DeliveryId,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Recover {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    made: Made,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    made: Made,
    /// Only these events, of those that the endpoint wants
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = EventFilter::parse)]
    events: Option<Vec<EventFilter>>,
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Made {
    /// Made then or later: a time (2026-03-01T08:00:00Z) or an age (24h)
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    since: Timestamp,
    /// Made before then; now unless said
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    until: Option<Timestamp>,
}

impl Made {
    /// What is made while it is sent again is none of it.
    fn range(self, now: Timestamp) -> TimeRange {
        TimeRange { since: Some(self.since), until: Some(self.until.unwrap_or(now)) }
    }
}

pub(super) async fn test(desk: &Desk<'_>, one: One) -> Result<Output> {
    let work = async |conn: &mut Conn| {
        let found = one.find(conn).await?;
        recovery::test(conn, &found, desk.now).await
    };
    let sent = desk.db.transaction(work).await?;
    Ok(on_its_way(&sent, format!("A test is on its way to webhook {}, as delivery {}.", one.id, sent.id)))
}

pub(super) async fn resend(desk: &Desk<'_>, args: &Resend) -> Result<Output> {
    let work = async |conn: &mut Conn| {
        let found = args.one.find(conn).await?;
        recovery::resend(conn, &found, args.delivery, desk.now).await
    };
    let sent = desk.db.transaction(work).await?;
    Ok(on_its_way(&sent, format!("Delivery {} is on its way again.", sent.id)))
}

fn on_its_way(delivery: &DeliveryResource, human: String) -> Output {
    Output { json: json!(delivery), human }
}

pub(super) async fn recover(desk: &Desk<'_>, args: &Recover) -> Result<Output> {
    let found = args.one.find(&mut desk.db.read().await?).await?;
    let wanted = Wanted { made: args.made.range(desk.now), ..Wanted::default() };
    let total = recovery::count_failed(&mut desk.db.read().await?, found.id, &wanted).await?;
    let bar = progress::bar(Some(total), desk.json);
    let place = (&desk.db, &Clock::System);
    let done = recovery::recover(place, &found, &wanted, u64::MAX, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    let count = done?.count;
    let human = format!("{count} failed deliveries to webhook {} are on their way again.", found.id);
    Ok(Output { json: json!({"recovered": count}), human })
}

pub(super) async fn replay(desk: &Desk<'_>, args: Replay) -> Result<Output> {
    let found = args.one.find(&mut desk.db.read().await?).await?;
    let wanted = Wanted { made: args.made.range(desk.now), after: 0, events: args.events };
    let bar = progress::bar(None, desk.json);
    let place = (&desk.db, &Clock::System);
    let done = recovery::replay(place, &found, &wanted, u64::MAX, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    let count = done?.count;
    let human = format!("{count} past events are on their way to webhook {}.", found.id);
    Ok(Output { json: json!({"replayed": count}), human })
}
