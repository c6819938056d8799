//! `bellwire seed`

use super::database;
use super::output::Output;
use super::progress;
use crate::auth::account;
use crate::catalog::seed::{self, Wanted};
use crate::config::Config;
use crate::domain::{Clock, Result, TenantId};
use serde_json::json;

/// Make categories, products and orders in bulk, to try a shop of some size
///
/// Every row is a change like any other: it leaves its events, and a running server publishes each of them and
/// posts it to the tenant's webhooks. A second run adds rows with other names and skus.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tenant's id
    #[arg(long, value_name = "ID")]
    tenant: TenantId,
    /// How many products to make
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=MOST))]
    products: u32,
    /// How many categories to make
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=MOST))]
    categories: u32,
    /// How many orders to make; the tenant's first user takes them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=MOST))]
    orders: u32,
}

const MOST: i64 = 1_000_000;

pub(super) async fn run(args: &Args, config: &Config, json: bool) -> Result<Output> {
    let db = database::open_migrated(config).await?;
    let Args { tenant, products, categories, orders } = *args;
    let users = account::list_users(&mut db.read().await?, tenant).await?;
    let owner = (tenant, users.first().map(|user| user.id));
    let wanted = Wanted { categories, products, orders };
    let bar = progress::bar(Some(wanted.total()), json);
    let seeded = seed::seed(&db, &Clock::System, owner, wanted, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    seeded?;
    let human =
        format!("Made {categories} categories, {products} products and {orders} orders for tenant {tenant}.");
    Ok(Output { json: json!({"categories": categories, "products": products, "orders": orders}), human })
}
