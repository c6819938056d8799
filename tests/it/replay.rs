//! Replay: a client that comes back gets what it missed, once, in order, right after its welcome.

use crate::support::hub::{Somebody, TestHub};
use crate::support::socket::Socket;
use crate::support::{TestDb, until};
use serde_json::{Value, json};

/// Connects as somebody and subscribes to the channel of their tenant.
async fn joined(hub: &TestHub, somebody: &Somebody) -> Socket {
    let mut socket = hub.connect_as(somebody).await;
    socket.join(&tenant_channel(somebody)).await;
    socket
}

fn tenant_channel(somebody: &Somebody) -> String {
    format!("private-tenant.{}", somebody.tenant)
}

/// Publishes numbers on somebody's channel.
async fn publish(hub: &TestHub, somebody: &Somebody, numbers: std::ops::Range<i32>) {
    for n in numbers {
        hub.publish(&tenant_channel(somebody), "n", &n.to_string()).await;
    }
}

/// Takes the numbers, which must come next and in order.
async fn expect(socket: &mut Socket, numbers: std::ops::Range<i32>) {
    for n in numbers {
        assert_eq!(socket.expect("n").await, json!(n));
    }
}

/// Waits until the hub knows that the client has everything: the cut that follows leaves no doubt. The first
/// round brings the last ping, the second takes its answer along.
async fn settled(socket: &mut Socket) {
    socket.expect_nothing().await;
    socket.expect_nothing().await;
}

/// Cuts the connection without a goodbye, and waits until the hub knows.
async fn cut(hub: &TestHub, socket: Socket, left: usize) {
    drop(socket);
    hub.wait_for_metric(&format!("bellwire_connections {left}")).await;
}

#[actix_rt::test]
async fn a_client_that_was_cut_off_gets_what_it_missed_once_and_in_order() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let mut socket = joined(&hub, &ana).await;
    publish(&hub, &ana, 0..3).await;
    expect(&mut socket, 0..3).await;
    settled(&mut socket).await;
    cut(&hub, socket, 0).await;
    publish(&hub, &ana, 3..20).await;
    let mut back = joined(&hub, &ana).await;
    expect(&mut back, 3..20).await;
    publish(&hub, &ana, 20..23).await;
    expect(&mut back, 20..23).await;
    back.expect_nothing().await;
    hub.wait_for_metric("bellwire_replays_total{outcome=\"complete\"} 1").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_without_an_identity_or_that_said_goodbye_starts_anew() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let channel = tenant_channel(&ana);
    let mut keeper = joined(&hub, &ana).await;
    let mut stranger = hub.connect().await;
    stranger.subscribe_signed(&channel, None).await;
    stranger.succeeded(&channel).await;
    let ben = hub.token_for(ana.tenant, ana.user, None).await;
    let polite = joined(&hub, &ben).await;
    polite.close(1000).await;
    cut(&hub, stranger, 1).await;
    publish(&hub, &ana, 0..1).await;
    expect(&mut keeper, 0..1).await;
    let mut stranger = hub.connect().await;
    stranger.subscribe_signed(&channel, None).await;
    stranger.succeeded(&channel).await;
    stranger.expect_nothing().await;
    joined(&hub, &ben).await.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn what_the_client_caused_itself_is_not_replayed() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let socket = joined(&hub, &ana).await;
    let own = socket.id.clone();
    cut(&hub, socket, 0).await;
    for (n, except) in [(1, Some(own)), (2, None)] {
        let body = json!({
            "name": "n", "channels": [tenant_channel(&ana)], "data": n.to_string(), "socket_id": except
        });
        assert_eq!(hub.trigger(&body.to_string()).await.0, 200);
    }
    let mut back = joined(&hub, &ana).await;
    expect(&mut back, 2..3).await;
    back.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_had_completely_is_a_gap_and_nothing_partial() {
    let hub = TestHub::start_with(|c| c.channels.history_messages = 5).await;
    let ana = hub.somebody("Ana").await;
    let socket = joined(&hub, &ana).await;
    cut(&hub, socket, 0).await;
    publish(&hub, &ana, 0..6).await;
    let mut back = joined(&hub, &ana).await;
    let gap = back.expect("bellwire:replay_gap").await;
    assert_eq!((gap["offset"].as_u64(), gap["epoch"].as_str().map(str::len)), (Some(6), Some(16)));
    publish(&hub, &ana, 6..7).await;
    expect(&mut back, 6..7).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_message_that_was_never_confirmed_comes_again() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let socket = joined(&hub, &ana).await;
    // It reads nothing, so it answers no ping.
    publish(&hub, &ana, 0..2).await;
    cut(&hub, socket, 0).await;
    let mut back = joined(&hub, &ana).await;
    expect(&mut back, 0..2).await;
    back.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_client_that_is_back_before_its_old_connection_is_known_to_be_dead_gets_what_it_missed() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let _asleep = joined(&hub, &ana).await;
    publish(&hub, &ana, 0..3).await;
    let mut back = joined(&hub, &ana).await;
    expect(&mut back, 0..3).await;
    back.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_second_tab_of_a_living_client_starts_anew() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let mut first = joined(&hub, &ana).await;
    publish(&hub, &ana, 0..3).await;
    expect(&mut first, 0..3).await;
    settled(&mut first).await;
    joined(&hub, &ana).await.expect_nothing().await;
    hub.stop().await;
}

#[actix_rt::test]
async fn replay_can_be_turned_off() {
    let hub = TestHub::start_with(|c| c.channels.history_seconds = 0).await;
    let ana = hub.somebody("Ana").await;
    let socket = joined(&hub, &ana).await;
    cut(&hub, socket, 0).await;
    publish(&hub, &ana, 0..1).await;
    joined(&hub, &ana).await.expect_nothing().await;
    hub.stop().await;
}

/// Renames a product over REST: an event that is a row.
async fn rename(hub: &TestHub, somebody: &Somebody, name: &str) {
    let client = awc::Client::default();
    let body = json!({"name": name, "sku": name, "price": 1});
    let response =
        client.post(hub.url("/api/v1/products")).bearer_auth(&somebody.token).send_json(&body).await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
}

async fn expect_products(socket: &mut Socket, names: &[&str]) {
    for name in names {
        assert_eq!(socket.expect("product:created").await["name"], *name);
    }
}

/// Restarts the hub on the same database; before, its clients have read what was sent, and answer its goodbye.
async fn restarted(mut hub: TestHub, mut sockets: Vec<Socket>) -> TestHub {
    hub.begin_drain();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4200);
    }
    let db: TestDb = hub.stop().await;
    TestHub::start_on(db, |_| {}).await
}

#[actix_rt::test]
async fn a_restart_of_the_server_is_no_more_than_a_cut_to_who_follows_rows() {
    let hub = TestHub::start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let (mut watching, mut gone) = (joined(&hub, &ana).await, joined(&hub, &ben).await);
    rename(&hub, &ana, "a").await;
    expect_products(&mut watching, &["a"]).await;
    settled(&mut watching).await;
    settled(&mut gone).await;
    cut(&hub, gone, 1).await;
    rename(&hub, &ben, "b").await;
    rename(&hub, &ben, "c").await;
    let hub = restarted(hub, vec![watching]).await;
    rename(&hub, &ana, "d").await;
    let mut back = joined(&hub, &ana).await;
    expect_products(&mut back, &["d"]).await;
    back.expect_nothing().await;
    let mut back = joined(&hub, &ben).await;
    expect_products(&mut back, &["b", "c"]).await;
    rename(&hub, &ben, "e").await;
    expect_products(&mut back, &["e"]).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn after_a_restart_what_no_row_holds_is_a_gap() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let socket = joined(&hub, &ana).await;
    cut(&hub, socket, 0).await;
    publish(&hub, &ana, 0..1).await;
    let hub = restarted(hub, vec![]).await;
    joined(&hub, &ana).await.expect("bellwire:replay_gap").await;
    hub.stop().await;
}

#[actix_rt::test]
async fn the_positions_of_clients_are_noted_while_the_server_runs() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let mut socket = joined(&hub, &ana).await;
    rename(&hub, &ana, "a").await;
    expect_products(&mut socket, &["a"]).await;
    settled(&mut socket).await;
    let (app, channel) = (
        bellwire::domain::AppId(crate::support::hub::APP_ID.into()),
        bellwire::domain::ChannelName::tenant(ana.tenant),
    );
    let noted = async || {
        let mut conn = hub.db.read().await.unwrap();
        let row = bellwire::storage::positions::read(&mut conn, &app, &channel).await.unwrap();
        let list: Value = row.map_or(Value::Null, |(text, _)| serde_json::from_str(&text).unwrap());
        list[0][0]["t"][0] == json!(ana.token_id.0) && list[0][2] == json!(1)
    };
    until("Ana's position is noted at row 1", noted).await;
    hub.stop().await;
}

/// A page of a channel's history, as somebody.
async fn history(hub: &TestHub, somebody: &Somebody, path: &str) -> (u16, Value) {
    let client = awc::Client::default();
    let mut response = client.get(hub.url(path)).bearer_auth(&somebody.token).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn numbers(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|item| item["data"].as_str().unwrap()).collect()
}

#[actix_rt::test]
async fn the_history_is_read_page_by_page_and_says_when_it_is_not_complete() {
    let hub = TestHub::start_with(|c| c.channels.history_messages = 5).await;
    let ana = hub.somebody("Ana").await;
    let _keeper = joined(&hub, &ana).await;
    publish(&hub, &ana, 0..7).await;
    let path = format!("/api/v1/channels/{}/history", tenant_channel(&ana));
    let (status, page) = history(&hub, &ana, &format!("{path}?limit=3")).await;
    assert_eq!((status, numbers(&page)), (200, vec!["2", "3", "4"]));
    assert_eq!((&page["meta"]["complete"], &page["meta"]["offset"]), (&json!(false), &json!(7)));
    assert_eq!((&page["data"][0]["event"], &page["data"][0]["offset"]), (&json!("n"), &json!(3)));
    let (_, page) = history(&hub, &ana, page["links"]["next"].as_str().unwrap()).await;
    assert_eq!(numbers(&page), ["5", "6"]);
    assert_eq!((&page["meta"]["complete"], &page["links"]["next"]), (&json!(true), &Value::Null));
    let (_, page) = history(&hub, &ana, &format!("{path}?epoch=0123456789abcdef&after=6")).await;
    assert_eq!((numbers(&page).len(), &page["meta"]["complete"]), (5, &json!(false)));
    hub.stop().await;
}

#[actix_rt::test]
async fn the_history_of_rows_is_there_before_anyone_subscribes_and_for_the_tenant_alone() {
    let hub = TestHub::start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    rename(&hub, &ana, "a").await;
    let path = format!("/api/v1/channels/{}/history", tenant_channel(&ana));
    let (status, page) = history(&hub, &ana, &path).await;
    assert_eq!((status, &page["data"][0]["event"]), (200, &json!("product:created")));
    assert_eq!(history(&hub, &ben, &path).await.0, 403);
    assert_eq!(history(&hub, &ana, &format!("{path}?limit=0")).await.0, 422);
    assert_eq!(history(&hub, &ana, &format!("{path}?epoch=x")).await.0, 422);
    let (status, page) = history(&hub, &ana, "/api/v1/channels/nobody-is-here/history").await;
    assert_eq!((status, &page["data"], &page["meta"]["epoch"]), (200, &json!([]), &Value::Null));
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_that_serves_one_tenant_knows_nothing_of_another_tenants_past() {
    let hub = TestHub::start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    for somebody in [&ana, &ben] {
        rename(&hub, somebody, "a").await;
    }
    let db = hub.stop().await;
    let tenant = ana.tenant;
    let hub = TestHub::start_on(db, |config| config.apps[0].tenant = Some(tenant)).await;
    let path = |somebody: &Somebody| format!("/api/v1/channels/{}/history", tenant_channel(somebody));
    assert_eq!(numbers(&history(&hub, &ana, &path(&ana)).await.1).len(), 1);
    assert_eq!(history(&hub, &ben, &path(&ben)).await.0, 403);
    // Subscribed with the app's own signature, which any name may have: its past is read, and is empty.
    let mut socket = hub.connect().await;
    socket.subscribe_signed(&tenant_channel(&ben), None).await;
    socket.succeeded(&tenant_channel(&ben)).await;
    socket.expect_nothing().await;
    hub.stop().await;
}
