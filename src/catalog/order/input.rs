//! What a request may say about an order: the items of a new one, the little that can change later.

use super::{Order, OrderStatus};
use crate::catalog::product::Product;
use crate::catalog::stock::Quantities;
use crate::catalog::{MAX_MONEY, check_currency, keep_if_new};
use crate::domain::error::FieldErrors;
use crate::domain::{Error, Fields, ProductId, Result, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Times `MAX_MONEY` it is 10¹⁸, below 2⁶³.
const MAX_QUANTITY: i64 = 1_000_000;

/// Each item is a locked row and several statements in one transaction.
const MAX_ITEMS: usize = 200;

/// An order about to be made. A product stands in one item at most: two items of one product would have to
/// be told apart by price, and one with the sum says the same.
#[derive(Debug, Clone)]
pub struct NewOrder {
    pub(super) customer_name: Option<String>,
    pub(super) order_number: Option<String>,
    pub(super) ordered_at: Option<Timestamp>,
    currency: Option<String>,
    items: Vec<NewItem>,
}

/// One item, before its price is known.
#[derive(Debug, Clone, Copy)]
struct NewItem {
    product_id: ProductId,
    quantity: i64,
    unit_price: Option<i64>,
}

/// What an order's items come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Priced {
    pub(super) items: Vec<PricedItem>,
    pub(super) total: i64,
    pub(super) currency: String,
}

/// One item with its price.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PricedItem {
    pub(super) product_id: ProductId,
    pub(super) quantity: i64,
    pub(super) unit_price: i64,
    pub(super) line_total: i64,
}

impl NewOrder {
    /// Reads a request's body: `items` is required, with `product_id` and `quantity` each.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let customer_name = fields.string("customer_name", 1, 255).value();
        let order_number = fields.string("order_number", 1, 50).value();
        let ordered_at = fields.timestamp("ordered_at").value();
        let currency = fields.string("currency", 3, 3);
        check_currency(&mut fields, &currency);
        let items = read_items(&mut fields);
        fields.finish()?;
        Ok(Self { customer_name, order_number, ordered_at, currency: currency.value(), items })
    }

    /// How many of each product.
    pub(super) fn quantities(&self) -> Quantities {
        self.items.iter().map(|item| (item.product_id, item.quantity)).collect()
    }

    /// Prices the items by the products that exist. Products that do not, and those of another currency than
    /// the order's (the one given, else the first product's), are named.
    pub(super) fn price(&self, products: &BTreeMap<ProductId, Product>) -> Result<Priced> {
        let first = self.items.first().and_then(|item| products.get(&item.product_id));
        let currency = self.currency.as_ref().or(first.map(|p| &p.currency)).cloned().unwrap_or_default();
        let mut errors = FieldErrors::new();
        let mut items = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate() {
            match item.price(products.get(&item.product_id), &currency) {
                Ok(priced) => items.push(priced),
                Err(message) => drop(errors.insert(format!("items.{index}.product_id"), vec![message])),
            }
        }
        if !errors.is_empty() {
            return Err(Error::invalid(errors));
        }
        let total = items.iter().try_fold(0_i64, |sum, item| sum.checked_add(item.line_total));
        let total = total.ok_or_else(|| Error::field("items", "The total of the items is too large."))?;
        Ok(Priced { items, total, currency })
    }
}

impl NewItem {
    fn price(&self, product: Option<&Product>, currency: &str) -> Result<PricedItem, String> {
        let product = product.ok_or_else(|| format!("There is no product {}.", self.product_id))?;
        if product.currency != currency {
            return Err(format!(
                "Product {} is priced in {}, the order is in {currency}.",
                product.id, product.currency
            ));
        }
        let unit_price = self.unit_price.unwrap_or(product.price);
        let line_total =
            unit_price.checked_mul(self.quantity).ok_or("The price of the item is too large.")?;
        Ok(PricedItem { product_id: product.id, quantity: self.quantity, unit_price, line_total })
    }
}

fn read_items(fields: &mut Fields) -> Vec<NewItem> {
    let given = fields.array("items");
    let Some(values) = fields.required("items", given) else { return Vec::new() };
    if values.is_empty() || values.len() > MAX_ITEMS {
        fields.wrong("items", format!("The items field must have between 1 and {MAX_ITEMS} items."));
        return Vec::new();
    }
    let mut items: Vec<NewItem> = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let Some(item) = read_item(fields, index, value) else { continue };
        if items.iter().any(|other| other.product_id == item.product_id) {
            let message = format!("Product {} stands in two items; add them up in one.", item.product_id);
            fields.wrong(&format!("items.{index}.product_id"), message);
        }
        items.push(item);
    }
    items
}

fn read_item(fields: &mut Fields, index: usize, value: Value) -> Option<NewItem> {
    let Value::Object(object) = value else {
        fields.wrong(&format!("items.{index}"), "An item must be an object.");
        return None;
    };
    let mut item = Fields::nested(object, format!("items.{index}."));
    let product_id = item.integer("product_id", 1, i64::MAX);
    let product_id = item.required("product_id", product_id);
    let quantity = item.integer("quantity", 1, MAX_QUANTITY);
    let quantity = item.required("quantity", quantity);
    let unit_price = item.integer("unit_price", 0, MAX_MONEY).value();
    fields.absorb(item.into_errors());
    Some(NewItem { product_id: ProductId(product_id?), quantity: quantity?, unit_price })
}

/// Changes to an order; `None` leaves a column as it is. Its items are what was sold, and stand.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, diesel::AsChangeset)]
#[diesel(table_name = crate::storage::schema::orders)]
pub struct OrderChanges {
    pub(super) customer_name: Option<Option<String>>,
    pub(super) status: Option<OrderStatus>,
}

impl OrderChanges {
    /// Reads a request's body; no field is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let customer_name = fields.string("customer_name", 1, 255).change();
        let status = fields.string("status", 0, 20);
        let status = fields.present("status", status).and_then(|text| {
            let status = text.parse().ok();
            if status.is_none() {
                let known = "pending, processing, completed or cancelled";
                fields.wrong("status", format!("The status field must be {known}."));
            }
            status
        });
        fields.finish()?;
        Ok(Self { customer_name, status })
    }

    /// What of this would change `present`.
    pub(super) fn against(mut self, present: &Order) -> Self {
        keep_if_new(&mut self.customer_name, &present.customer_name);
        keep_if_new(&mut self.status, &present.status);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TenantId;
    use serde_json::json;

    fn new(body: Value) -> Result<NewOrder> {
        NewOrder::parse(Fields::of(body).unwrap())
    }

    fn product(id: i64, price: i64, currency: &str) -> (ProductId, Product) {
        let at = Timestamp::from_micros(0).unwrap();
        let product = Product {
            id: ProductId(id),
            tenant_id: TenantId(1),
            category_id: None,
            name: "Tea".to_owned(),
            description: None,
            sku: id.to_string(),
            barcode: None,
            price,
            cost: None,
            currency: currency.to_owned(),
            unit: "pc".to_owned(),
            stock: 10,
            min_stock: 0,
            max_stock: None,
            image: None,
            is_active: true,
            is_ecommerce: false,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        (product.id, product)
    }

    fn keys(error: &Error) -> Vec<&str> {
        error.fields().keys().map(String::as_str).collect()
    }

    #[test]
    fn an_item_takes_the_product_s_price_unless_it_brings_its_own() {
        let order = new(json!({"items": [
            {"product_id": 2, "quantity": 3},
            {"product_id": 1, "quantity": 2, "unit_price": 5},
        ]}))
        .unwrap();
        let priced = order.price(&[product(1, 100, "PHP"), product(2, 20, "PHP")].into()).unwrap();
        assert_eq!((priced.total, priced.currency.as_str()), (70, "PHP"));
        assert_eq!(priced.items[0].line_total, 60);
    }

    #[test]
    fn every_wrong_item_is_named_by_its_place() {
        let error = new(json!({"items": [
            {"product_id": 1, "quantity": 0},
            "tea",
            {"product_id": 1, "quantity": 1, "colour": "red"},
            {"product_id": 1, "quantity": 1},
        ]}))
        .unwrap_err();
        assert_eq!(keys(&error), ["items.0.quantity", "items.1", "items.2.colour", "items.3.product_id"]);
    }

    #[test]
    fn an_order_has_between_one_and_two_hundred_items() {
        let many = vec![json!({"product_id": 1, "quantity": 1}); MAX_ITEMS + 1];
        for body in [json!({}), json!({"items": []}), json!({"items": many}), json!({"items": {}})] {
            assert_eq!(keys(&new(body).unwrap_err()), ["items"]);
        }
    }

    #[test]
    fn unknown_products_and_foreign_currencies_are_named() {
        let order = new(json!({"items": [
            {"product_id": 1, "quantity": 1}, {"product_id": 2, "quantity": 1}, {"product_id": 3, "quantity": 1},
        ]}))
        .unwrap();
        let error = order.price(&[product(1, 1, "PHP"), product(2, 1, "USD")].into()).unwrap_err();
        assert_eq!(keys(&error), ["items.1.product_id", "items.2.product_id"]);
    }

    #[test]
    fn the_largest_line_fits_and_a_larger_total_is_refused() {
        let item = |id| json!({"product_id": id, "quantity": MAX_QUANTITY, "unit_price": MAX_MONEY});
        let products: BTreeMap<_, _> = (1..=10).map(|id| product(id, 0, "PHP")).collect();
        let one = new(json!({"items": [item(1)]})).unwrap().price(&products).unwrap();
        assert_eq!(one.total, 1_000_000_000_000_000_000);
        let ten = new(json!({"items": (1..=10).map(item).collect::<Vec<_>>()})).unwrap();
        assert_eq!(keys(&ten.price(&products).unwrap_err()), ["items"]);
    }

    #[test]
    fn a_change_is_the_customer_s_name_or_a_status_there_is() {
        let parse = |body| OrderChanges::parse(Fields::of(body).unwrap());
        let changes = parse(json!({"status": "cancelled", "customer_name": null})).unwrap();
        assert_eq!(changes.status, Some(OrderStatus::Cancelled));
        assert_eq!(changes.customer_name, Some(None));
        assert_eq!(keys(&parse(json!({"status": "gone", "total": 1})).unwrap_err()), ["status", "total"]);
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        let items = json!([{"product_id": 1, "quantity": 1}]);
        for currency in ["php", "PH", "PHPP", "P1P"] {
            let error = new(json!({"items": items, "currency": currency})).unwrap_err();
            assert_eq!(keys(&error), ["currency"]);
        }
    }
}
