//! Seeding: many categories, products and orders made as requests would make them, for trying a shop of some
//! size. A hundred changes are one transaction; each leaves its events, and so its webhook deliveries.
//!
//! The nth row is always the same (`goods`). Numbers go on after the highest id that its table has given
//! out, so that a second run meets no name or sku of the first.

mod goods;

use super::category::{self, NewCategory};
use super::observer::{Unit, commit};
use super::order::{self, NewOrder};
use super::product::{self, NewProduct};
use crate::domain::{
    CategoryId, Clock, Code, Error, Fields, OrderId, ProductId, Result, Standby, TenantId, Timestamp, UserId,
};
use crate::storage::schema::{categories, orders, products, tenants};
use crate::storage::{Conn, Db, on_conn};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Changes in one transaction.
const BATCH: usize = 100;

/// Categories and products to choose from; more would only cost memory.
const CHOICE: i64 = 5_000;

/// How many of each to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Made first.
    pub categories: u32,
    /// In these categories, and those that were there.
    pub products: u32,
    /// Of these products, and those that were there.
    pub orders: u32,
}

impl Wanted {
    /// All that `told` of [`seed`] will hear of, added up.
    pub fn total(self) -> u64 {
        u64::from(self.categories) + u64::from(self.products) + u64::from(self.orders)
    }
}

/// Makes them for `tenant`; `user` takes the orders. `told` hears how many there are more, after each commit.
pub async fn seed(
    db: &Db,
    clock: &Clock,
    (tenant, user): (TenantId, Option<UserId>),
    wanted: Wanted,
    told: impl Fn(u64),
) -> Result<()> {
    let seeding = Seeding { db, clock, tenant, told };
    seeding.check_tenant().await?;
    // Before anything is made.
    if user.is_none() && wanted.orders > 0 {
        let message =
            format!("Tenant {tenant} has no user to take orders; `bellwire user create` makes one.");
        return Err(Error::new(Code::Conflict, message));
    }
    seeding.categories(wanted.categories).await?;
    seeding.products(wanted.products).await?;
    if let Some(user) = user {
        seeding.orders(user, wanted.orders).await?;
    }
    Ok(())
}

struct Seeding<'a, T> {
    db: &'a Db,
    clock: &'a Clock,
    tenant: TenantId,
    told: T,
}

impl<T: Fn(u64)> Seeding<'_, T> {
    async fn check_tenant(&self) -> Result<()> {
        let mut conn = self.db.read().await?;
        let query = tenants::table.find(self.tenant).select(tenants::id);
        let found: Option<TenantId> = on_conn!(&mut conn, c => query.first(c).await.optional())?;
        let missing = || Error::field("tenant", format!("There is no tenant {}.", self.tenant));
        found.map(|_| ()).ok_or_else(missing)
    }

    async fn categories(&self, count: u32) -> Result<()> {
        let query = categories::table.select(max(categories::id));
        let last: Option<CategoryId> = on_conn!(&mut self.db.read().await?, c => query.first(c).await)?;
        for batch in batches(last.map(|id| id.0), count) {
            self.commit(batch.len(), async |conn, unit| {
                for n in &batch {
                    let new = NewCategory::parse(Fields::of(goods::category(*n))?)?;
                    category::create(conn, unit, &new).await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn products(&self, count: u32) -> Result<()> {
        let query = products::table.select(max(products::id));
        let last: Option<ProductId> = on_conn!(&mut self.db.read().await?, c => query.first(c).await)?;
        let shelves = self.shelves().await?;
        for batch in batches(last.map(|id| id.0), count) {
            self.commit(batch.len(), async |conn, unit| {
                for n in &batch {
                    let new = NewProduct::parse(Fields::of(goods::product(*n, &shelves))?)?;
                    product::create(conn, unit, &new).await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn orders(&self, user: UserId, count: u32) -> Result<()> {
        let query = orders::table.select(max(orders::id));
        let last: Option<OrderId> = on_conn!(&mut self.db.read().await?, c => query.first(c).await)?;
        let mut stock = self.stock().await?;
        for batch in batches(last.map(|id| id.0), count) {
            let new = self.new_orders(&batch, &mut stock)?;
            self.commit(batch.len(), async |conn, unit| {
                for new in &new {
                    order::create(conn, unit, user, new).await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn new_orders(&self, numbers: &[i64], stock: &mut Stock) -> Result<Vec<NewOrder>> {
        let now: Timestamp = self.clock.now();
        let new = |n: &i64| {
            let products = stock.take(goods::items_of_order(*n));
            if products.is_empty() {
                let message = "The tenant's products are short of stock: seed more of them, or fewer orders.";
                return Err(Error::new(Code::Conflict, message));
            }
            NewOrder::parse(Fields::of(goods::order(*n, &products, now))?)
        };
        numbers.iter().map(new).collect()
    }

    async fn commit(
        &self,
        count: usize,
        work: impl AsyncFnOnce(&mut Conn, &mut Unit) -> Result<()>,
    ) -> Result<()> {
        commit(self.db, self.clock, &Standby::default(), (self.tenant, None), work).await?;
        (self.told)(count as u64);
        Ok(())
    }

    /// The newest categories.
    async fn shelves(&self) -> Result<Vec<CategoryId>> {
        let query = categories::table
            .filter(categories::tenant_id.eq(self.tenant))
            .order(categories::id.desc())
            .limit(CHOICE)
            .select(categories::id);
        Ok(on_conn!(&mut self.db.read().await?, c => query.load(c).await)?)
    }

    /// The newest products that one order can have, all of one currency.
    async fn stock(&self) -> Result<Stock> {
        let query = product::live(self.tenant)
            .filter(products::stock.ge(goods::QUANTITY).and(products::currency.eq("PHP")))
            .order(products::id.desc())
            .limit(CHOICE)
            .select((products::id, products::stock));
        let left = on_conn!(&mut self.db.read().await?, c => query.load(c).await)?;
        Ok(Stock { left, next: 0 })
    }
}

/// The numbers after `last`, a transaction's at a time.
fn batches(last: Option<i64>, count: u32) -> impl Iterator<Item = Vec<i64>> {
    let first = last.unwrap_or(0).saturating_add(1);
    let end = first.saturating_add(i64::from(count));
    (first..end).step_by(BATCH).map(move |from| (from..end).take(BATCH).collect())
}

/// What the orders to come may still ask for.
struct Stock {
    left: Vec<(ProductId, i64)>,
    next: usize,
}

impl Stock {
    /// Up to `count` different products, in turn, with enough left for an item each.
    fn take(&mut self, count: usize) -> Vec<ProductId> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count.min(self.left.len()) {
            let at = self.next % self.left.len();
            let (id, left) = &mut self.left[at];
            *left -= goods::QUANTITY;
            taken.push(*id);
            if *left < goods::QUANTITY {
                self.left.swap_remove(at);
            } else {
                self.next = at + 1;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_is_taken_in_turn_and_no_more_than_there_is() {
        let mut stock = Stock { left: vec![(ProductId(1), 6), (ProductId(2), 3)], next: 0 };
        assert_eq!(stock.take(1), [ProductId(1)]);
        assert_eq!(stock.take(1), [ProductId(2)]);
        assert_eq!(stock.take(4), [ProductId(1)]);
        assert!(stock.take(1).is_empty());
    }

    #[test]
    fn numbers_go_on_after_the_last() {
        assert_eq!(batches(None, 2).collect::<Vec<_>>(), [[1, 2]]);
        assert_eq!(batches(Some(7), 1).collect::<Vec<_>>(), [[8]]);
        assert_eq!(batches(Some(7), 0).count(), 0);
        let lengths: Vec<_> = batches(Some(7), 250).map(|batch| batch.len()).collect();
        assert_eq!(lengths, [100, 100, 50]);
        assert_eq!(batches(None, 250).flatten().collect::<Vec<_>>(), (1..=250).collect::<Vec<_>>());
    }
}
