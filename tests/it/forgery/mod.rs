//! Forged, replayed and misdirected credentials, ten thousand and more: none may be accepted. Each test prints
//! how many it tried.

mod api;
mod channel;

use crate::support::Backend;
use crate::support::hub::TestHub;
use bellwire::config::App;
use bellwire::domain::Secret;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Fixed, so that a failure can be had again.
const SEED: u64 = 0x5eed_0000_0003_0014;

/// A server with two apps, and the back ends of both.
async fn two_apps() -> (TestHub, Backend, Backend) {
    let other = App::new("other-id", "other-key", Secret::new("other-secret"));
    let hub = TestHub::start_with(|c| {
        c.apps.push(other);
        c.limits.messages_per_second = 0;
    })
    .await;
    let backend = Backend::of(&hub);
    let other = Backend::named(&hub, "other-id", "other-key", "other-secret");
    (hub, backend, other)
}

/// Every way to spoil a signature of 64 hex digits that is cheap to think of.
fn spoiled(signature: &str) -> Vec<String> {
    let mut all = Vec::new();
    for at in 0..signature.len() {
        for digit in "0123456789abcdef".chars().filter(|d| !signature[at..].starts_with(*d)) {
            all.push(format!("{}{digit}{}", &signature[..at], &signature[at + 1..]));
        }
        all.push(signature[..at].to_owned());
        all.push(signature[at + 1..].to_owned());
        all.push(format!("{}{}", &signature[..at], &signature[at + 1..]));
        let mut swapped: Vec<char> = signature.chars().collect();
        swapped.rotate_left(at);
        all.push(swapped.into_iter().collect());
    }
    for around in ["0", " ", "\n", "\t", "\0", ":", ",", "=", "00"] {
        all.push(format!("{signature}{around}"));
        all.push(format!("{around}{signature}"));
    }
    all.push(signature.to_uppercase());
    all.push(signature.replace('a', "A"));
    all.push(signature.chars().rev().collect());
    all.push(signature.repeat(2));
    all.extend(["", "0", "null", "undefined", "true", "*", "%"].map(str::to_owned));
    all.retain(|forged| forged != signature);
    all
}

/// Signatures that were guessed.
fn guessed(count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut one = || -> String {
        let bytes: [u8; 32] = random.random();
        hex::encode(bytes)
    };
    (0..count).map(|_| one()).collect()
}
