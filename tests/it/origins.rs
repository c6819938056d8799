//! Which pages may connect: every shape of `Origin` against every shape of allow-list, through real upgrades; and
//! that a cookie is nobody's credential.

use crate::support::hub::{TestHub, test_app};
use crate::support::socket::Socket;
use bellwire::config::App;
use bellwire::domain::Secret;

/// The lists, by the key of the app that has it.
const LISTS: [(&str, &[&str]); 7] = [
    ("any", &[]),
    ("star", &["*"]),
    ("shop", &["https://shop.example"]),
    ("sub", &["https://*.shop.example"]),
    ("both", &["https://shop.example", "https://*.shop.example"]),
    ("port", &["http://localhost:3000", "https://[::1]:8443"]),
    ("app", &["capacitor://localhost", "null"]),
];

/// List, `Origin` (several headers stand in several lines, none is none), and whether it may connect.
const MATRIX: [(&str, &str, bool); 62] = [
    ("any", "https://anything.example", true),
    ("any", "null", true),
    ("any", "", true),
    ("star", "https://anything.example", true),
    ("star", "null", true),
    ("star", "http://a\nhttp://b", true),
    ("shop", "https://shop.example", true),
    ("shop", "HTTPS://Shop.Example", true),
    ("shop", "http://shop.example", false),
    ("shop", "https://shop.example/", false),
    ("shop", "https://shop.example:443", false),
    ("shop", "https://shop.example:8443", false),
    ("shop", "https://shop.example.evil.example", false),
    ("shop", "https://evilshop.example", false),
    ("shop", "https://evil.example/https://shop.example", false),
    ("shop", "https://evil.example?https://shop.example", false),
    ("shop", "https://evil.example#https://shop.example", false),
    ("shop", "https://shop.example@evil.example", false),
    ("shop", "https://user@shop.example", false),
    ("shop", "https://shop.example\\@evil.example", false),
    ("shop", "https://www.shop.example", false),
    ("shop", "https://shop.exampl", false),
    ("shop", "https://shop.example.", false),
    ("shop", "https://shop%2eexample", false),
    ("shop", "https:shop.example", false),
    ("shop", "//shop.example", false),
    ("shop", "shop.example", false),
    ("shop", "wss://shop.example", false),
    ("shop", "file://", false),
    ("shop", "null", false),
    ("shop", "", false),
    ("shop", "*", false),
    ("shop", "https://sh\u{43e}p.example", false),
    ("shop", "https://shop.example, https://evil.example", false),
    ("shop", "https://shop.example https://evil.example", false),
    ("shop", "https://shop.example\nhttps://evil.example", false),
    ("shop", "https://evil.example\nhttps://shop.example", false),
    ("shop", "https://shop.example\nhttps://shop.example", false),
    ("sub", "https://admin.shop.example", true),
    ("sub", "https://a.b-1.shop.example", true),
    ("sub", "https://ADMIN.SHOP.example", true),
    ("sub", "https://shop.example", false),
    ("sub", "https://.shop.example", false),
    ("sub", "https://evilshop.example", false),
    ("sub", "http://admin.shop.example", false),
    ("sub", "https://admin.shop.example:8443", false),
    ("sub", "https://evil.example/.shop.example", false),
    ("sub", "https://evil.example?x.shop.example", false),
    ("sub", "https://evil.example#.shop.example", false),
    ("sub", "https://evil.example\\.shop.example", false),
    ("sub", "https://evil.example:80.shop.example", false),
    ("sub", "https://user@admin.shop.example", false),
    ("sub", "https://admin.shop.example.evil.example", false),
    ("sub", "https://*.shop.example", false),
    ("both", "https://shop.example", true),
    ("both", "https://admin.shop.example", true),
    ("both", "https://admin-shop.example", false),
    ("port", "http://localhost:3000", true),
    ("port", "http://localhost", false),
    ("port", "https://[::1]:8443", true),
    ("app", "capacitor://localhost", true),
    ("app", "null", true),
];

/// Whether a connect with these headers is established; anything but that and a close with 4009 is neither.
async fn connects(hub: &TestHub, key: &str, headers: &[(&'static str, &str)]) -> bool {
    let path = format!("/app/{key}?protocol=7");
    let mut socket = Socket::try_raw(hub.address, &path, headers).await.unwrap();
    match socket.first().await {
        Ok(event) => {
            assert_eq!(event["event"], "pusher:connection_established");
            true
        }
        Err(code) => {
            assert_eq!(code, 4009, "{headers:?}");
            false
        }
    }
}

async fn hub_with_lists() -> TestHub {
    TestHub::start_with(|c| {
        c.apps.extend(LISTS.map(|(key, list)| App {
            allowed_origins: list.iter().map(|&origin| origin.to_owned()).collect(),
            ..App::new(key, key, Secret::new("s"))
        }));
    })
    .await
}

#[actix_rt::test]
async fn every_origin_gets_the_verdict_of_its_list() {
    let hub = hub_with_lists().await;
    let mut wrong = 0;
    for (key, origins, expected) in MATRIX {
        let headers: Vec<_> = origins.split('\n').map(|origin| ("origin", origin)).collect();
        if connects(&hub, key, &headers).await != expected {
            println!("{key}: {origins:?} should be {expected}");
            wrong += 1;
        }
    }
    // Who sends none is no browser.
    for (key, _) in LISTS {
        wrong += usize::from(!connects(&hub, key, &[]).await);
    }
    println!("origins: {} judged, {wrong} wrong", MATRIX.len() + LISTS.len());
    assert_eq!(wrong, 0);
    hub.stop().await;
}

#[actix_rt::test]
async fn a_cookie_opens_nothing() {
    let hub = TestHub::start_with(|c| c.apps = vec![test_app()]).await;
    let ana = hub.somebody("Ana").await;
    let channel = format!("private-tenant.{}", ana.tenant);
    let cookies = format!("token={0}; laravel_session={0}; Authorization=Bearer {0}", ana.token);
    let path = format!("/app/{}?protocol=7", test_app().key);
    let headers = [("origin", "https://evil.example"), ("cookie", &*cookies)];
    let mut socket = Socket::try_raw(hub.address, &path, &headers).await.unwrap();
    socket.expect("pusher:connection_established").await;
    socket.subscribe(&channel).await;
    assert_eq!(socket.expect("pusher:subscription_error").await["status"], 401);
    let client = awc::Client::default();
    for (method, path) in [("POST", "/broadcasting/auth"), ("GET", "/api/v1/products")] {
        let method = awc::http::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client.request(method, hub.url(path)).insert_header(("cookie", &*cookies));
        let form = [("socket_id", "1.1"), ("channel_name", &*channel)];
        assert_eq!(request.send_form(&form).await.unwrap().status().as_u16(), 401, "{path}");
    }
    hub.stop().await;
}
