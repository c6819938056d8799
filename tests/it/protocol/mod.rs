//! The Pusher protocol as a matrix, through a real socket: every message of clients, every error and close code,
//! every limit on what a client says.

mod abuse;
mod client_events;
mod closes;
mod errors;
mod sign_in;
mod terminate;
mod watchlist;

use crate::support::hub::{TestHub, test_app};
use crate::support::socket::Socket;
use bellwire::auth::user_signature;
use bellwire::config::App;
use serde_json::{Value, json};

/// A server whose app has changed settings.
pub(crate) async fn hub_with_app(change: impl FnOnce(&mut App)) -> TestHub {
    TestHub::start_with(|config| change(&mut config.apps[0])).await
}

/// Asks to sign in with the app's signature.
pub(crate) async fn sign_in(socket: &mut Socket, user_data: &str) {
    let auth = user_signature::sign(&test_app(), socket.id.parse().unwrap(), user_data);
    socket.event("pusher:signin", json!({"auth": auth, "user_data": user_data})).await;
}

/// A connection that is signed in as this user and watches these.
pub(crate) async fn signed_in(hub: &TestHub, id: &str, watchlist: &[&str]) -> Socket {
    let mut socket = hub.connect().await;
    sign_in(&mut socket, &json!({"id": id, "watchlist": watchlist}).to_string()).await;
    socket.expect("pusher:signin_success").await;
    socket
}

/// Takes a `pusher:error`; its code and message.
pub(crate) async fn error(socket: &mut Socket) -> (Option<u64>, String) {
    let message = socket.next().await;
    assert_eq!(message["event"], "pusher:error", "{message}");
    let data: &Value = &message["data"];
    assert!(!data["code"].is_null() || data.get("code").is_none(), "no code is no key: {message}");
    (data["code"].as_u64(), data["message"].as_str().unwrap().to_owned())
}

/// What `/metrics` says of messages refused for this reason.
pub(crate) fn refused(reason: &str, times: usize) -> String {
    format!("bellwire_messages_refused_total{{reason=\"{reason}\"}} {times}")
}

/// What `/metrics` says of connections ended or refused for this reason.
pub(crate) fn ended(reason: &str, times: usize) -> String {
    format!("bellwire_connections_refused_total{{reason=\"{reason}\"}} {times}")
}
