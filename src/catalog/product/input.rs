//! What a request may say about a product: each field's rule once, for a new one and for a change.

use super::Product;
use crate::catalog::{MAX_MONEY, MAX_STOCK, check_currency, keep_if_new};
use crate::domain::fields::Given;
use crate::domain::{CategoryId, Fields, Result};
use crate::storage::schema::products;
use diesel::prelude::*;

/// A product about to be made.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = products, treat_none_as_default_value = false)]
pub struct NewProduct {
    category_id: Option<CategoryId>,
    name: String,
    description: Option<String>,
    sku: String,
    barcode: Option<String>,
    price: i64,
    cost: Option<i64>,
    currency: String,
    unit: String,
    stock: i64,
    min_stock: i64,
    max_stock: Option<i64>,
    image: Option<String>,
    is_active: bool,
    is_ecommerce: bool,
}

impl NewProduct {
    /// Reads a request's body: `name`, `sku` and `price` are required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let sent = Sent::read(&mut fields);
        let name = fields.required("name", sent.name);
        let sku = fields.required("sku", sent.sku);
        let price = fields.required("price", sent.price);
        let currency = fields.present("currency", sent.currency);
        let unit = fields.present("unit", sent.unit);
        let stock = fields.present("stock", sent.stock);
        let min_stock = fields.present("min_stock", sent.min_stock);
        let is_active = fields.present("is_active", sent.is_active);
        let is_ecommerce = fields.present("is_ecommerce", sent.is_ecommerce);
        fields.finish()?;
        // What is required and missing has ended this by now; the defaults are for the rest.
        Ok(Self {
            category_id: sent.category_id.value().map(CategoryId),
            name: name.unwrap_or_default(),
            description: sent.description.value(),
            sku: sku.unwrap_or_default(),
            barcode: sent.barcode.value(),
            price: price.unwrap_or_default(),
            cost: sent.cost.value(),
            currency: currency.unwrap_or_else(|| "PHP".to_owned()),
            unit: unit.unwrap_or_else(|| "pc".to_owned()),
            stock: stock.unwrap_or(0),
            min_stock: min_stock.unwrap_or(0),
            max_stock: sent.max_stock.value(),
            image: sent.image.value(),
            is_active: is_active.unwrap_or(true),
            is_ecommerce: is_ecommerce.unwrap_or(false),
        })
    }
}

/// Changes to a product; `None` leaves a column as it is.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = products)]
pub struct ProductChanges {
    category_id: Option<Option<CategoryId>>,
    name: Option<String>,
    description: Option<Option<String>>,
    sku: Option<String>,
    barcode: Option<Option<String>>,
    price: Option<i64>,
    cost: Option<Option<i64>>,
    currency: Option<String>,
    unit: Option<String>,
    stock: Option<i64>,
    min_stock: Option<i64>,
    max_stock: Option<Option<i64>>,
    image: Option<Option<String>>,
    is_active: Option<bool>,
    is_ecommerce: Option<bool>,
}

impl ProductChanges {
    /// Reads a request's body; no field is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let sent = Sent::read(&mut fields);
        let changes = Self {
            category_id: sent.category_id.change().map(|id| id.map(CategoryId)),
            name: fields.present("name", sent.name),
            description: sent.description.change(),
            sku: fields.present("sku", sent.sku),
            barcode: sent.barcode.change(),
            price: fields.present("price", sent.price),
            cost: sent.cost.change(),
            currency: fields.present("currency", sent.currency),
            unit: fields.present("unit", sent.unit),
            stock: fields.present("stock", sent.stock),
            min_stock: fields.present("min_stock", sent.min_stock),
            max_stock: sent.max_stock.change(),
            image: sent.image.change(),
            is_active: fields.present("is_active", sent.is_active),
            is_ecommerce: fields.present("is_ecommerce", sent.is_ecommerce),
        };
        fields.finish()?;
        Ok(changes)
    }

    /// What of this would change `present`.
    pub(super) fn against(mut self, present: &Product) -> Self {
        keep_if_new(&mut self.category_id, &present.category_id);
        keep_if_new(&mut self.name, &present.name);
        keep_if_new(&mut self.description, &present.description);
        keep_if_new(&mut self.sku, &present.sku);
        keep_if_new(&mut self.barcode, &present.barcode);
        keep_if_new(&mut self.price, &present.price);
        keep_if_new(&mut self.cost, &present.cost);
        keep_if_new(&mut self.currency, &present.currency);
        keep_if_new(&mut self.unit, &present.unit);
        keep_if_new(&mut self.stock, &present.stock);
        keep_if_new(&mut self.min_stock, &present.min_stock);
        keep_if_new(&mut self.max_stock, &present.max_stock);
        keep_if_new(&mut self.image, &present.image);
        keep_if_new(&mut self.is_active, &present.is_active);
        keep_if_new(&mut self.is_ecommerce, &present.is_ecommerce);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Every field that may be sent, each within its bounds.
struct Sent {
    category_id: Given<i64>,
    name: Given<String>,
    description: Given<String>,
    sku: Given<String>,
    barcode: Given<String>,
    price: Given<i64>,
    cost: Given<i64>,
    currency: Given<String>,
    unit: Given<String>,
    stock: Given<i64>,
    min_stock: Given<i64>,
    max_stock: Given<i64>,
    image: Given<String>,
    is_active: Given<bool>,
    is_ecommerce: Given<bool>,
}

impl Sent {
    fn read(fields: &mut Fields) -> Self {
        let sent = Self {
            category_id: fields.integer("category_id", 1, i64::MAX),
            name: fields.string("name", 1, 255),
            description: fields.string("description", 0, 5_000),
            sku: fields.string("sku", 1, 50),
            barcode: fields.string("barcode", 1, 50),
            price: fields.integer("price", 0, MAX_MONEY),
            cost: fields.integer("cost", 0, MAX_MONEY),
            currency: fields.string("currency", 3, 3),
            unit: fields.string("unit", 1, 20),
            stock: fields.integer("stock", 0, MAX_STOCK),
            min_stock: fields.integer("min_stock", 0, MAX_STOCK),
            max_stock: fields.integer("max_stock", 0, MAX_STOCK),
            image: fields.string("image", 1, 2_048),
            is_active: fields.boolean("is_active"),
            is_ecommerce: fields.boolean("is_ecommerce"),
        };
        check_currency(fields, &sent.currency);
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn new(body: Value) -> Result<NewProduct> {
        NewProduct::parse(Fields::of(body).unwrap())
    }

    #[test]
    fn three_fields_make_a_product_and_the_rest_has_defaults() {
        let product = new(json!({"name": "Tea", "sku": "T-1", "price": 950})).unwrap();
        assert_eq!((product.currency.as_str(), product.unit.as_str()), ("PHP", "pc"));
        assert_eq!((product.stock, product.min_stock, product.max_stock), (0, 0, None));
        assert_eq!((product.is_active, product.is_ecommerce), (true, false));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = new(json!({
            "sku": "x".repeat(51), "price": -1, "cost": 1.5, "currency": "php", "unit": null, "stock": "5",
            "is_active": 1, "id": 7, "category_id": 0, "barcode": "",
        }))
        .unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        let expected = [
            "barcode",
            "category_id",
            "cost",
            "currency",
            "id",
            "is_active",
            "name",
            "price",
            "sku",
            "stock",
            "unit",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_price_has_an_upper_bound() {
        let priced = |price: i64| new(json!({"name": "Tea", "sku": "T-1", "price": price}));
        assert!(priced(MAX_MONEY).is_ok());
        assert!(priced(MAX_MONEY + 1).unwrap_err().fields().contains_key("price"));
    }

    #[test]
    fn a_change_sets_a_column_to_null_only_where_null_is_allowed() {
        let parse = |body| ProductChanges::parse(Fields::of(body).unwrap());
        assert_eq!(parse(json!({"barcode": null})).unwrap().barcode, Some(None));
        assert!(parse(json!({"stock": null})).unwrap_err().fields().contains_key("stock"));
        assert!(parse(json!({})).unwrap().is_empty());
    }
}
