//! The demo's shop: a tenant, a user with a token, categories, products and a webhook; and one first change.

use crate::auth::account::{self, NewTenant, NewUser};
use crate::auth::token;
use crate::catalog::category::{self, NewCategory};
use crate::catalog::observer::Unit;
use crate::catalog::product::{self, NewProduct};
use crate::domain::{Clock, Fields, ProductId, Result, Secret, TenantId, Timestamp, UserId};
use crate::storage::{Conn, Db};
use crate::webhooks::Vault;
use crate::webhooks::endpoint::{self, EndpointDraft, NewEndpoint};
use serde_json::{Value, json};

/// What was made, for the commands to name.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) token: Secret,
    pub(super) product: ProductId,
    pub(super) webhook_secret: Secret,
}

/// Name, and its products: name, sku, price in minor units, stock.
type Shelf = (&'static str, &'static [(&'static str, &'static str, i64, i64)]);

const SHELVES: [Shelf; 3] = [
    (
        "Coffee",
        &[
            ("Barako beans 250 g", "COF-BAR-250", 38_000, 24),
            ("Benguet arabica 250 g", "COF-BEN-250", 45_000, 18),
            ("Drip bags, box of 10", "COF-DRIP-10", 32_000, 40),
        ],
    ),
    (
        "Tea",
        &[
            ("Jasmine green tea 100 g", "TEA-JAS-100", 26_000, 15),
            ("Salabat 150 g", "TEA-SAL-150", 18_500, 30),
        ],
    ),
    (
        "Kitchen",
        &[
            ("Glass dripper", "KIT-DRIP", 89_000, 6),
            ("Kettle 1 l", "KIT-KET-1", 165_000, 4),
            ("Paper filters, 100", "KIT-FIL-100", 22_000, 60),
        ],
    ),
];

/// Fills an empty database. The webhook comes last, so that it hears only of what happens from now on.
pub(super) async fn fill(db: &Db, vault: &Vault, webhook_url: &str) -> Result<Sample> {
    let now = Clock::System.now();
    db.transaction(async |conn| {
        let tenant = account::create_tenant(conn, &NewTenant::parse("Corner Shop")?, now).await?.id;
        let ana = NewUser::parse(tenant, "Ana", "ana@shop.example")?;
        let user = account::create_user(conn, &ana, now).await?.id;
        let token = token::issue(conn, user, "demo", &["*".to_owned()], None, now).await?.plaintext;
        let product = stock_shelves(conn, tenant, now).await?;
        let webhook_secret = subscribe(conn, vault, tenant, webhook_url, now).await?;
        Ok(Sample { tenant, user, token, product, webhook_secret })
    })
    .await
}

/// The first product made.
async fn stock_shelves(conn: &mut Conn, tenant: TenantId, now: Timestamp) -> Result<ProductId> {
    // Its events are nobody's news: they are dropped with it.
    let mut unit = Unit::new(tenant, now);
    let mut first = None;
    for (shelf, products) in SHELVES {
        let category = NewCategory::parse(fields(json!({ "name": shelf })))?;
        let category = category::create(conn, &mut unit, &category).await?.category.id;
        for (name, sku, price, stock) in products {
            let fields = fields(json!({"category_id": category, "name": name, "sku": sku, "price": price,
                "stock": stock, "min_stock": 5, "is_ecommerce": true}));
            let made = product::create(conn, &mut unit, &NewProduct::parse(fields)?).await?;
            first.get_or_insert(made.product.id);
        }
    }
    Ok(first.unwrap_or(ProductId(1)))
}

fn fields(value: Value) -> Fields {
    let object = if let Value::Object(object) = value { object } else { serde_json::Map::new() };
    Fields::nested(object, String::new())
}

async fn subscribe(
    conn: &mut Conn,
    vault: &Vault,
    tenant: TenantId,
    url: &str,
    now: Timestamp,
) -> Result<Secret> {
    let draft = EndpointDraft {
        tenant_id: tenant,
        name: Some("demo".to_owned()),
        url: url.to_owned(),
        events: vec!["*".to_owned()],
        secret: None,
    };
    let (_, shown) = endpoint::create(conn, vault, NewEndpoint::parse(draft)?, now).await?;
    Ok(shown.secret)
}

/// A request to the server, ready to send.
pub(super) struct Change {
    pub(super) url: String,
    pub(super) token: Secret,
    pub(super) body: Value,
}

/// Over REST, as anyone would. If it fails, the log says so and the demo goes on.
pub(super) async fn change_a_price(change: Change) {
    let request = awc::Client::default().patch(&change.url).bearer_auth(change.token.expose());
    match request.send_json(&change.body).await {
        Ok(answer) if answer.status().is_success() => {}
        Ok(answer) => tracing::warn!(status = answer.status().as_u16(), "the first change was refused"),
        Err(error) => tracing::warn!(%error, "the first change could not be made"),
    }
}
