//! `Endpoint`: a subscriber's URL, its secret and its event filters; a row of `webhooks` and its queries.

use super::backoff::{Backoff, MAX_RETRIES};
use super::secrets::{Sealed, Secrets, Shown, SigningSecrets};
use super::signing::Signer;
use super::vault::{Unopened, Vault};
use crate::domain::error::FieldErrors;
use crate::domain::{
    Code, EndpointId, Error, EventFilter, Result, Secret, TenantId, Timestamp, parse_hook_url,
};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, Violation, on_conn, on_conn_skipping_locked};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

const MAX_NAME: usize = 255;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// A row of `webhooks`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose events it gets.
    pub tenant_id: TenantId,
    /// What its owner calls it.
    pub name: String,
    /// Where its deliveries are posted.
    pub url: String,
    /// What it keeps secret, as it stands in the row.
    pub sealed: Sealed,
    /// Which events it gets.
    pub events: Vec<EventFilter>,
    /// Whether it gets any.
    pub is_active: bool,
    /// Whether its deliveries wait until its owner resumes it.
    pub is_paused: bool,
    /// Why it is not active, if that was not its owner's wish.
    pub disabled_reason: Option<String>,
    /// When failed deliveries are tried again.
    pub backoff: Backoff,
    /// From connecting to the end of the answer's body.
    pub timeout: Duration,
    /// Requests in flight to it; the configuration's unless said.
    pub concurrency: Option<usize>,
    /// Requests a minute; no bound unless said.
    pub rate_per_minute: Option<u32>,
    /// Whether each delivery waits for the one before it to end.
    pub is_ordered: bool,
    /// Failures in a row that open its breaker; the configuration's unless said.
    pub breaker_threshold: Option<u32>,
    /// How long its breaker stays open; the configuration's unless said.
    pub breaker_open: Option<Duration>,
    /// When it was last called, give or take a second.
    pub last_triggered_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

/// What somebody says about an endpoint they want, before anything of it is believed.
#[derive(Debug, Clone)]
pub struct EndpointDraft {
    /// Whose events it shall get.
    pub tenant_id: TenantId,
    /// What to call it; the URL's host if nothing is said.
    pub name: Option<String>,
    /// Where to post.
    pub url: String,
    /// Event filters as written.
    pub events: Vec<String>,
    /// A secret that its owner brings; a new one is made if nothing is said.
    pub secret: Option<Secret>,
}

/// An endpoint that may be made: every part of it has been checked.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    tenant_id: TenantId,
    name: String,
    url: String,
    /// What signs its deliveries; a key pair may be put in for `v1a`.
    pub secrets: Secrets,
    events: Vec<EventFilter>,
    /// When failed deliveries are tried again; the full schedule unless changed.
    pub backoff: Backoff,
    /// From connecting to the end of the answer's body; 5 s unless changed, 0.1 to 30 s.
    pub timeout: Duration,
}

impl NewEndpoint {
    /// Checks a draft; every error is named by its field.
    pub fn parse(draft: EndpointDraft) -> Result<Self> {
        let mut errors = FieldErrors::new();
        let url = collect(&mut errors, "url", parse_hook_url(&draft.url));
        let events = parse_filters(&draft.events, &mut errors);
        let name = match draft.name {
            Some(name) => collect(&mut errors, "name", parse_name(name)),
            None => url.as_ref().map(|u| u.host_str().unwrap_or_default().to_owned()),
        };
        let secret = collect(&mut errors, "secret", draft.secret.map_or_else(new_secret, check_secret));
        match (url, name, secret) {
            (Some(url), Some(name), Some(current)) if errors.is_empty() => Ok(Self {
                tenant_id: draft.tenant_id,
                name,
                url: url.into(),
                secrets: Secrets::new(current),
                events,
                backoff: Backoff { max_retries: MAX_RETRIES, delay_percent: 100 },
                timeout: DEFAULT_TIMEOUT,
            }),
            _ => Err(Error::invalid(errors)),
        }
    }
}

impl Endpoint {
    /// Opens what it keeps secret.
    pub fn secrets(&self, vault: &Vault) -> Result<Secrets, Unopened> {
        Secrets::open(vault, self.tenant_id, &self.sealed)
    }
}

/// Inserts the endpoint, its secrets sealed; beside it, what its owner is shown this once.
pub async fn create(
    conn: &mut Conn,
    vault: &Vault,
    new: NewEndpoint,
    now: Timestamp,
) -> Result<(Endpoint, Shown)> {
    let values = (
        webhooks::tenant_id.eq(new.tenant_id),
        webhooks::name.eq(&new.name),
        webhooks::url.eq(&new.url),
        new.secrets.seal(vault, new.tenant_id)?,
        webhooks::events.eq(serde_json::json!(new.events)),
        webhooks::max_retries.eq(column(new.backoff.max_retries.into())),
        webhooks::retry_delay.eq(column(new.backoff.delay_percent.into())),
        webhooks::timeout_ms.eq(column(new.timeout.as_millis())),
        webhooks::created_at.eq(now.whole_seconds()),
        webhooks::updated_at.eq(now.whole_seconds()),
    );
    let inserted: diesel::QueryResult<EndpointRow> = on_conn!(conn, c =>
        diesel::insert_into(webhooks::table)
            .values(values)
            .returning(EndpointRow::as_returning())
            .get_result(c)
            .await);
    match inserted {
        Err(e) if Violation::of(&e) == Some(Violation::ForeignKey) => {
            Err(Error::not_found("tenant").because(e))
        }
        row => Ok((Endpoint::try_from(row?)?, new.secrets.current.shown())),
    }
}

/// The tenant's endpoint of this id.
pub async fn find(conn: &mut Conn, tenant: TenantId, id: EndpointId) -> Result<Endpoint> {
    let query = webhooks::table.filter(webhooks::id.eq(id).and(webhooks::tenant_id.eq(tenant)));
    let row: Option<EndpointRow> =
        on_conn!(conn, c => query.select(EndpointRow::as_select()).first(c).await.optional())?;
    row.map_or_else(|| Err(Error::not_found("webhook")), Endpoint::try_from)
}

/// The tenant's endpoints, oldest first.
pub async fn list(conn: &mut Conn, tenant: TenantId) -> Result<Vec<Endpoint>> {
    let query = webhooks::table.filter(webhooks::tenant_id.eq(tenant)).order(webhooks::id);
    let rows: Vec<EndpointRow> = on_conn!(conn, c => query.select(EndpointRow::as_select()).load(c).await)?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// The ids of all endpoints that are active, of every tenant.
pub async fn active_ids(conn: &mut Conn) -> Result<Vec<EndpointId>> {
    let query = webhooks::table.filter(webhooks::is_active.eq(true)).select(webhooks::id);
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

/// Those of `ids` that are active, as they are now. A row that cannot be read is logged and left out: it must
/// not stand in the way of the others.
pub(super) async fn load_active(conn: &mut Conn, ids: &[EndpointId]) -> Result<Vec<Endpoint>> {
    let query = webhooks::table.filter(webhooks::id.eq_any(ids).and(webhooks::is_active.eq(true)));
    let rows: Vec<EndpointRow> = on_conn!(conn, c => query.select(EndpointRow::as_select()).load(c).await)?;
    let readable =
        |row| Endpoint::try_from(row).inspect_err(|error| tracing::error!(%error, "webhook left out")).ok();
    Ok(rows.into_iter().filter_map(readable).collect())
}

/// Notes that these endpoints were called, at most once a second each. On PostgreSQL a row that another process
/// holds is passed over: it is noting the same, and waiting in another order would be a deadlock.
pub(super) async fn note_triggered(conn: &mut Conn, ids: &[EndpointId], now: Timestamp) -> Result<()> {
    let a_second_ago = now.minus(Duration::from_secs(1));
    let stale = webhooks::table
        .filter(webhooks::id.eq_any(ids))
        .filter(webhooks::last_triggered_at.is_null().or(webhooks::last_triggered_at.lt(a_second_ago)))
        .order(webhooks::id)
        .select(webhooks::id);
    let stale: Vec<EndpointId> = on_conn_skipping_locked!(conn, stale, |q, c| q.load(c).await)?;
    if !stale.is_empty() {
        let rows = webhooks::table.filter(webhooks::id.eq_any(stale));
        let change = webhooks::last_triggered_at.eq(now);
        on_conn!(conn, c => diesel::update(rows).set(change).execute(c).await)?;
    }
    Ok(())
}

/// Stops the endpoint: no new deliveries, and none of those that wait. Its rows stay.
pub async fn deactivate(conn: &mut Conn, tenant: TenantId, id: EndpointId, now: Timestamp) -> Result<()> {
    let target = webhooks::table.filter(webhooks::id.eq(id).and(webhooks::tenant_id.eq(tenant)));
    let changes = (webhooks::is_active.eq(false), webhooks::updated_at.eq(now.whole_seconds()));
    match on_conn!(conn, c => diesel::update(target).set(changes).execute(c).await)? {
        0 => Err(Error::not_found("webhook")),
        _ => Ok(()),
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct EndpointRow {
    id: EndpointId,
    tenant_id: TenantId,
    name: String,
    url: String,
    #[diesel(embed)]
    sealed: Sealed,
    events: serde_json::Value,
    is_active: bool,
    max_retries: i32,
    retry_delay: i32,
    timeout_ms: i32,
    last_triggered_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    is_paused: bool,
    disabled_reason: Option<String>,
    concurrency: Option<i32>,
    rate_per_minute: Option<i32>,
    is_ordered: bool,
    breaker_threshold: Option<i32>,
    breaker_open_seconds: Option<i32>,
}

impl TryFrom<EndpointRow> for Endpoint {
    type Error = Error;

    fn try_from(row: EndpointRow) -> Result<Self> {
        let id = row.id;
        let events = serde_json::from_value(row.events).map_err(|e| {
            Error::new(Code::Internal, format!("Webhook {id} has event filters that are none.")).because(e)
        })?;
        Ok(Self {
            id,
            tenant_id: row.tenant_id,
            name: row.name,
            url: row.url,
            sealed: row.sealed,
            events,
            is_active: row.is_active,
            backoff: Backoff {
                max_retries: row.max_retries.unsigned_abs(),
                delay_percent: row.retry_delay.unsigned_abs(),
            },
            timeout: Duration::from_millis(row.timeout_ms.unsigned_abs().into()),
            is_paused: row.is_paused,
            disabled_reason: row.disabled_reason,
            concurrency: row.concurrency.and_then(|n| usize::try_from(n).ok()),
            rate_per_minute: row.rate_per_minute.map(i32::unsigned_abs),
            is_ordered: row.is_ordered,
            breaker_threshold: row.breaker_threshold.map(i32::unsigned_abs),
            breaker_open: row.breaker_open_seconds.map(|s| Duration::from_secs(s.unsigned_abs().into())),
            last_triggered_at: row.last_triggered_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A number for an INTEGER column; one out of range meets the column's CHECK.
fn column(number: u128) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn collect<T>(errors: &mut FieldErrors, field: &str, parsed: Result<T, String>) -> Option<T> {
    parsed.map_err(|message| errors.entry(field.to_owned()).or_default().push(message)).ok()
}

fn parse_name(name: String) -> Result<String, String> {
    let length = name.chars().count();
    if (1..=MAX_NAME).contains(&length) && !name.contains('\0') {
        Ok(name)
    } else {
        Err(format!("The name must have 1 to {MAX_NAME} characters and no NUL."))
    }
}

fn parse_filters(texts: &[String], errors: &mut FieldErrors) -> Vec<EventFilter> {
    if texts.is_empty() {
        errors.insert(
            "events".to_owned(),
            vec!["Name at least one event: product:updated, order:* or *.".to_owned()],
        );
    }
    let parse =
        |(i, text): (usize, &String)| collect(errors, &format!("events.{i}"), EventFilter::parse(text));
    texts.iter().enumerate().filter_map(parse).collect()
}

fn check_secret(secret: Secret) -> Result<SigningSecrets, String> {
    let checked = Signer::new(secret.clone()).map(|_| SigningSecrets::brought(secret));
    checked.map_err(|e| e.message().to_owned())
}

fn new_secret() -> Result<SigningSecrets, String> {
    SigningSecrets::generate(false).map_err(|e| e.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(url: &str) -> EndpointDraft {
        EndpointDraft {
            tenant_id: TenantId(1),
            name: None,
            url: url.to_owned(),
            events: vec!["product:*".to_owned()],
            secret: None,
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = NewEndpoint::parse(EndpointDraft {
            name: Some(String::new()),
            events: vec!["*".to_owned(), "a b".to_owned()],
            secret: Some(Secret::new("hunter2")),
            ..draft("gopher://example.com")
        })
        .unwrap_err();
        let fields: Vec<&str> = error.fields().keys().map(String::as_str).collect();
        assert_eq!(fields, ["events.1", "name", "secret", "url"]);
        let error = NewEndpoint::parse(EndpointDraft { events: Vec::new(), ..draft("http://a.example") });
        assert!(error.unwrap_err().fields().contains_key("events"));
    }

    #[test]
    fn a_secret_is_made_when_none_is_brought() {
        let (one, two) =
            (NewEndpoint::parse(draft("http://a.example")), NewEndpoint::parse(draft("http://a.example")));
        let [one, two] = [one, two].map(|new| new.unwrap().secrets.current.secret);
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), 6 + 44);
        assert!(Signer::new(one).is_ok());
    }
}
