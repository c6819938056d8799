//! Where and how an endpoint is sent to: what of a change to it does not go with the rest of its row.

use super::{Endpoint, EndpointChanges, EndpointRow, of};
use crate::domain::{EndpointId, Error, Result, TenantId};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, on_conn_locking};
use crate::webhooks::Strategy;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use url::Url;

/// What is said of a URL that is not one to send to so.
pub(super) fn refusal(strategy: Strategy) -> String {
    format!("With the strategy {} the url must begin with {}.", strategy.as_str(), strategy.schemes())
}

/// Refuses a change after which the URL, the strategy and the secrets would not belong together. The row is held to
/// the end of the transaction, so that no other change comes between.
pub(super) async fn check(
    conn: &mut Conn,
    (tenant, id): (TenantId, EndpointId),
    changes: &EndpointChanges,
) -> Result<()> {
    if changes.strategy.is_none() && changes.url().is_none() && changes.secrets.is_empty() {
        return Ok(());
    }
    let query = of(tenant).filter(webhooks::id.eq(id));
    let row: Option<EndpointRow> =
        on_conn_locking!(conn, query, |q, c| q.select(EndpointRow::as_select()).first(c).await.optional())?;
    let present = row.map_or_else(|| Err(Error::not_found("webhook")), Endpoint::try_from)?;
    let strategy = changes.strategy.unwrap_or(present.strategy);
    if !strategy.takes(changes.url().unwrap_or(&present.url)) {
        let field = if changes.url().is_some() { "url" } else { "strategy" };
        return Err(Error::field(field, refusal(strategy)));
    }
    changes.secrets.suit(strategy)?;
    insist_on_host(&present, changes)
}

/// Whoever may change an endpoint may not read its credentials, and so not have them sent to a host of their own.
fn insist_on_host(present: &Endpoint, changes: &EndpointChanges) -> Result<()> {
    let Some(url) = changes.url() else { return Ok(()) };
    let (has, says) = (&present.sealed, &changes.secrets);
    let keeps = (has.headers.is_some() && !says.says_headers()) || (has.auth.is_some() && !says.says_auth());
    if keeps && place(url) != place(&present.url) {
        let message =
            "The headers and auth of this webhook would go to another host: say them again, or null.";
        return Err(Error::field("url", message));
    }
    Ok(())
}

/// Scheme, host and port.
fn place(url: &str) -> Option<(String, String, Option<u16>)> {
    let url = Url::parse(url).ok()?;
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_scheme_host_and_port() {
        let same = |one, other| place(one) == place(other);
        assert!(same("https://a.example/x", "https://a.example:443/y"));
        assert!(same("redis://a.example:6379/0?stream=s", "redis://a.example:6379/1?stream=t"));
        assert!(!same("redis://a.example:6379/0?stream=s", "rediss://a.example:6379/0?stream=s"));
        assert!(!same("redis://a.example:6379/0?stream=s", "redis://a.example:6380/0?stream=s"));
        assert!(!same("redis://a.example:6379/0?stream=s", "redis://b.example:6379/0?stream=s"));
        assert!(!same("http://a.example/", "https://a.example/"));
    }
}
