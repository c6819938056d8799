//! `/broadcasting/auth` and `/broadcasting/user-auth`: what is signed, for whom, however it is asked.

use crate::support::hub::{APP_KEY, Somebody, TestHub, test_app};
use awc::http::Method;
use bellwire::auth::{channel_signature, user_signature};
use bellwire::domain::{ChannelName, SocketId};
use serde_json::{Value, json};

/// How a client may put the same question.
#[derive(Debug, Clone, Copy)]
enum How {
    Form,
    Json,
    PostedQuery,
    Get,
}

const WAYS: [How; 4] = [How::Form, How::Json, How::PostedQuery, How::Get];

async fn ask(hub: &TestHub, how: How, path: &str, token: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let (method, url) = match how {
        How::Form | How::Json => (Method::POST, hub.url(path)),
        How::PostedQuery => (Method::POST, hub.url(&format!("{path}?{query}"))),
        How::Get => (Method::GET, hub.url(&format!("{path}?{query}"))),
    };
    let request = awc::Client::default().request(method, url).bearer_auth(token);
    let object: Value = fields.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    let sent = match how {
        How::Form => request.send_form(&fields.to_vec()).await,
        How::Json => request.send_json(&object).await,
        How::PostedQuery => request.send_form::<[(&str, &str); 0]>(&[]).await,
        How::Get => request.send().await,
    };
    let mut response = sent.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn status(hub: &TestHub, path: &str, token: &str, fields: &[(&str, &str)]) -> u16 {
    ask(hub, How::Form, path, token, fields).await.0
}

#[actix_rt::test]
async fn a_channel_is_signed_however_it_is_asked() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let socket = hub.connect().await;
    let (private, presence) =
        (format!("private-tenant.{}", ana.tenant), format!("presence-tenant.{}", ana.tenant));
    let member = json!({"user_id": ana.user.to_string(), "user_info": {"name": "Ana"}}).to_string();
    for how in WAYS {
        for (channel, data) in [(&private, None), (&presence, Some(member.as_str()))] {
            let fields = [("socket_id", socket.id.as_str()), ("channel_name", channel), ("app_key", APP_KEY)];
            let (status, answer) = ask(&hub, how, "/broadcasting/auth", &ana.token, &fields).await;
            let name = ChannelName::parse(channel).unwrap();
            let auth = channel_signature::sign(&test_app(), socket.id.parse().unwrap(), &name, data);
            let mut expected = json!({ "auth": auth });
            if let Some(data) = data {
                expected["channel_data"] = data.into();
            }
            assert_eq!((status, answer), (200, expected), "{how:?} {channel}");
        }
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_user_is_signed_in_laravels_shape_however_it_is_asked() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let socket = SocketId::from_bits(9);
    let data = json!({"id": ana.user.to_string(), "user_info": {"name": "Ana"}}).to_string();
    let expected = json!({"auth": user_signature::sign(&test_app(), socket, &data), "user_data": data});
    for how in WAYS {
        let fields = [("socket_id", "0.9")];
        let answer = ask(&hub, how, "/broadcasting/user-auth", &ana.token, &fields).await;
        assert_eq!(answer, (200, expected.clone()), "{how:?}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn what_is_missing_or_wrong_is_a_422_that_names_the_field() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let long = "x".repeat(65);
    let channel = format!("private-tenant.{}", ana.tenant);
    let good = [("socket_id", "0.9"), ("channel_name", channel.as_str()), ("client", "tab-1_A")];
    assert_eq!(status(&hub, "/broadcasting/auth", &ana.token, &good).await, 200);
    for (field, value) in [
        ("socket_id", None),
        ("socket_id", Some("1:2")),
        ("channel_name", None),
        ("channel_name", Some("a:b")),
        ("client", Some("")),
        ("client", Some("a b")),
        ("client", Some(long.as_str())),
        ("app_key", Some("nobody")),
    ] {
        let rest = good.into_iter().filter(|(name, _)| *name != field);
        let fields: Vec<_> = rest.chain(value.map(|value| (field, value))).collect();
        for how in WAYS {
            let (status, answer) = ask(&hub, how, "/broadcasting/auth", &ana.token, &fields).await;
            assert_eq!(status, 422, "{how:?} {field} {value:?}");
            assert!(answer["errors"][field].is_array(), "{answer}");
        }
    }
    let (status, _) = ask(&hub, How::Get, "/broadcasting/user-auth", &ana.token, &[]).await;
    assert_eq!(status, 422);
    hub.stop().await;
}

#[actix_rt::test]
async fn neither_is_signed_without_a_good_token_or_by_another_method() {
    let hub = TestHub::start().await;
    let ana = hub.somebody("Ana").await;
    let fields = [("socket_id", "0.9"), ("channel_name", "private-tenant.1")];
    for path in ["/broadcasting/auth", "/broadcasting/user-auth"] {
        for how in WAYS {
            assert_eq!(ask(&hub, how, path, "1|wrong", &fields).await.0, 401, "{how:?} {path}");
        }
        let put = awc::Client::default().put(hub.url(path)).bearer_auth(&ana.token);
        assert_eq!(put.send().await.unwrap().status().as_u16(), 405, "{path}");
        let text = awc::Client::default().post(hub.url(path)).bearer_auth(&ana.token);
        assert_eq!(text.send_body("socket_id=0.9").await.unwrap().status().as_u16(), 415, "{path}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_signs_for_no_other_tenant_and_not_while_it_is_disabled() {
    let hub = TestHub::start_with(|c| {
        let app = |key: &str| bellwire::config::App { key: key.to_owned(), ..test_app() };
        let mine = bellwire::config::App {
            id: id("mine"),
            tenant: Some(bellwire::domain::TenantId(1)),
            ..app("mine")
        };
        let off = bellwire::config::App { id: id("off"), enabled: false, ..app("off") };
        c.apps.extend([mine, off]);
    })
    .await;
    let (ana, ben): (Somebody, Somebody) = (hub.somebody("Ana").await, hub.somebody("Ben").await);
    assert_eq!(ana.tenant.0, 1);
    for (who, key, expected) in [
        (&ana, "app-key", 200),
        (&ben, "app-key", 200),
        (&ana, "mine", 200),
        (&ben, "mine", 403),
        (&ana, "off", 403),
    ] {
        let channel = format!("private-tenant.{}", who.tenant);
        let fields = [("socket_id", "0.9"), ("channel_name", channel.as_str()), ("app_key", key)];
        assert_eq!(status(&hub, "/broadcasting/auth", &who.token, &fields).await, expected, "{key}");
        assert_eq!(status(&hub, "/broadcasting/user-auth", &who.token, &fields).await, expected, "{key}");
    }
    hub.stop().await;
}

fn id(id: &str) -> bellwire::domain::AppId {
    bellwire::domain::AppId(id.into())
}
