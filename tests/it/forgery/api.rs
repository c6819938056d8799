//! Signatures of the Pusher HTTP API, by somebody who has heard good requests.

use super::{guessed, spoiled, two_apps};
use crate::support::Backend;
use crate::support::hub::{APP_ID, APP_KEY, TestHub};
use bellwire::domain::{Clock, Timestamp};
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::time::Duration;

const EVENTS: &str = "/apps/app-id/events";
const CHANNELS: &str = "/apps/app-id/channels";

/// A request that must be refused.
struct Attempt {
    method: &'static str,
    address: String,
    body: String,
}

fn post(query: &str, body: &str) -> Attempt {
    Attempt { method: "POST", address: format!("{EVENTS}?{query}"), body: body.to_owned() }
}

fn get(address: String) -> Attempt {
    Attempt { method: "GET", address, body: String::new() }
}

fn body(data: &str) -> String {
    json!({"name": "n", "channels": ["news"], "data": data}).to_string()
}

/// The parts of a good query, each left out, changed, doubled with another value before and behind.
fn changed_parts(query: &str, body: &str) -> Vec<Attempt> {
    let parts: Vec<&str> = query.split('&').collect();
    let mut all = Vec::new();
    for (nth, part) in parts.iter().enumerate() {
        let (key, value) = part.split_once('=').unwrap();
        let rest: Vec<&str> = parts.iter().enumerate().filter(|(n, _)| *n != nth).map(|(_, p)| *p).collect();
        let rest = rest.join("&");
        all.push(post(&rest, body));
        for changed in ["", "0", "x", "1.0%00", "%00", "2", "-1", "99999999999999999999", "1e9", "NaN"] {
            all.push(post(&format!("{rest}&{key}={changed}"), body));
            all.push(post(&format!("{key}={changed}&{query}"), body));
            // Behind the good signature, another is signed by nobody.
            if key != "auth_signature" {
                all.push(post(&format!("{query}&{key}={changed}"), body));
            }
        }
        for name in [
            format!("x{key}"),
            format!("{key}x"),
            format!("{key}%00"),
            format!("{key}[]"),
            format!("%20{key}"),
        ] {
            all.push(post(&format!("{rest}&{name}={value}"), body));
        }
    }
    for more in
        ["info=user_count", "channels[]=vault", "name=x", "socket_id=1.1", "=", "x", "data=", "auth_x=1"]
    {
        all.push(post(&format!("{query}&{more}"), body));
        all.push(post(&format!("{more}&{query}"), body));
    }
    all
}

/// A good signature on another request: method, path, app, body, time.
fn misdirected(app: &Backend, other: &Backend, now: Timestamp) -> Vec<Attempt> {
    let (mut all, good) = (Vec::new(), app.sign("POST", EVENTS, &[], &body("1"), now));
    for path in [
        "/apps/app-id/batch_events",
        "/apps/other-id/events",
        "/apps/other-id/batch_events",
        "/apps/app-id/event",
        "/apps/app-id/events/",
        "/apps/app-id//events",
        "/apps/APP-ID/events",
        "/apps//events",
        "/events",
        "/apps/app-id%2Fevents",
        "/apps/app-id/%2e/events",
        "/apps/app-id/x/../events",
        "/apps/app-id/events%0A",
        "/apps/app-id/users/7/terminate_connections",
        "/users/7/terminate_connections",
    ] {
        all.push(Attempt { method: "POST", address: format!("{path}?{good}"), body: body("1") });
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        all.push(Attempt { method, address: format!("{CHANNELS}?{good}"), body: String::new() });
        all.push(Attempt { method, address: format!("{EVENTS}?{good}"), body: body("1") });
    }
    for data in ["2", "", " ", "11"] {
        all.push(post(&good, &body(data)));
        all.push(post(&good, data));
    }
    // Signed with the secret of one app and sent in the name of the other.
    for (id, key, secret) in [
        (APP_ID, APP_KEY, &other.secret),
        (APP_ID, &other.key, &other.secret),
        (&other.id, APP_KEY, &app.secret),
        (&other.id, &other.key, &app.secret),
        (APP_ID, &other.key, &app.secret),
        (&other.id, APP_KEY, &other.secret),
    ] {
        let signer = app.with(id, key, secret);
        let path = format!("/apps/{id}/events");
        let query = signer.sign("POST", &path, &[], &body("1"), now);
        all.push(Attempt { method: "POST", address: format!("{path}?{query}"), body: body("1") });
    }
    // Good requests of another time.
    for seconds in (601..1_201).step_by(2).chain([3_600, 86_400, 1_000_000_000]) {
        let by = Duration::from_secs(seconds);
        // The server's clock runs on meanwhile, so what is signed for the future has a minute more.
        for at in [now.minus(by), now.plus(by + Duration::from_mins(1))] {
            all.push(post(&app.sign("POST", EVENTS, &[], &body("1"), at), &body("1")));
        }
    }
    all
}

/// The signed text has line breaks and ampersands between its parts: parts moved over them.
fn moved_over_joints(app: &Backend, now: Timestamp) -> Vec<Attempt> {
    let mut all = Vec::new();
    let query = app.sign("GET", CHANNELS, &[("filter_by_prefix", "private-a")], "", now);
    let (signed, signature) = query.split_once("&auth_signature=").unwrap();
    for (at, _) in signed.match_indices('&') {
        let (head, tail) = signed.split_at(at);
        let (head, tail) = (head.replace('=', "%3D").replace('&', "%26"), &tail[1..]);
        for joint in ["%0A", "%26", "%0D%0A", "%3F"] {
            all.push(get(format!("{CHANNELS}{joint}{head}?{tail}&auth_signature={signature}")));
            all.push(get(format!(
                "/apps/app-id{joint}channels?{head}{joint}{tail}&auth_signature={signature}"
            )));
        }
    }
    all
}

/// How many of them the server lets in.
async fn accepted(backend: &Backend, attempts: &[Attempt]) -> usize {
    let judged = stream::iter(attempts).map(async |Attempt { method, address, body }| {
        let (status, answer) = backend.send(method, address, body).await;
        let refused = matches!(status, 401 | 404 | 405);
        if !refused {
            println!("accepted: {method} {address} {body}: {status} {answer}");
        }
        usize::from(!refused)
    });
    judged.buffer_unordered(8).fold(0, async |sum, one| sum + one).await
}

#[actix_rt::test]
async fn no_forged_request_is_accepted() {
    let (hub, app, other) = two_apps().await;
    let (now, body) = (Clock::System.now(), body("1"));
    let mut listener = hub.connect().await;
    listener.join("news").await;
    let good = app.sign("POST", EVENTS, &[], &body, now);
    let listing = app.sign("GET", CHANNELS, &[("info", "subscription_count")], "", now);
    let mut attempts = misdirected(&app, &other, now);
    attempts.extend(moved_over_joints(&app, now));
    attempts.extend(changed_parts(&good, &body));
    for (query, posted) in [(&good, true), (&listing, false)] {
        let (signed, signature) = query.split_once("&auth_signature=").unwrap();
        for forged in spoiled(signature).into_iter().chain(guessed(1_500)) {
            let forged: String = url::form_urlencoded::byte_serialize(forged.as_bytes()).collect();
            let query = format!("{signed}&auth_signature={forged}");
            attempts.push(if posted { post(&query, &body) } else { get(format!("{CHANNELS}?{query}")) });
        }
    }
    let accepted = accepted(&app, &attempts).await;
    println!("forged API requests: {} tried, {accepted} accepted", attempts.len());
    assert_eq!(accepted, 0);
    assert!(attempts.len() > 5_000);
    listener.expect_nothing().await;
    the_good_ones_are_accepted(&hub, &app, &good, &listing, &body).await;
}

/// Else nothing was shown.
async fn the_good_ones_are_accepted(hub: &TestHub, app: &Backend, good: &str, listing: &str, body: &str) {
    assert_eq!(app.send("POST", &format!("{EVENTS}?{good}"), body).await.0, 200);
    assert_eq!(app.send("GET", &format!("{CHANNELS}?{listing}"), "").await.0, 200);
    hub.wait_for_metric("bellwire_subscriptions 1").await;
}
