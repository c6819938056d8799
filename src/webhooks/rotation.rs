//! Replacing an endpoint's secret: the new one signs from now on, the old one beside it until its owner has had time
//! to change over.

use super::endpoint;
use super::secrets::{Retired, Sealed, Secrets, Shown, SigningSecrets};
use super::vault::{Unopened, Vault};
use crate::domain::{Code, EndpointId, Error, Result, TenantId, Timestamp};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// The longest overlap.
pub const MAX_OVERLAP: Duration = Duration::from_hours(7 * 24);

/// Replaced secrets that may still sign; the oldest goes when there is one more.
const MAX_RETIRED: usize = 10;

impl Secrets {
    /// Puts new secrets in the place of the present ones, which sign until `now + overlap`.
    fn rotate(&mut self, overlap: Duration, now: Timestamp) -> Result<()> {
        let new = SigningSecrets::generate(self.current.signing_key.is_some())?;
        let old = std::mem::replace(&mut self.current, new);
        self.retired.retain(|retired| retired.until > now);
        if !overlap.is_zero() {
            self.retired.insert(0, Retired { secrets: old, until: now.plus(overlap.min(MAX_OVERLAP)) });
        }
        self.retired.truncate(MAX_RETIRED);
        Ok(())
    }
}

/// Gives the tenant's endpoint a new secret, and a new key pair if it has one, and returns what its owner is shown
/// this once. Call it in a transaction.
pub async fn rotate(
    conn: &mut Conn,
    vault: &Vault,
    (tenant, id): (TenantId, EndpointId),
    overlap: Duration,
    now: Timestamp,
) -> Result<Shown> {
    change(conn, vault, (tenant, id), now, |secrets| secrets.rotate(overlap, now))
        .await
        .map(|s| s.current.shown())
}

/// Opens the secrets of the tenant's endpoint, changes them, and seals them again; nobody else can meanwhile.
pub async fn change(
    conn: &mut Conn,
    vault: &Vault,
    (tenant, id): (TenantId, EndpointId),
    now: Timestamp,
    change: impl FnOnce(&mut Secrets) -> Result<()>,
) -> Result<Secrets> {
    let own = webhooks::tenant_id.eq(tenant).and(webhooks::deleted_at.is_null());
    let row = webhooks::table.filter(webhooks::id.eq(id).and(own));
    let found: Option<Sealed> =
        on_conn_locking!(&mut *conn, row, |q, c| q.select(Sealed::as_select()).first(c).await.optional())?;
    let found = found.ok_or_else(|| Error::not_found("webhook"))?;
    let mut secrets = Secrets::open(vault, tenant, &found).map_err(|why| unopened(id, why))?;
    change(&mut secrets)?;
    let changes = (secrets.seal(vault, tenant)?, endpoint::changed_at(now));
    on_conn!(conn, c => diesel::update(row).set(changes).execute(c).await)?;
    Ok(secrets)
}

fn unopened(id: EndpointId, why: Unopened) -> Error {
    let message = format!(
        "What webhook {id} keeps secret cannot be opened: the server lacks the key that sealed it. Ask its operator."
    );
    Error::new(Code::Unavailable, message).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(days: u32) -> Timestamp {
        Timestamp::from_micros(0).unwrap().plus(DAY * days)
    }

    #[test]
    fn the_old_secret_is_kept_until_its_time() {
        let mut secrets = Secrets::new(SigningSecrets::generate(true).unwrap());
        let first = secrets.current.clone();
        secrets.rotate(DAY, at(0)).unwrap();
        assert_eq!(secrets.retired, [Retired { secrets: first.clone(), until: at(1) }]);
        assert_ne!(secrets.current, first);
        assert_ne!(secrets.current.public_key().unwrap(), first.public_key().unwrap());
        let second = secrets.current.clone();
        secrets.rotate(DAY * 30, at(1)).unwrap();
        assert_eq!(secrets.retired, [Retired { secrets: second, until: at(8) }], "a week at most");
        secrets.rotate(Duration::ZERO, at(8)).unwrap();
        assert_eq!(secrets.retired, [], "with no overlap the old one ends at once");
    }

    #[test]
    fn no_more_than_ten_old_ones_are_kept() {
        let mut secrets = Secrets::new(SigningSecrets::generate(false).unwrap());
        for _ in 0..12 {
            secrets.rotate(DAY, at(0)).unwrap();
        }
        assert_eq!((secrets.retired.len(), secrets.current.public_key()), (10, None));
    }
}
