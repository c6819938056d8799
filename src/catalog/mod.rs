//! The shop's data: products, categories and orders, and the events of their changes.
//!
//! Every change takes a [`Unit`](observer::Unit), notes in it what it did, and runs in
//! [`Observer::commit`], which writes the events of the unit with it or not at all. Every query is bound to
//! a tenant: a row of another one is not there.
//!
//! Locks on PostgreSQL are taken in one order, so that no two requests wait for each other: the row that
//! is changed, products by id, unique keys, and the order of events last (`storage::outbox`).

pub mod category;
pub mod observer;
pub mod order;

pub mod product;
pub mod seed;
mod stock;

use crate::domain::Fields;
use crate::domain::fields::Given;

pub use crate::storage::page::{Listed, Page};
pub use observer::Observer;

/// Largest amount of money in minor units. Times the largest quantity it still fits 64 bits.
const MAX_MONEY: i64 = 1_000_000_000_000;

/// Largest stock that can be set.
const MAX_STOCK: i64 = 1_000_000_000;

/// Forgets a change to what is there already.
fn keep_if_new<T: PartialEq>(change: &mut Option<T>, present: &T) {
    if change.as_ref() == Some(present) {
        *change = None;
    }
}

/// Records a currency that is not three capital letters (ISO 4217).
fn check_currency(fields: &mut Fields, given: &Given<String>) {
    if let Given::Value(text) = given
        && !text.bytes().all(|b| b.is_ascii_uppercase())
    {
        fields.wrong("currency", "The currency field must be three capital letters, such as PHP.");
    }
}
