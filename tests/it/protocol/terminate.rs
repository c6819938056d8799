//! Ending a user's connections: which of them end, how, and who stays.

use super::{ended, signed_in};
use crate::support::TestDb;
use crate::support::hub::TestHub;
use actix_web::{HttpResponse, web};
use bellwire::realtime::Hub;
use serde_json::json;

async fn end(hub: web::Data<Hub>, user: web::Path<String>) -> HttpResponse {
    let ended = hub.terminate_user(&hub.apps[0].id, &user);
    HttpResponse::Ok().json(ended)
}

/// A server that ends a user's connections at `/end/{user}`.
async fn start() -> TestHub {
    let routes = |app: &mut web::ServiceConfig| {
        app.route("/end/{user}", web::get().to(end)).configure(bellwire::http::configure);
    };
    TestHub::start_serving(TestDb::sqlite().await, routes, |_| {}).await
}

#[actix_rt::test]
async fn all_connections_of_a_signed_in_user_end_with_4009_and_other_users_stay() {
    let hub = start().await;
    let mut gone = [signed_in(&hub, "u1", &[]).await, signed_in(&hub, "u1", &[]).await];
    let mut stay = [signed_in(&hub, "u2", &[]).await, hub.connect().await];
    assert_eq!(hub.get("/end/u1").await, json!(2));
    for socket in &mut gone {
        assert_eq!(socket.closed().await, 4009);
    }
    for socket in &mut stay {
        socket.expect_nothing().await;
    }
    hub.wait_for_metric(&ended("terminated", 2)).await;
    hub.wait_for_metric("bellwire_connections 2").await;
    assert_eq!(hub.get("/end/u1").await, json!(0));
    assert_eq!(hub.get("/end/nobody").await, json!(0));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_token_counts_as_signed_in_as_its_user_on_connects_and_on_signatures() {
    let hub = start().await;
    let (ana, ben) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    let (mut by_token, mut by_signature) = (hub.connect_as(&ana).await, hub.connect().await);
    let (mut other, mut stranger) = (hub.connect_as(&ben).await, hub.connect().await);
    let channel = format!("private-tenant.{}", ana.tenant);
    let form = [("socket_id", by_signature.id.as_str()), ("channel_name", &channel)];
    let request = awc::Client::default().post(hub.url("/broadcasting/auth")).bearer_auth(&ana.token);
    assert_eq!(request.send_form(&form).await.unwrap().status().as_u16(), 200);
    assert_eq!(hub.get(&format!("/end/0{}", ana.user)).await, json!(0), "an id has one spelling");
    assert_eq!(hub.get(&format!("/end/{}", ana.user)).await, json!(2));
    assert_eq!((by_token.closed().await, by_signature.closed().await), (4009, 4009));
    other.expect_nothing().await;
    stranger.expect_nothing().await;
    hub.stop().await;
}
