//! What a request may say about an endpoint, read field by field: the words that making and changing one share.

use crate::domain::fields::Given;
use crate::domain::{EventFilter, Fields, Result};
use crate::storage::schema::webhooks;
use crate::webhooks::Strategy;
use crate::webhooks::backoff::MAX_RETRIES;
use serde_json::{Value, json};
use url::Url;

const MAX_FILTERS: usize = 100;

pub(super) fn name(fields: &mut Fields) -> Given<String> {
    fields.string("name", 1, 255)
}

/// The URL, read by the rules of the strategy that was said, or of the one that its scheme belongs to.
pub(super) fn url(fields: &mut Fields, strategy: Option<Strategy>) -> Given<Url> {
    let parse = |text: &str| match strategy {
        Some(strategy) => strategy.parse_url(text),
        None => Strategy::parse_any_url(text),
    };
    match fields.string("url", 1, 2_048) {
        Given::Value(text) => match parse(&text) {
            Ok(url) => Given::Value(url),
            Err(message) => {
                fields.wrong("url", message);
                Given::Wrong
            }
        },
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Wrong => Given::Wrong,
    }
}

pub(in crate::webhooks) fn events(fields: &mut Fields) -> Given<Vec<EventFilter>> {
    let values = match fields.array("events") {
        Given::Value(values) => values,
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Wrong => return Given::Wrong,
    };
    if values.is_empty() || values.len() > MAX_FILTERS {
        let message = format!("Name 1 to {MAX_FILTERS} events: product:updated, order:* or *.");
        fields.wrong("events", message);
        return Given::Wrong;
    }
    let count = values.len();
    let parsed: Vec<EventFilter> = values
        .iter()
        .enumerate()
        .filter_map(|(i, value)| {
            filter(value).map_err(|message| fields.wrong(&format!("events.{i}"), message)).ok()
        })
        .collect();
    if parsed.len() == count { Given::Value(parsed) } else { Given::Wrong }
}

fn filter(value: &Value) -> Result<EventFilter, String> {
    value.as_str().map_or_else(|| Err("An event filter must be a string.".to_owned()), EventFilter::parse)
}

/// What has a default: `None` leaves it. The bounds are those of the table.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, diesel::AsChangeset)]
#[diesel(table_name = webhooks)]
pub(super) struct Settings {
    pub(super) is_active: Option<bool>,
    pub(super) max_retries: Option<i32>,
    pub(super) retry_delay: Option<i32>,
    pub(super) timeout_ms: Option<i32>,
    pub(super) concurrency: Option<Option<i32>>,
    pub(super) rate_per_minute: Option<Option<i32>>,
    pub(super) is_ordered: Option<bool>,
    pub(super) breaker_threshold: Option<Option<i32>>,
    pub(super) breaker_open_seconds: Option<Option<i32>>,
}

impl Settings {
    pub(super) fn read(fields: &mut Fields) -> Self {
        Self {
            is_active: boolean(fields, "is_active"),
            max_retries: number(fields, "max_retries", 0, MAX_RETRIES.into()),
            retry_delay: number(fields, "retry_delay", 1, 1_000),
            timeout_ms: number(fields, "timeout_ms", 100, 30_000),
            concurrency: bound(fields, "concurrency", 100),
            rate_per_minute: bound(fields, "rate_per_minute", 600_000),
            is_ordered: boolean(fields, "is_ordered"),
            breaker_threshold: bound(fields, "breaker_threshold", 1_000),
            breaker_open_seconds: bound(fields, "breaker_open_seconds", 604_800),
        }
    }
}

/// How to send, if it is said.
pub(super) fn strategy(fields: &mut Fields) -> Option<Strategy> {
    let given = fields.string("strategy", 0, 20);
    let name = fields.present("strategy", given)?;
    let strategy = Strategy::parse(&name);
    if strategy.is_none() {
        let names = Strategy::ALL.map(Strategy::as_str).join(", ");
        fields.wrong("strategy", format!("The strategy field must be one of {names}."));
    }
    strategy
}

fn boolean(fields: &mut Fields, name: &'static str) -> Option<bool> {
    let given = fields.boolean(name);
    fields.present(name, given)
}

fn number(fields: &mut Fields, name: &'static str, min: i64, max: i64) -> Option<i32> {
    let given = fields.integer(name, min, max);
    fields.present(name, given).and_then(|n| n.try_into().ok())
}

/// `null` takes the bound away, so that the configuration's counts.
#[expect(clippy::option_option, reason = "absent, null and a number are three things to say")]
fn bound(fields: &mut Fields, name: &'static str, max: i64) -> Option<Option<i32>> {
    fields.integer(name, 1, max).change().map(|given| given.and_then(|n| n.try_into().ok()))
}

/// Filters as the column holds them.
pub(super) fn column(events: &[EventFilter]) -> Value {
    json!(events)
}
