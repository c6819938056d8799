//! What is leased to an endpoint as it is written, and what becomes of it on the way.

use super::holding_back::breaker_when;
use super::world::{HandOver, World, until};
use crate::support::TestDb;
use crate::support::receiver::{Answer, Receiver};
use bellwire::domain::{Code, DeliveryId, EndpointId, Error, EventId, Fields};
use bellwire::storage::schema::webhook_deliveries as d;
use bellwire::storage::{Conn, outbox};
use bellwire::webhooks::breaker::Breaker;
use bellwire::webhooks::breakers;
use bellwire::webhooks::endpoint::{self, EndpointChanges};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    what_is_written_for_an_endpoint_with_a_free_lane_is_sent_without_a_claim,
    each_of_many_endpoints_is_given_the_delivery_that_is_its_own,
    what_was_leased_and_never_handed_over_is_sent_by_and_by,
    a_transaction_that_fails_gives_its_lane_back,
    an_endpoint_that_was_changed_is_looked_at_before_it_is_sent_to,
    nothing_is_leased_to_an_endpoint_that_has_a_failure_to_live_down,
    a_breaker_that_is_as_good_as_new_is_no_doubt,
    nothing_is_leased_where_order_or_a_rate_decides_what_goes,
    what_is_on_its_way_when_the_endpoint_is_paused_waits,
    a_drain_takes_no_more,
);

async fn what_is_written_for_an_endpoint_with_a_free_lane_is_sent_without_a_claim(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, r#"{"id":1}"#).await;
    receiver.next().await;
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    let committed = world.commit_leased(&endpoint, r#"{"id":2}"#).await;
    let message_id = committed.events[0].message_id.clone();
    assert!(world.rows().await[1].lease_owner.is_some());
    // Nobody is woken: an actor that looked at its rows would find it leased.
    world.sender.hand_over.do_send(HandOver(committed.leased));
    let request = receiver.next().await;
    assert_eq!(request.header("webhook-id"), &*message_id);
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap()["data"], json!({"id": 2}));
    let rows = world.rows_when(|rows| rows[1].status == "delivered").await;
    assert_eq!((rows[1].attempts, rows[1].lease_owner.as_deref()), (1, None));
}

async fn each_of_many_endpoints_is_given_the_delivery_that_is_its_own(db: TestDb) {
    let receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let standby = world.sender.endpoints.standby();
    for _ in 0..5 {
        let endpoint = world.endpoint(&receiver.url()).await;
        world.sender.wake(&[endpoint.id]);
        until(|| standby.take(endpoint.id, endpoint.revision).is_some()).await;
    }
    let write = async |conn: &mut Conn| {
        let events = vec![world.event("1"), world.event("2")];
        outbox::write_for_standby(conn, events, &standby, world.clock.now()).await
    };
    let committed = world.db.transaction(write).await.unwrap();
    let mut told: Vec<_> = committed
        .leased
        .iter()
        .map(|leased| {
            (leased.delivery, leased.endpoint, leased.event.id, Some(leased.place.owner().to_string()))
        })
        .collect();
    told.sort_by_key(|(delivery, ..)| *delivery);
    let query = d::table.order(d::id).select((d::id, d::webhook_id, d::event_id, d::lease_owner));
    let mut conn = world.db.read().await.unwrap();
    let written: Vec<(DeliveryId, EndpointId, EventId, Option<String>)> =
        on_conn!(&mut conn, c => query.load(c).await).unwrap();
    // Of each endpoint's two one finds a lane.
    assert_eq!(written.len(), 10);
    let leased: Vec<_> = written.into_iter().filter(|(.., owner)| owner.is_some()).collect();
    assert_eq!((told.len(), told), (5, leased));
}

async fn what_was_leased_and_never_handed_over_is_sent_by_and_by(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.sender.wake(&[endpoint.id]);
    let committed = world.commit_leased(&endpoint, "1").await;
    drop(committed);
    let _sweep = world.sweep();
    receiver.next().await;
    assert_eq!(world.row_after(1).await.status, "delivered");
}

async fn a_transaction_that_fails_gives_its_lane_back(db: TestDb) {
    let receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.sender.wake(&[endpoint.id]);
    let standby = world.sender.endpoints.standby();
    until(|| standby.take(endpoint.id, endpoint.revision).is_some()).await;
    for _ in 0..3 {
        let fail = async |conn: &mut Conn| {
            let event = world.event("1");
            let committed = outbox::write_for_standby(conn, vec![event], &standby, world.clock.now()).await?;
            assert_eq!(committed.leased.len(), 1);
            Err::<(), _>(Error::new(Code::Conflict, "no"))
        };
        assert_eq!(world.db.transaction(fail).await.unwrap_err().code(), Code::Conflict);
    }
    assert_eq!(world.rows().await, []);
}

async fn an_endpoint_that_was_changed_is_looked_at_before_it_is_sent_to(db: TestDb) {
    let mut old = Receiver::start(Answer::Status(200)).await;
    let mut new = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&old.url()).await;
    world.sender.wake(&[endpoint.id]);
    drop(world.commit_leased(&endpoint, "1").await);
    let fields = Fields::of(json!({"url": new.url()})).unwrap();
    let changes = EndpointChanges::parse(fields).unwrap();
    let change = async |conn: &mut Conn| {
        endpoint::update(conn, (world.tenant, endpoint.id), &changes, world.clock.now()).await
    };
    let moved = world.db.transaction(change).await.unwrap();
    assert_eq!(moved.revision, endpoint.revision + 1);
    let committed = world.commit_for_standby("2").await;
    assert_eq!((committed.leased.len(), &*committed.endpoints), (0, &[endpoint.id][..]));
    world.sender.wake(&[endpoint.id]);
    // This one, and by and by the one whose lease was dropped.
    let _sweep = world.sweep();
    for _ in 0..2 {
        new.next().await;
    }
    assert!(old.already().is_none());
    drop(world.commit_leased(&moved, "3").await);
}

async fn nothing_is_leased_to_an_endpoint_that_has_a_failure_to_live_down(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(500)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.publish(&endpoint, "1").await;
    receiver.next().await;
    breaker_when(&world, &endpoint, |breaker| breaker.failures == 1).await;
    receiver.answer(Answer::Status(200));
    let committed = world.commit_for_standby("2").await;
    assert_eq!(committed.leased.len(), 0);
    world.sender.wake(&[endpoint.id]);
    breaker_when(&world, &endpoint, |breaker| *breaker == Breaker::default()).await;
    drop(world.commit_leased(&endpoint, "3").await);
}

async fn a_breaker_that_is_as_good_as_new_is_no_doubt(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    // As an attempt leaves it that failed and lost its lease.
    let leave =
        async |conn: &mut Conn| breakers::make_rows(conn, [endpoint.id].into(), world.clock.now()).await;
    world.db.transaction(leave).await.unwrap();
    assert_eq!(world.commit_for_standby("1").await.leased.len(), 0);
    world.sender.wake(&[endpoint.id]);
    receiver.next().await;
    world.row_after(1).await;
    drop(world.commit_leased(&endpoint, "2").await);
}

async fn nothing_is_leased_where_order_or_a_rate_decides_what_goes(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let ordered = world.endpoint_as(json!({"url": receiver.url(), "is_ordered": true})).await;
    let rated = world.endpoint_as(json!({"url": receiver.url(), "rate_per_minute": 600})).await;
    world.commit("1").await;
    world.sender.wake(&[ordered.id, rated.id]);
    for _ in 0..2 {
        receiver.next().await;
    }
    world.rows_when(|rows| rows.iter().all(|row| row.status == "delivered")).await;
    let committed = world.commit_for_standby("2").await;
    assert_eq!((committed.leased.len(), committed.endpoints.len()), (0, 2));
}

async fn what_is_on_its_way_when_the_endpoint_is_paused_waits(db: TestDb) {
    let mut receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    // After a success it has another lane beside the one that is taken next: whether it stands by can be seen.
    world.publish(&endpoint, "0").await;
    receiver.next().await;
    world.row_after(1).await;
    let committed = world.commit_leased(&endpoint, "1").await;
    let set = async |paused| {
        let change = async |conn: &mut Conn| {
            endpoint::set_paused(conn, (world.tenant, endpoint.id), paused, world.clock.now()).await
        };
        world.db.transaction(change).await.unwrap();
        world.sender.wake(&[endpoint.id]);
    };
    set(true).await;
    let standby = world.sender.endpoints.standby();
    until(|| standby.take(endpoint.id, endpoint.revision).is_none()).await;
    world.sender.hand_over.do_send(HandOver(committed.leased));
    let rows = world.rows_when(|rows| rows[1].lease_owner.is_none()).await;
    assert_eq!(rows[1].attempts, 0);
    assert!(receiver.already().is_none());
    // While it is held back the actor looks at its rows once a second.
    world.clock.advance(Duration::from_secs(2));
    set(false).await;
    receiver.next().await;
}

async fn a_drain_takes_no_more(db: TestDb) {
    let receiver = Receiver::start(Answer::Status(200)).await;
    let world = World::new(db).await;
    let endpoint = world.endpoint(&receiver.url()).await;
    world.sender.wake(&[endpoint.id]);
    let committed = world.commit_leased(&endpoint, "1").await;
    world.sender.endpoints.drain(Duration::from_secs(5)).await;
    world.sender.hand_over.do_send(HandOver(committed.leased));
    let rows = world.rows().await;
    assert_eq!((rows[0].attempts, rows[0].lease_owner.as_deref()), (0, None));
}
