//! Who may call: signatures, their window, disabled apps; and what is not there.

use super::{event, message};
use crate::support::Backend;
use crate::support::hub::{APP_ID, APP_KEY, APP_SECRET, TestHub, test_app};
use bellwire::config::App;
use bellwire::domain::{Clock, Secret};
use std::time::Duration;

const PATH: &str = "/apps/app-id/events";

#[actix_rt::test]
async fn a_request_is_good_as_it_was_signed_and_in_no_other_form() {
    let hub = TestHub::start().await;
    let mut socket = hub.connect().await;
    socket.join("news").await;
    let (backend, now) = (Backend::of(&hub), Clock::System.now());
    let body = event(&["news"], "1").to_string();
    let good = backend.sign("POST", PATH, &[], &body, now);
    let without_md5 = backend.sign("POST", PATH, &[], "", now);
    let wrong_version = good.replace("auth_version=1.0", "auth_version=2.0");
    let table = [
        (PATH.to_owned(), body.clone(), "auth_key"),
        (format!("{PATH}?{good}0"), body.clone(), "auth_signature does not fit"),
        (format!("{PATH}?{}", good.to_uppercase()), body.clone(), "auth_key"),
        (format!("{PATH}?{good}&info=user_count"), body.clone(), "auth_signature does not fit"),
        (format!("{PATH}?{good}"), body.replace("\"1\"", "\"2\""), "body_md5 does not fit"),
        (format!("{PATH}?{good}"), String::new(), "body_md5 does not fit"),
        (format!("{PATH}?{without_md5}"), body.clone(), "needs body_md5"),
        (format!("{PATH}?{wrong_version}"), body.clone(), "auth_version"),
        (format!("/apps/other/events?{good}"), body.clone(), "no app"),
        (format!("/apps/{APP_ID}/batch_events?{good}"), body.clone(), "auth_signature does not fit"),
    ];
    for (address, body, why) in table {
        let (status, answer) = backend.send("POST", &address, &body).await;
        assert_eq!(status, 401, "{address}");
        assert!(message(&answer).contains(why), "{answer}");
    }
    socket.expect_nothing().await;
    // Two equal events of one second carry equal signatures, and both are good.
    for _ in 0..2 {
        assert_eq!(backend.send("POST", &format!("{PATH}?{good}"), &body).await, (200, "{}".to_owned()));
        socket.expect("n").await;
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_timestamp_is_good_for_ten_minutes() {
    let hub = TestHub::start().await;
    let (backend, body) = (Backend::of(&hub), event(&["news"], "1").to_string());
    // The server's clock goes on meanwhile; the exact edges are tested beside the code.
    for (seconds, past, status) in
        [(0, true, 200), (590, true, 200), (590, false, 200), (601, true, 401), (620, false, 401)]
    {
        let (now, by) = (Clock::System.now(), Duration::from_secs(seconds));
        let at = if past { now.minus(by) } else { now.plus(by) };
        let query = backend.sign("POST", PATH, &[], &body, at);
        let answered = backend.send("POST", &format!("{PATH}?{query}"), &body).await;
        assert_eq!(answered.0, status, "{seconds} {past}: {answered:?}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn keys_in_any_case_and_order_and_escaped_values_are_signed_as_documented() {
    let hub = TestHub::start().await;
    let backend = Backend::of(&hub);
    let more = [("Info", "subscription_count"), ("zeta", "a b&c=d/ä%"), ("Alpha", "")];
    let body = event(&["news"], "1").to_string();
    let (status, answer) = backend.call("POST", "/events", &more, &body).await;
    assert_eq!((status, &*answer), (200, r#"{"channels":{"news":{"subscription_count":0}}}"#));
    hub.stop().await;
}

#[actix_rt::test]
async fn an_app_is_called_with_its_own_key_and_secret_only() {
    let other = App::new("other", "other-key", Secret::new("other-secret"));
    let off = App { enabled: false, ..App::new("off", "off-key", Secret::new("off-secret")) };
    let hub = TestHub::start_with(|c| c.apps.extend([other, off])).await;
    let table = [
        ("other", "other-key", "other-secret", 200),
        (APP_ID, "other-key", "other-secret", 401),
        ("other", APP_KEY, APP_SECRET, 401),
        ("other", "other-key", APP_SECRET, 401),
        ("other", APP_KEY, "other-secret", 401),
        ("nobody", APP_KEY, APP_SECRET, 401),
        ("off", "off-key", "off-secret", 403),
        ("off", "off-key", "other-secret", 401),
    ];
    for (id, key, secret, status) in table {
        let backend = Backend::named(&hub, id, key, secret);
        let answered = backend.post("/events", &event(&["news"], "1").to_string()).await;
        assert_eq!(answered.0, status, "{id} {key} {secret}: {}", answered.1);
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_wrong_method_is_405_and_an_unknown_path_404() {
    let hub = TestHub::start().await;
    let backend = Backend::of(&hub);
    let table = [
        ("GET", "/events", 405),
        ("PUT", "/batch_events", 405),
        ("GET", "", 404),
        ("GET", "/event", 404),
        ("POST", "/events/1", 404),
    ];
    for (method, path, status) in table {
        let (answered, body) = backend.call(method, path, &[], "").await;
        assert_eq!(answered, status, "{method} {path}");
        assert!(!message(&body).is_empty());
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn who_has_no_secret_is_refused_before_the_body_is_sent() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hub = TestHub::start_with(|c| c.apps = vec![test_app()]).await;
    let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
    let head = format!("POST {PATH}?auth_key={APP_KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let reading = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    hub.stop().await;
}
