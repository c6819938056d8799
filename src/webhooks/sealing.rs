//! When `serve` starts: every endpoint's secrets are opened once, and sealed by the key that seals now, be it that
//! they were plain or that an older key had sealed them. What does not open is told, loudly, and left as it is.

use super::secrets::Sealed;
use super::vault::{Unopened, Vault};
use crate::domain::{EndpointId, Result, TenantId};
use crate::storage::schema::webhooks;
use crate::storage::{Conn, Db, on_conn, on_conn_locking};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Rows looked at, and perhaps changed, at once.
const BATCH: i64 = 200;

type Row = (EndpointId, TenantId, Sealed);

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Endpoints whose secrets were sealed anew.
    pub sealed: usize,
    /// Endpoints whose secrets stand in the database as they are, for want of a key.
    pub plain: usize,
    /// Endpoints whose secrets do not open, and why.
    pub unopened: Vec<(EndpointId, Unopened)>,
}

/// Goes through all endpoints, and logs what an operator has to know.
pub async fn seal_all(db: &Db, vault: &Vault) -> Result<Sealing> {
    let (mut done, mut last) = (Sealing::default(), EndpointId(0));
    loop {
        let rows = after(&mut db.read().await?, last).await?;
        let [.., (id, ..)] = rows.as_slice() else { break };
        last = *id;
        let mut stale = Vec::new();
        for (id, tenant, sealed) in &rows {
            match sealed.anew(vault, *tenant) {
                Ok(Some(_)) => stale.push(*id),
                Ok(None) => done.plain += usize::from(sealed.is_plain()),
                Err(why) => done.unopened.push((*id, why)),
            }
        }
        if !stale.is_empty() {
            done.sealed += db.transaction(async |conn| seal(conn, vault, &stale).await).await?;
        }
    }
    tell(&done);
    Ok(done)
}

async fn after(conn: &mut Conn, last: EndpointId) -> Result<Vec<Row>> {
    use webhooks::{deleted_at, id, tenant_id};
    let query = webhooks::table.filter(id.gt(last).and(deleted_at.is_null())).order(id).limit(BATCH);
    Ok(on_conn!(conn, c => query.select((id, tenant_id, Sealed::as_select())).load(c).await)?)
}

/// Their rows are read again and held: an owner may be changing them.
async fn seal(conn: &mut Conn, vault: &Vault, ids: &[EndpointId]) -> Result<usize> {
    use webhooks::tenant_id;
    let query = webhooks::table.filter(webhooks::id.eq_any(ids)).order(webhooks::id);
    let rows: Vec<Row> = on_conn_locking!(conn, query, |q, c| q
        .select((webhooks::id, tenant_id, Sealed::as_select()))
        .load(c)
        .await)?;
    let mut sealed = 0;
    for (id, tenant, found) in rows {
        if let Ok(Some(anew)) = found.anew(vault, tenant) {
            let row = webhooks::table.filter(webhooks::id.eq(id));
            sealed += on_conn!(conn, c => diesel::update(row).set(&anew).execute(c).await)?;
        }
    }
    Ok(sealed)
}

fn tell(done: &Sealing) {
    if done.sealed > 0 {
        tracing::info!(
            endpoints = done.sealed,
            "the secrets of webhook endpoints were sealed with the present key"
        );
    }
    if done.plain > 0 {
        tracing::warn!(
            endpoints = done.plain,
            "webhook secrets stand in the database unsealed, and no endpoint can be made: set \
             webhooks.secret_keys (`bellwire webhook new-key` prints a key)"
        );
    }
    if let [(id, why), ..] = done.unopened.as_slice() {
        tracing::error!(
            endpoints = done.unopened.len(),
            webhook.id = %id,
            %why,
            "webhook endpoints cannot be sent to, because their secrets do not open; put the key back into \
             webhooks.secret_keys and start again"
        );
    }
}
