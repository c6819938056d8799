//! What is seeded: the request body of the nth category, product or order. The same number always gives the
//! same words and prices, so that two machines have the same shop.

use crate::domain::{CategoryId, ProductId, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

const FLAVOURS: [&str; 12] = [
    "Fresh", "Local", "Organic", "Frozen", "Smoked", "Imported", "Daily", "Classic", "Spicy", "Sweet",
    "Mild", "Wild",
];
const SHELVES: [&str; 14] = [
    "coffee",
    "tea",
    "fruit",
    "vegetables",
    "bread",
    "dairy",
    "fish",
    "meat",
    "rice",
    "noodles",
    "snacks",
    "drinks",
    "sauces",
    "kitchenware",
];
const MAKES: [&str; 10] =
    ["Roasted", "Ground", "Sliced", "Whole", "Dried", "Salted", "Pickled", "Toasted", "Bottled", "Canned"];
const THINGS: [&str; 16] = [
    "arabica beans",
    "jasmine tea",
    "mango",
    "calamansi",
    "pandesal",
    "carabao milk",
    "tuna",
    "pork belly",
    "red rice",
    "canton noodles",
    "cashews",
    "coconut water",
    "soy sauce",
    "cane vinegar",
    "peanut butter",
    "dark chocolate",
];
const SIZES: [(&str, &str); 6] = [
    ("100 g", "pc"),
    ("250 g", "pc"),
    ("500 g", "pc"),
    ("1 kg", "kg"),
    ("box of 10", "box"),
    ("1 l", "bottle"),
];
const PEOPLE: [&str; 8] = [
    "Ana Cruz",
    "Ben Santos",
    "Carla Reyes",
    "Dino Garcia",
    "Ella Ramos",
    "Felix Torres",
    "Grace Lim",
    "Hugo Navarro",
];

/// A number that scatters: the finalizer of `SplitMix64`. `salt` tells the questions about one `n` apart.
fn scatter(n: i64, salt: u64) -> u64 {
    let mut z = n.unsigned_abs().wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// From `low` up to and without `high`.
fn between(low: i64, high: i64, n: i64, salt: u64) -> i64 {
    low + i64::try_from(scatter(n, salt) % high.abs_diff(low).max(1)).unwrap_or(0)
}

fn one_in(chance: u64, n: i64, salt: u64) -> bool {
    scatter(n, salt).is_multiple_of(chance)
}

fn pick<T: Copy, const N: usize>(from: &[T; N], n: i64, salt: u64) -> T {
    let index = usize::try_from(scatter(n, salt) % N as u64).unwrap_or(0);
    from[index % N]
}

/// Its name ends with `n`, as names are unique.
pub(super) fn category(n: i64) -> Value {
    let (flavour, shelf) = (pick(&FLAVOURS, n, 1), pick(&SHELVES, n, 2));
    json!({
        "name": format!("{flavour} {shelf} {n}"),
        "description": one_in(2, n, 3).then(|| format!("{flavour} {shelf} from shelf {n}.")),
    })
}

/// Its sku ends with `n`, as skus are unique. It is in one of the categories, if there are any.
pub(super) fn product(n: i64, categories: &[CategoryId]) -> Value {
    let (size, unit) = pick(&SIZES, n, 6);
    let price = between(20, 2_000, n, 7) * 100;
    let category = scatter(n, 8).checked_rem(categories.len() as u64);
    let category = category.and_then(|index| categories.get(usize::try_from(index).ok()?));
    json!({
        "name": format!("{} {} {size}", pick(&MAKES, n, 4), pick(&THINGS, n, 5)),
        "sku": format!("DEMO-{n:08}"),
        "barcode": one_in(3, n, 9).then(|| format!("DEMO{n:012}")),
        "category_id": category,
        "price": price,
        "cost": price * 7 / 10,
        "unit": unit,
        "stock": between(50, 1_000, n, 10),
        "min_stock": between(0, 100, n, 11),
        "is_active": !one_in(20, n, 12),
        "is_ecommerce": one_in(2, n, 13),
    })
}

/// How many items the nth order has: 1 to 4.
pub(super) fn items_of_order(n: i64) -> usize {
    usize::try_from(between(1, 5, n, 14)).unwrap_or(1)
}

/// Its number ends with `n`. It was ordered at some time of the last thirty days.
pub(super) fn order(n: i64, products: &[ProductId], now: Timestamp) -> Value {
    let ago = Duration::from_mins(scatter(n, 15) % (30 * 24 * 60));
    let items: Vec<Value> = (16_u64..)
        .zip(products)
        .map(|(salt, product)| json!({"product_id": product, "quantity": between(1, QUANTITY + 1, n, salt)}))
        .collect();
    json!({
        "order_number": format!("DEMO-{n:08}"),
        "customer_name": pick(&PEOPLE, n, 20),
        "ordered_at": now.minus(ago).to_string(),
        "items": items,
    })
}

/// An item asks for so many at most.
pub(super) const QUANTITY: i64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::category::NewCategory;
    use crate::catalog::order::NewOrder;
    use crate::catalog::product::NewProduct;
    use crate::domain::Fields;
    use std::collections::HashSet;

    const NUMBERS: [i64; 4] = [1, 2, 99_999_999, i64::MAX / 2];

    #[test]
    fn what_is_seeded_is_what_a_request_may_say() {
        let now = Timestamp::from_micros(1_800_000_000_000_000).unwrap();
        for n in NUMBERS.into_iter().chain(1..500) {
            NewCategory::parse(Fields::of(category(n)).unwrap()).unwrap();
            NewProduct::parse(Fields::of(product(n, &[CategoryId(3), CategoryId(4)])).unwrap()).unwrap();
            let products: Vec<_> = (0..4).take(items_of_order(n)).map(|i| ProductId(i + 1)).collect();
            NewOrder::parse(Fields::of(order(n, &products, now)).unwrap()).unwrap();
        }
    }

    #[test]
    fn the_same_number_gives_the_same_goods_and_others_differ() {
        assert_eq!(product(7, &[]), product(7, &[]));
        let names: HashSet<_> = (1..200).map(|n| product(n, &[])["name"].to_string()).collect();
        assert!(names.len() > 100, "{} names", names.len());
        let skus: HashSet<_> = (1..200).map(|n| product(n, &[])["sku"].to_string()).collect();
        assert_eq!(skus.len(), 199);
    }

    #[test]
    fn without_categories_a_product_is_in_none() {
        assert_eq!(product(7, &[])["category_id"], Value::Null);
        assert_eq!(product(7, &[CategoryId(5)])["category_id"], 5);
    }
}
