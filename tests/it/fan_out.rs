//! Broadcasts, which are written past sessions where nothing waits and go through their mailboxes where something
//! does: whichever way each takes, a subscriber has them once, whole and in order.

use crate::support::hub::TestHub;
use crate::support::socket::Socket;

/// More than the kernel takes for a client that does not read: 3,000 messages of 2,000 bytes.
const MANY: usize = 3_000;
const LONG: usize = 2_000;

/// What the `n`th broadcast says.
fn numbered(n: usize) -> String {
    format!("{n} {}", ".".repeat(LONG))
}

/// Publishes all of them while the client reads nothing, and then insists that it reads them all.
async fn fall_behind_and_catch_up(hub: &TestHub, client: &mut Socket) {
    for n in 1..=MANY {
        hub.publish("news", "n", &numbered(n)).await;
    }
    for n in 1..=MANY {
        assert_eq!(client.next().await["data"], numbered(n));
    }
}

/// A server that lets a client fall far behind, and for as long as a busy machine takes to publish all that.
async fn patient_hub() -> TestHub {
    TestHub::start_with(|config| {
        config.limits.queue_bytes = 64 << 20;
        config.limits.queue_messages = 2 * MANY;
        config.limits.stall_seconds = 300;
        config.limits.auth_timeout_seconds = 0;
    })
    .await
}

#[actix_rt::test]
async fn who_falls_behind_and_catches_up_has_everything_once_and_in_order() {
    let hub = patient_hub().await;
    let mut client = hub.connect().await;
    client.join("news").await;
    fall_behind_and_catch_up(&hub, &mut client).await;
    hub.stop().await;
}

/// Its client is asked behind each message whether that has arrived: a question within a message would end it.
#[actix_rt::test]
async fn so_has_who_can_be_known_again_and_is_asked_what_has_arrived() {
    let hub = patient_hub().await;
    let somebody = hub.somebody("Maria").await;
    let mut client = hub.connect_as(&somebody).await;
    client.join("news").await;
    fall_behind_and_catch_up(&hub, &mut client).await;
    hub.stop().await;
}

#[actix_rt::test]
async fn a_newcomer_gets_its_welcome_first_and_then_every_broadcast() {
    const NEWCOMERS: usize = 60;
    let hub = TestHub::start_with(|config| config.limits.auth_timeout_seconds = 0).await;
    let mut witness = hub.connect().await;
    witness.join("news").await;
    let mut newcomers = Vec::new();
    for n in 1..=NEWCOMERS {
        let mut newcomer = hub.connect().await;
        newcomer.subscribe("news").await;
        hub.publish("news", "n", &n.to_string()).await;
        newcomers.push(newcomer);
    }
    for newcomer in &mut newcomers {
        newcomer.succeeded("news").await;
    }
    // The last may have come in behind the last broadcast so far: requests and sockets have no order among them.
    let last = NEWCOMERS + 1;
    hub.publish("news", "n", &last.to_string()).await;
    for (mut newcomer, came) in newcomers.into_iter().zip(1..) {
        let first: usize = newcomer.next().await["data"].as_str().unwrap().parse().unwrap();
        assert!(first >= came, "{first} was published before {came} asked to come");
        for n in first + 1..=last {
            assert_eq!(newcomer.next().await["data"], n.to_string());
        }
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_crowd_is_served_in_stretches_and_each_of_it_in_order() {
    let hub = TestHub::start_with(|config| config.limits.auth_timeout_seconds = 0).await;
    let mut crowd = Vec::new();
    // On two workers: more than one stretch on each.
    for _ in 0..700 {
        let mut socket = hub.connect().await;
        socket.join("news").await;
        crowd.push(socket);
    }
    for n in 1..=5 {
        hub.publish("news", "n", &n.to_string()).await;
    }
    for socket in &mut crowd {
        for n in 1..=5 {
            assert_eq!(socket.next().await["data"], n.to_string());
        }
    }
    hub.wait_for_metric("bellwire_publish_to_write_seconds_count 3500").await;
    hub.stop().await;
}
