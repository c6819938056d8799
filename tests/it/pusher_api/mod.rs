//! The Pusher HTTP API, a file a call, and what is signed for it, through a real server.

mod batch;
mod channels;
mod laravel;
mod limits;
mod signature;
mod subscriptions;
mod trigger;
mod users;

use serde_json::{Value, json};

/// An event on these channels.
fn event(channels: &[&str], data: &str) -> Value {
    json!({"name": "n", "channels": channels, "data": data})
}

/// What an error says.
fn message(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}
