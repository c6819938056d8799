//! Members: who joins, who leaves, and who only broke off.

use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

const ROOM: &str = "presence-room";
/// A grace that no test waits for: what is told although it lasts is told at once.
const HOUR: u64 = 3_600_000;
const ANA: &str = r#"{"user_id":"1","user_info":{"name":"Ana"}}"#;

async fn hub_with_grace(milliseconds: u64) -> TestHub {
    TestHub::start_with(|c| c.channels.presence_grace_ms = milliseconds).await
}

/// A connection that has joined the room as this member, and who was there.
async fn join(hub: &TestHub, member: &str) -> (Socket, Value) {
    let mut socket = hub.connect().await;
    socket.subscribe_signed(ROOM, Some(member)).await;
    let roster = socket.succeeded(ROOM).await["presence"].take();
    (socket, roster)
}

/// Somebody who watches the room, and Ana, whose coming was told.
async fn watched(hub: &TestHub) -> (Socket, Socket) {
    let (mut watcher, _) = join(hub, r#"{"user_id":"watcher"}"#).await;
    let (ana, _) = join(hub, ANA).await;
    watcher.expect("pusher_internal:member_added").await;
    (watcher, ana)
}

async fn close_with(mut socket: Socket, code: u16) {
    socket.say(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() }))).await;
    assert_eq!(socket.closed().await, code);
}

async fn expect_removed(watcher: &mut Socket) {
    assert_eq!(watcher.expect("pusher_internal:member_removed").await, json!({"user_id": "1"}));
    watcher.expect_nothing().await;
}

#[actix_rt::test]
async fn a_user_with_two_sockets_is_one_member_who_comes_and_goes_once() {
    let hub = TestHub::start().await;
    let (mut watcher, roster) = join(&hub, r#"{"user_id":2}"#).await;
    assert_eq!(roster, json!({"ids": ["2"], "hash": {"2": null}, "count": 1}));
    let (first, roster) = join(&hub, ANA).await;
    assert_eq!(roster["count"], 2);
    let added = json!({"user_id": "1", "user_info": {"name": "Ana"}});
    assert_eq!(watcher.expect("pusher_internal:member_added").await, added);
    let (mut second, roster) = join(&hub, ANA).await;
    assert_eq!(roster["ids"], json!(["1", "2"]));

    close_with(first, 1000).await;
    second.event("pusher:unsubscribe", json!({"channel": ROOM})).await;
    expect_removed(&mut watcher).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_presence_channel_at_its_limit_refuses_another_user() {
    let hub = TestHub::start_with(|c| c.limits.presence_members = 1).await;
    let (mut one, mut other) = (join(&hub, r#"{"user_id":"1"}"#).await.0, hub.connect().await);
    other.subscribe_signed(ROOM, Some(r#"{"user_id":"2"}"#)).await;
    assert_eq!(other.expect("pusher:subscription_error").await["type"], "LimitReached");
    hub.wait_for_metric(r#"bellwire_messages_refused_total{reason="presence_members"} 1"#).await;
    one.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_breaks_off_and_is_back_within_the_grace_was_never_away() {
    let hub = hub_with_grace(HOUR).await;
    let (mut watcher, ana) = watched(&hub).await;
    drop(ana);
    hub.wait_for_metric("bellwire_connections 1").await;
    let renamed = r#"{"user_id":"1","user_info":{"name":"Ana Maria"}}"#;
    let (mut ana, roster) = join(&hub, renamed).await;
    assert_eq!((&roster["count"], &roster["hash"]["1"]["name"]), (&json!(2), &json!("Ana Maria")));
    watcher.expect_nothing().await;
    // And what is back may leave.
    ana.event("pusher:unsubscribe", json!({"channel": ROOM})).await;
    expect_removed(&mut watcher).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_breaks_off_and_stays_away_is_gone_after_the_grace_and_told_once() {
    let hub = hub_with_grace(200).await;
    let (mut watcher, ana) = watched(&hub).await;
    drop(ana);
    hub.wait_for_metric("bellwire_connections 1").await;
    expect_removed(&mut watcher).await;
    let (_, roster) = join(&hub, r#"{"user_id":"3"}"#).await;
    assert_eq!(roster["ids"], json!(["3", "watcher"]));
    hub.stop().await;
}

#[actix_rt::test]
async fn within_the_grace_newcomers_still_see_who_broke_off() {
    let hub = hub_with_grace(HOUR).await;
    let (_watcher, ana) = watched(&hub).await;
    drop(ana);
    hub.wait_for_metric("bellwire_connections 1").await;
    let (_, roster) = join(&hub, r#"{"user_id":"3"}"#).await;
    assert_eq!((&roster["ids"], &roster["count"]), (&json!(["1", "3", "watcher"]), &json!(3)));
    hub.stop().await;
}

#[actix_rt::test]
async fn who_unsubscribes_or_closes_the_connection_is_gone_at_once() {
    let hub = hub_with_grace(HOUR).await;
    let (mut watcher, mut ana) = watched(&hub).await;
    ana.event("pusher:unsubscribe", json!({"channel": ROOM})).await;
    expect_removed(&mut watcher).await;
    for code in [1000, 4000] {
        let (ana, _) = join(&hub, ANA).await;
        watcher.expect("pusher_internal:member_added").await;
        close_with(ana, code).await;
        expect_removed(&mut watcher).await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_page_that_loads_anew_leaves_and_comes_unnoticed() {
    let hub = hub_with_grace(HOUR).await;
    let (mut watcher, ana) = watched(&hub).await;
    // Browsers say 1001 when a page is left, also for itself.
    close_with(ana, 1001).await;
    hub.wait_for_metric("bellwire_connections 1").await;
    let (_ana, roster) = join(&hub, ANA).await;
    assert_eq!(roster["count"], 2);
    watcher.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn who_is_thrown_out_is_gone_at_once() {
    let hub = TestHub::start_with(|c| {
        c.channels.presence_grace_ms = HOUR;
        c.auth.recheck_seconds = 1;
    })
    .await;
    let ana = hub.somebody("Ana").await;
    let room = format!("presence-tenant.{}", ana.tenant);
    let mut watcher = hub.connect().await;
    watcher.subscribe_signed(&room, Some(r#"{"user_id":"watcher"}"#)).await;
    watcher.succeeded(&room).await;
    let mut socket = hub.connect_as(&ana).await;
    socket.join(&room).await;
    watcher.expect("pusher_internal:member_added").await;
    hub.db.transaction(async |conn| bellwire::auth::token::revoke(conn, ana.token_id).await).await.unwrap();
    assert_eq!(socket.closed().await, 4009);
    assert_eq!(
        watcher.expect("pusher_internal:member_removed").await,
        json!({"user_id": ana.user.to_string()})
    );
    hub.stop().await;
}
