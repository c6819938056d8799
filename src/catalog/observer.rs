//! `Observer`: runs a change in a transaction, writes the events it caused beside it, and nudges the registry
//! once it is committed. The only place that spells the names of the catalog's events.
//!
//! A nudge that meets a full or closed mailbox is counted and let go: the events are rows, and the reconciler
//! finds them.

use super::category::CategoryResource;
use super::order::OrderResource;
use super::product::ProductResource;
use crate::domain::{
    CategoryId, ChannelName, Clock, Code, Committed, Error, EventName, ProductId, Result, SocketId, Standby,
    TenantId, Timestamp,
};
use crate::storage::outbox::{self, NewEvent};
use crate::storage::{Conn, Db};
use crate::telemetry::Metrics;
use actix::Recipient;
use actix::prelude::SendError;
use serde::Serialize;
use std::sync::Arc;

/// The way for every change of the catalog. A clone owns a slot of the registry's mailbox: one a worker.
#[derive(Clone)]
pub struct Observer {
    db: Db,
    clock: Clock,
    nudge: Recipient<Committed>,
    metrics: Arc<Metrics>,
    standby: Standby,
}

impl Observer {
    /// An observer that tells `nudge` of what it committed.
    pub fn new(db: Db, clock: Clock, nudge: Recipient<Committed>, metrics: Arc<Metrics>) -> Self {
        Self { db, clock, nudge, metrics, standby: Standby::default() }
    }

    /// The same, which leases deliveries to whoever stands by as it writes them.
    #[must_use]
    pub fn with_standby(self, standby: Standby) -> Self {
        Self { standby, ..self }
    }

    /// Runs `work` and writes its unit's events in one transaction, then nudges. The connection `except`, which
    /// caused the change, is not told of it.
    pub async fn commit<T>(
        &self,
        tenant: TenantId,
        except: Option<SocketId>,
        work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
    ) -> Result<T> {
        let (value, committed) = commit(&self.db, &self.clock, &self.standby, (tenant, except), work).await?;
        self.nudge(committed);
        Ok(value)
    }

    fn nudge(&self, committed: Committed) {
        if committed.events.is_empty() {
            return;
        }
        match self.nudge.try_send(committed) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.metrics.mailbox_full.with_label_values(&["registry"]).inc(),
            Err(SendError::Closed(_)) => {
                tracing::warn!("the registry is gone; its events wait in the database");
            }
        }
    }
}

/// The same without the nudge: a server finds the events by its next look at the rows.
pub(super) async fn commit<T>(
    db: &Db,
    clock: &Clock,
    standby: &Standby,
    (tenant, except): (TenantId, Option<SocketId>),
    work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<T>,
) -> Result<(T, Committed)> {
    db.transaction(async |conn| {
        // Read here: whoever waited for the writer has a later time than whoever wrote before.
        let now = clock.now();
        let mut unit = Unit::new(tenant, now);
        let value = work(conn, &mut unit).await?;
        let committed = outbox::write_for_standby(conn, unit.into_events(except), standby, now).await?;
        Ok((value, committed))
    })
    .await
}

/// What one transaction did to a tenant's catalog, in order. Changes note themselves; the observer writes.
#[derive(Debug)]
pub struct Unit {
    tenant: TenantId,
    now: Timestamp,
    events: Vec<(&'static str, String)>,
    /// Of other rooms.
    further: Vec<NewEvent>,
}

impl Unit {
    /// A unit in which nothing has happened yet.
    pub const fn new(tenant: TenantId, now: Timestamp) -> Self {
        Self { tenant, now, events: Vec::new(), further: Vec::new() }
    }

    /// Whose data is changed.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// When it is changed: one instant for the whole transaction.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Events that are not the catalog's, written behind the catalog's as they are.
    pub fn tell(&mut self, events: Vec<NewEvent>) {
        self.further.extend(events);
    }

    pub(super) fn product_created(&mut self, product: &ProductResource) -> Result<()> {
        self.record("product:created", product)
    }

    /// `stock_changed` says whether subscribers of stock levels hear of it too.
    pub(super) fn product_updated(&mut self, product: &ProductResource, stock_changed: bool) -> Result<()> {
        self.record("product:updated", product)?;
        if !stock_changed {
            return Ok(());
        }
        let level = StockLevel { product_id: product.product.id, new_stock: product.product.stock };
        self.record("stock:updated", &level)
    }

    pub(super) fn product_deleted(&mut self, id: ProductId) -> Result<()> {
        self.record("product:deleted", &Deleted { id: id.0 })
    }

    pub(super) fn category_created(&mut self, category: &CategoryResource) -> Result<()> {
        self.record("category:created", category)
    }

    pub(super) fn category_updated(&mut self, category: &CategoryResource) -> Result<()> {
        self.record("category:updated", category)
    }

    pub(super) fn category_deleted(&mut self, id: CategoryId) -> Result<()> {
        self.record("category:deleted", &Deleted { id: id.0 })
    }

    pub(super) fn order_created(&mut self, order: &OrderResource) -> Result<()> {
        self.record("order:created", order)
    }

    pub(super) fn order_updated(&mut self, order: &OrderResource) -> Result<()> {
        self.record("order:updated", order)
    }

    fn record(&mut self, name: &'static str, data: &impl Serialize) -> Result<()> {
        let data = serde_json::to_string(data)
            .map_err(|e| Error::new(Code::Internal, "An event could not be written down.").because(e))?;
        self.events.push((name, data));
        Ok(())
    }

    fn into_events(self, except: Option<SocketId>) -> Vec<NewEvent> {
        let channel = ChannelName::tenant(self.tenant);
        let event = |(name, data)| NewEvent {
            tenant_id: self.tenant,
            name: EventName::new(name),
            channel: channel.clone(),
            data,
            except,
        };
        self.events.into_iter().map(event).chain(self.further).collect()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StockLevel {
    product_id: ProductId,
    new_stock: i64,
}

#[derive(Serialize)]
struct Deleted {
    id: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_order_and_carry_tenant_channel_and_cause() {
        let mut unit = Unit::new(TenantId(7), Timestamp::from_micros(0).unwrap());
        unit.product_deleted(ProductId(3)).unwrap();
        unit.category_deleted(CategoryId(4)).unwrap();
        let except = Some(SocketId::from_bits(9));
        let events = unit.into_events(except);
        let told: Vec<_> = events.iter().map(|e| (e.name.as_str(), e.data.as_str())).collect();
        assert_eq!(told, [("product:deleted", r#"{"id":3}"#), ("category:deleted", r#"{"id":4}"#)]);
        assert!(events.iter().all(|e| e.channel.as_str() == "private-tenant.7" && e.except == except));
    }

    #[test]
    fn a_stock_level_is_spelled_as_its_receivers_spell_it() {
        let level = StockLevel { product_id: ProductId(3), new_stock: 12 };
        assert_eq!(serde_json::to_string(&level).unwrap(), r#"{"productId":3,"newStock":12}"#);
    }
}
