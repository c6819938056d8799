//! `GET /apps/{id}/channels`, `…/channels/{name}`, `…/channels/{name}/users`, and `info` of triggers.

use super::message;
use crate::support::Backend;
use crate::support::hub::TestHub;
use crate::support::socket::Socket;
use serde_json::{Value, json};

/// A path, its parameters, and what is answered.
type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Three sockets: user 1 twice and user 2 in `presence-room`, and the first in `news` and `private-x`.
async fn occupied(hub: &TestHub) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for user in ["\"1\"", "\"1\"", "2"] {
        let mut socket = hub.connect().await;
        let member = format!(r#"{{"user_id":{user}}}"#);
        socket.subscribe_signed("presence-room", Some(&member)).await;
        socket.succeeded("presence-room").await;
        sockets.push(socket);
    }
    sockets[0].expect("pusher_internal:member_added").await;
    sockets[0].join("news").await;
    sockets[0].subscribe_signed("private-x", None).await;
    sockets[0].succeeded("private-x").await;
    sockets
}

#[actix_rt::test]
async fn what_is_asked_is_answered_in_exactly_these_bodies() {
    let hub = TestHub::start().await;
    let _sockets = occupied(&hub).await;
    let backend = Backend::of(&hub);
    let both = ("info", "user_count,subscription_count");
    let presence = ("filter_by_prefix", "presence-");
    let table: [Asked<'_>; 15] = [
        ("/channels", &[], r#"{"channels":{"news":{},"presence-room":{},"private-x":{}}}"#),
        ("/channels", &[("filter_by_prefix", "pr")], r#"{"channels":{"presence-room":{},"private-x":{}}}"#),
        ("/channels", &[("filter_by_prefix", "none")], r#"{"channels":{}}"#),
        (
            "/channels",
            &[presence, ("info", "user_count")],
            r#"{"channels":{"presence-room":{"user_count":2}}}"#,
        ),
        (
            "/channels",
            &[presence, both],
            r#"{"channels":{"presence-room":{"user_count":2,"subscription_count":3}}}"#,
        ),
        (
            "/channels",
            &[("info", "subscription_count")],
            r#"{"channels":{"news":{"subscription_count":1},"presence-room":{"subscription_count":3},"private-x":{"subscription_count":1}}}"#,
        ),
        ("/channels/news", &[], r#"{"occupied":true}"#),
        ("/channels/news", &[("info", "")], r#"{"occupied":true}"#),
        ("/channels/nobody", &[], r#"{"occupied":false}"#),
        ("/channels/news", &[("info", "subscription_count")], r#"{"occupied":true,"subscription_count":1}"#),
        ("/channels/presence-room", &[both], r#"{"occupied":true,"user_count":2,"subscription_count":3}"#),
        ("/channels/presence-nobody", &[both], r#"{"occupied":false,"user_count":0,"subscription_count":0}"#),
        ("/channels/%23server-to-user-1", &[], r#"{"occupied":false}"#),
        ("/channels/presence-room/users", &[], r#"{"users":[{"id":"1"},{"id":"2"}]}"#),
        ("/channels/presence-nobody/users", &[], r#"{"users":[]}"#),
    ];
    for (path, parameters, expected) in table {
        let answered = backend.get(path, parameters).await;
        assert_eq!((answered.0, &*answered.1), (200, expected), "{path} {parameters:?}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_asked_is_told_why() {
    let hub = TestHub::start().await;
    let backend = Backend::of(&hub);
    let table: [Asked<'_>; 12] = [
        ("/channels", &[("info", "user_count")], "filter_by_prefix=presence-"),
        (
            "/channels",
            &[("info", "user_count"), ("filter_by_prefix", "private-")],
            "filter_by_prefix=presence-",
        ),
        (
            "/channels",
            &[("info", "user_count"), ("filter_by_prefix", "presence")],
            "filter_by_prefix=presence-",
        ),
        ("/channels", &[("info", "users")], "no attribute users"),
        ("/channels", &[("info", "cache")], "one channel at a time"),
        ("/channels/news", &[("info", "user_count")], "presence channels only"),
        ("/channels/private-x", &[("info", "subscription_count,user_count")], "presence channels only"),
        ("/channels/news", &[("info", "cache")], "cache channels only"),
        ("/channels/a%20b", &[], "channel name"),
        ("/channels/news/users", &[], "Only presence channels"),
        ("/channels/private-x/users", &[], "Only presence channels"),
        ("/channels/presence-a%3Ab/users", &[], "channel name"),
    ];
    for (path, parameters, why) in table {
        let (status, text) = backend.get(path, parameters).await;
        assert_eq!(status, 400, "{path} {parameters:?}: {text}");
        assert!(message(&text).contains(why), "{text}");
    }
    for path in ["/channels", "/channels/news", "/channels/presence-room/users"] {
        let unsigned = format!("/apps/{}{path}", backend.id);
        assert_eq!(backend.send("GET", &unsigned, "").await.0, 401, "{path}");
        assert_eq!(backend.call("POST", path, &[], "{}").await.0, 405, "{path}");
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_trigger_that_asks_is_told_how_occupied_its_channels_are() {
    let hub = TestHub::start().await;
    let mut sockets = occupied(&hub).await;
    let backend = Backend::of(&hub);
    let mut trigger = json!({"name": "n", "channels": ["presence-room", "news", "nobody"], "data": "1"});
    let table = [
        ("user_count", r#"{"channels":{"news":{},"nobody":{},"presence-room":{"user_count":2}}}"#),
        (
            "user_count,subscription_count",
            r#"{"channels":{"news":{"subscription_count":1},"nobody":{"subscription_count":0},"presence-room":{"user_count":2,"subscription_count":3}}}"#,
        ),
    ];
    for (info, expected) in table {
        trigger["info"] = info.into();
        let answered = backend.post("/events", &trigger.to_string()).await;
        assert_eq!((answered.0, &*answered.1), (200, expected));
        sockets[2].expect("n").await;
    }
    let event = |channel: &str| json!({"name": "n", "channel": channel, "data": "1"});
    let asking = |channel: &str, info: &str| {
        let mut event = event(channel);
        event["info"] = info.into();
        event
    };
    let batch = json!({"batch": [
        asking("presence-room", "user_count"), event("news"), asking("news", "subscription_count,user_count"),
    ]});
    let answered = backend.post("/batch_events", &batch.to_string()).await;
    let expected = r#"{"batch":[{"user_count":2},{},{"subscription_count":1}]}"#;
    assert_eq!((answered.0, &*answered.1), (200, expected));
    hub.stop().await;
}

#[actix_rt::test]
async fn a_cache_channel_tells_its_last_event_and_how_long_it_is_kept() {
    let hub = TestHub::start_with(|c| c.channels.cache_ttl_seconds = 1_000).await;
    let backend = Backend::of(&hub);
    let asked =
        async |channel: &str| backend.get(&format!("/channels/{channel}"), &[("info", "cache")]).await;
    for channel in ["cache-news", "private-cache-a", "private-encrypted-cache-a", "presence-cache-a"] {
        let empty = r#"{"occupied":false,"cache":null}"#;
        assert_eq!(asked(channel).await, (200, empty.to_owned()));
        hub.publish(channel, "n", "old").await;
        hub.publish(channel, "n", "{\"new\":1}").await;
        let told: Value = serde_json::from_str(&asked(channel).await.1).unwrap();
        assert_eq!(
            (told["occupied"].as_bool(), &told["cache"]["data"]),
            (Some(false), &json!("{\"new\":1}"))
        );
        let left = told["cache"]["ttl"].as_u64().unwrap();
        assert!((900..=1_000).contains(&left), "{left}");
    }
    assert_eq!(backend.get("/channels", &[]).await.1, r#"{"channels":{}}"#);
    hub.stop().await;
}

#[actix_rt::test]
async fn counts_follow_every_way_to_come_and_to_go() {
    let hub = TestHub::start_with(|c| c.channels.presence_grace_ms = 0).await;
    let backend = Backend::of(&hub);
    let counted = async |channel: &str| -> Value {
        let asked = [(
            "info",
            if channel.starts_with('p') { "user_count,subscription_count" } else { "subscription_count" },
        )];
        serde_json::from_str(&backend.get(&format!("/channels/{channel}"), &asked).await.1).unwrap()
    };
    let mut sockets = occupied(&hub).await;
    // Subscribed twice is subscribed once.
    sockets[0].join("news").await;
    assert_eq!(counted("news").await, json!({"occupied": true, "subscription_count": 1}));
    // One of two sockets of a user breaks off, then the user's other one leaves properly.
    sockets.remove(1);
    crate::support::until("the socket that broke off is not counted", async || {
        counted("presence-room").await == json!({"occupied": true, "user_count": 2, "subscription_count": 2})
    })
    .await;
    sockets[0].event("pusher:unsubscribe", json!({"channel": "presence-room"})).await;
    crate::support::until("the user who left is not counted", async || {
        counted("presence-room").await == json!({"occupied": true, "user_count": 1, "subscription_count": 1})
    })
    .await;
    assert_eq!(backend.get("/channels/presence-room/users", &[]).await.1, r#"{"users":[{"id":"2"}]}"#);
    sockets.clear();
    crate::support::until("no channel is occupied", async || {
        backend.get("/channels", &[]).await.1 == r#"{"channels":{}}"#
    })
    .await;
    assert_eq!(
        counted("presence-room").await,
        json!({"occupied": false, "user_count": 0, "subscription_count": 0})
    );
    hub.stop().await;
}
