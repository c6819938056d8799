//! `POST /apps/{id}/users/{user}/terminate_connections`, and events to one user.

use super::event;
use crate::support::Backend;
use crate::support::hub::{APP_ID, APP_KEY, TestHub};
use crate::support::socket::Socket;
use bellwire::config::App;
use bellwire::domain::{Clock, Secret};
use serde_json::json;

/// Signs in, as the back end of the socket's app lets it.
async fn sign_in(socket: &mut Socket, backend: &Backend, user: &str) {
    let data = json!({ "id": user }).to_string();
    let auth = format!("{}:{}", backend.key, backend.hmac(&format!("{}::user::{data}", socket.id)));
    socket.event("pusher:signin", json!({"auth": auth, "user_data": data})).await;
    socket.expect("pusher:signin_success").await;
}

#[actix_rt::test]
async fn every_connection_of_the_user_is_ended_and_no_others() {
    let other = App::new("other", "other-key", Secret::new("other-secret"));
    let hub = TestHub::start_with(|c| c.apps.push(other)).await;
    let backend = Backend::of(&hub);
    let other = Backend::named(&hub, "other", "other-key", "other-secret");
    let (mut one, mut two, mut ben) = (hub.connect().await, hub.connect().await, hub.connect().await);
    let mut elsewhere = Socket::connect(hub.address, "other-key", "").await;
    for (socket, backend, user) in [
        (&mut one, &backend, "ann lee"),
        (&mut two, &backend, "ann lee"),
        (&mut ben, &backend, "ann"),
        (&mut elsewhere, &other, "ann lee"),
    ] {
        sign_in(socket, backend, user).await;
    }
    let answered = backend.post("/users/nobody/terminate_connections", "{}").await;
    assert_eq!(answered, (200, "{}".to_owned()));
    // The library signs the path before its HTTP client escapes it.
    let path = |user: &str| format!("/apps/{APP_ID}/users/{user}/terminate_connections");
    let query = backend.sign("POST", &path("ann lee"), &[], "{}", Clock::System.now());
    let answered = backend.send("POST", &format!("{}?{query}", path("ann%20lee")), "{}").await;
    assert_eq!(answered, (200, "{}".to_owned()));
    for mut socket in [one, two] {
        assert_eq!(socket.closed().await, 4009);
    }
    ben.expect_nothing().await;
    elsewhere.expect_nothing().await;
    hub.stop().await;
}

/// So does Pusher's library for Python.
#[actix_rt::test]
async fn the_app_may_be_named_by_the_key_alone() {
    let hub = TestHub::start().await;
    let backend = Backend::of(&hub);
    let mut socket = hub.connect().await;
    sign_in(&mut socket, &backend, "ann").await;
    let path = "/users/ann/terminate_connections";
    let now = Clock::System.now();
    let forged = backend.with(APP_ID, APP_KEY, "wrong").sign("POST", path, &[], "{}", now);
    for query in [&forged, "", "auth_key=nobody"] {
        assert_eq!(backend.send("POST", &format!("{path}?{query}"), "{}").await.0, 401, "{query}");
    }
    socket.expect_nothing().await;
    let query = backend.sign("POST", path, &[], "{}", now);
    assert_eq!(backend.send("POST", &format!("{path}?{query}"), "{}").await, (200, "{}".to_owned()));
    assert_eq!(socket.closed().await, 4009);
    hub.stop().await;
}

#[actix_rt::test]
async fn an_event_to_a_user_reaches_all_of_the_users_connections_and_nobody_else() {
    let hub = TestHub::start().await;
    let backend = Backend::of(&hub);
    let mut sockets = Vec::new();
    // As back ends choose their ids, and not as channels are named.
    for user in ["ann", "ann", "auth0|b n:é"] {
        let mut socket = hub.connect().await;
        sign_in(&mut socket, &backend, user).await;
        socket.join(&format!("#server-to-user-{user}")).await;
        sockets.push(socket);
    }
    let body = event(&["#server-to-user-ann"], "1").to_string();
    assert_eq!(backend.post("/events", &body).await, (200, "{}".to_owned()));
    sockets[0].expect("n").await;
    sockets[1].expect("n").await;
    sockets[2].expect_nothing().await;
    let body = event(&["#server-to-user-auth0|b n:é"], "2").to_string();
    assert_eq!(backend.post("/events", &body).await, (200, "{}".to_owned()));
    sockets[2].expect("n").await;
    sockets[0].expect_nothing().await;
    hub.stop().await;
}
