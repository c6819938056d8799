//! Deleted endpoints: their deliveries, whatever became of them, logs and counters, and then they themselves.

use super::{Mode, Pruned, Walk, last_that_fits, rows_of};
use crate::domain::{DeliveryId, EndpointId, Result};
use crate::storage::schema::{webhook_deliveries, webhook_delivery_logs, webhook_stats, webhooks};
use crate::storage::{Conn, on_conn};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use {webhook_deliveries as d, webhook_delivery_logs as l, webhook_stats as s, webhooks as w};

/// The endpoints that their owners have deleted.
pub(super) async fn deleted(conn: &mut Conn) -> Result<Vec<EndpointId>> {
    let query = w::table.filter(w::deleted_at.is_not_null()).order(w::id).select(w::id);
    Ok(on_conn!(conn, c => query.load(c).await)?)
}

impl Walk<'_> {
    pub(super) async fn deleted_endpoints(&self) -> Result<Pruned> {
        let mut gone = Pruned::default();
        for endpoint in &self.deleted {
            match self.mode {
                Mode::Delete => self.delete_endpoint(*endpoint, &mut gone).await?,
                Mode::Count => count_endpoint(&mut self.db.read().await?, *endpoint, &mut gone).await?,
            }
        }
        Ok(gone)
    }

    async fn delete_endpoint(&self, endpoint: EndpointId, gone: &mut Pruned) -> Result<()> {
        loop {
            let some = some_deliveries(&mut self.db.read().await?, endpoint, self.batch()).await?;
            if some.is_empty() {
                break;
            }
            let (deliveries, logs) = self.change(async |conn| delete_deliveries(conn, &some).await).await?;
            gone.webhook_deliveries += deliveries;
            gone.webhook_delivery_logs += logs;
        }
        gone.webhook_stats += self.counters_of(endpoint).await?;
        // What came after the last look goes with it.
        let row = w::table.filter(w::id.eq(endpoint));
        let work = async |conn: &mut Conn| Ok(on_conn!(conn, c => diesel::delete(row).execute(c).await)?);
        gone.webhooks += rows_of(self.change(work).await?);
        Ok(())
    }
}

/// As many as make a batch with their logs.
async fn some_deliveries(conn: &mut Conn, endpoint: EndpointId, batch: i64) -> Result<Vec<DeliveryId>> {
    // In the order of an index that begins with the endpoint.
    let query = d::table
        .filter(d::webhook_id.eq(endpoint))
        .order(d::event_id)
        .limit(batch)
        .select((d::id, d::attempts));
    let rows: Vec<(DeliveryId, i32)> = on_conn!(conn, c => query.load(c).await)?;
    let Some(last) = last_that_fits(&rows, batch) else { return Ok(Vec::new()) };
    let count = rows.iter().position(|(id, _)| *id == last).map_or(0, |at| at + 1);
    Ok(rows.into_iter().take(count).map(|(id, _)| id).collect())
}

async fn delete_deliveries(conn: &mut Conn, ids: &[DeliveryId]) -> Result<(i64, i64)> {
    let logs = l::table.filter(l::delivery_id.eq_any(ids));
    let logs = on_conn!(conn, c => diesel::delete(logs).execute(c).await)?;
    let deliveries = d::table.filter(d::id.eq_any(ids));
    let deliveries = on_conn!(conn, c => diesel::delete(deliveries).execute(c).await)?;
    Ok((rows_of(deliveries), rows_of(logs)))
}

async fn count_endpoint(conn: &mut Conn, endpoint: EndpointId, gone: &mut Pruned) -> Result<()> {
    let deliveries = d::table.filter(d::webhook_id.eq(endpoint)).count();
    let logs = l::table.filter(l::webhook_id.eq(endpoint)).count();
    let counters = s::table.filter(s::webhook_id.eq(endpoint)).count();
    gone.webhooks += 1;
    gone.webhook_deliveries += on_conn!(conn, c => deliveries.get_result::<i64>(c).await)?;
    gone.webhook_delivery_logs += on_conn!(conn, c => logs.get_result::<i64>(c).await)?;
    gone.webhook_stats += on_conn!(conn, c => counters.get_result::<i64>(c).await)?;
    Ok(())
}
