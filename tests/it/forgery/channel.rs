//! Channel signatures, by a client that has those of others.

use super::{guessed, spoiled, two_apps};
use crate::support::Backend;
use crate::support::hub::{APP_KEY, TestHub};
use crate::support::socket::Socket;
use serde_json::json;

const CHANNEL: &str = "private-vault";
const ROOM: &str = "presence-vault";
const MEMBER: &str = r#"{"user_id":"7","user_info":{"name":"Ana"}}"#;

/// A subscription that must be refused.
struct Attempt {
    channel: String,
    auth: String,
    data: Option<String>,
}

fn attempt(channel: &str, auth: &str, data: Option<&str>) -> Attempt {
    Attempt { channel: channel.to_owned(), auth: auth.to_owned(), data: data.map(str::to_owned) }
}

fn auth(signer: &Backend, text: &str) -> String {
    format!("{}:{}", signer.key, signer.hmac(text))
}

/// A signature that is good, spoiled in itself or in the key before it.
fn spoiled_auths(good: &str) -> Vec<String> {
    let (key, signature) = good.split_once(':').unwrap();
    let mut all: Vec<String> = spoiled(signature).iter().map(|s| format!("{key}:{s}")).collect();
    all.extend(guessed(1_500).iter().map(|s| format!("{key}:{s}")));
    for key in ["", "other-key", "APP-KEY", "app-key ", " app-key", "app-key:", "app-ke", "app-keyy", "*"] {
        all.push(format!("{key}:{signature}"));
    }
    all.extend([signature.to_owned(), format!("{key}{signature}"), format!("{key}::{signature}")]);
    all.extend([format!("{signature}:{key}"), format!("{key}:{signature}:"), key.to_owned(), ":".to_owned()]);
    all
}

/// Good signatures, of this app and the other, for anything but what they are used for; `mine` is the forger's
/// socket and `theirs` another.
fn misused(app: &Backend, other: &Backend, mine: &str, theirs: &str) -> Vec<Attempt> {
    let mut all = Vec::new();
    let (high, low) = mine.split_once('.').unwrap();
    let sockets =
        [theirs, &format!("0{mine}"), &format!("{mine}0"), &format!("{low}.{high}"), high, "", "0.0"];
    for socket in sockets {
        all.push(attempt(CHANNEL, &auth(app, &format!("{socket}:{CHANNEL}")), None));
        let signed = auth(app, &format!("{socket}:{ROOM}:{MEMBER}"));
        all.push(attempt(ROOM, &signed, Some(MEMBER)));
    }
    for signed in
        ["private-vaul", "private-vault2", "private-Vault", "presence-vault", "vault", "private-", ""]
    {
        let auth = auth(app, &format!("{mine}:{signed}"));
        all.push(attempt(CHANNEL, &auth, None));
        all.push(attempt("private-encrypted-vault", &auth, None));
        all.push(attempt("private-cache-vault", &auth, None));
    }
    // By another app: with its key, with ours, and for its channel of the same name.
    for key in [&*other.key, APP_KEY] {
        let signature = other.hmac(&format!("{mine}:{CHANNEL}"));
        all.push(attempt(CHANNEL, &format!("{key}:{signature}"), None));
        let signature = other.hmac(&format!("{mine}:{ROOM}:{MEMBER}"));
        all.push(attempt(ROOM, &format!("{key}:{signature}"), Some(MEMBER)));
    }
    // Signed for something else than a subscription.
    for text in [
        format!("{mine}::user::{MEMBER}"),
        format!("POST\n/apps/app-id/events\nauth_key={APP_KEY}&auth_version=1.0"),
        MEMBER.to_owned(),
        String::new(),
    ] {
        all.push(attempt(CHANNEL, &auth(app, &text), None));
        all.push(attempt(ROOM, &auth(app, &text), Some(MEMBER)));
        all.push(attempt(":user:", &auth(app, &text), Some(MEMBER)));
    }
    all
}

/// The text that is signed has colons between its parts: parts moved over them, and data that is not what was
/// signed.
fn moved_over_colons(app: &Backend, mine: &str) -> Vec<Attempt> {
    let mut all = Vec::new();
    let signed = auth(app, &format!("{mine}:{ROOM}:{MEMBER}"));
    let plain = auth(app, &format!("{mine}:{CHANNEL}"));
    for (at, _) in MEMBER.char_indices() {
        let (head, tail) = MEMBER.split_at(at);
        all.push(attempt(&format!("{ROOM}:{head}"), &signed, Some(tail)));
        all.push(attempt(ROOM, &signed, Some(tail)).and_not(MEMBER));
        all.push(attempt(ROOM, &signed, Some(&format!("{head} {tail}"))));
        all.push(attempt(CHANNEL, &plain, Some(head)));
        // Signed without the colon that stands before the data.
        all.push(attempt(ROOM, &auth(app, &format!("{mine}:{ROOM}{head}")), Some(tail)));
        all.push(attempt(ROOM, &auth(app, &format!("{mine}:{ROOM}:{head}")), Some(tail)));
    }
    for data in [r#"{"user_id":"8"}"#, r#"{"user_id":7}"#, "{}", "", "null"] {
        all.push(attempt(ROOM, &signed, Some(data)));
        all.push(attempt(CHANNEL, &plain, Some(data)));
    }
    all.push(attempt(ROOM, &signed, None));
    all.push(attempt(&format!("{ROOM}:{MEMBER}"), &signed, None));
    all.push(attempt(&format!("{CHANNEL}:"), &plain, None));
    all
}

impl Attempt {
    /// The same, unless its data is what was signed: then it is spoiled.
    fn and_not(mut self, signed: &str) -> Self {
        if self.data.as_deref() == Some(signed) {
            self.data = Some(format!("{signed} "));
        }
        self
    }
}

/// How many of them the server lets in.
async fn accepted(socket: &mut Socket, attempts: &[Attempt]) -> usize {
    let mut accepted = 0;
    for some in attempts.chunks(50) {
        for Attempt { channel, auth, data } in some {
            let mut asked = json!({"channel": channel, "auth": auth});
            if let Some(data) = data {
                asked["channel_data"] = data.clone().into();
            }
            socket.event("pusher:subscribe", asked).await;
        }
        for Attempt { channel, auth, data } in some {
            let answer = socket.next().await;
            let event = answer["event"].as_str().unwrap();
            if !matches!(event, "pusher:subscription_error" | "pusher:error") {
                println!("accepted: {channel:?} {auth:?} {data:?}: {answer}");
                accepted += 1;
            }
        }
    }
    accepted
}

#[actix_rt::test]
async fn no_forged_channel_signature_is_accepted() {
    let (hub, app, other) = two_apps().await;
    let (mut forger, victim) = (hub.connect().await, hub.connect().await);
    let (mine, theirs) = (forger.id.clone(), victim.id.clone());
    let private = auth(&app, &format!("{mine}:{CHANNEL}"));
    let presence = auth(&app, &format!("{mine}:{ROOM}:{MEMBER}"));
    let stolen = auth(&app, &format!("{theirs}:{CHANNEL}"));
    let mut attempts = misused(&app, &other, &mine, &theirs);
    attempts.extend(moved_over_colons(&app, &mine));
    attempts.extend(spoiled_auths(&private).iter().map(|auth| attempt(CHANNEL, auth, None)));
    attempts.extend(spoiled_auths(&presence).iter().map(|auth| attempt(ROOM, auth, Some(MEMBER))));
    attempts.extend(spoiled_auths(&stolen).iter().map(|auth| attempt(CHANNEL, auth, None)));
    let accepted = accepted(&mut forger, &attempts).await;
    println!("forged channel signatures: {} tried, {accepted} accepted", attempts.len());
    assert_eq!(accepted, 0);
    assert!(attempts.len() > 6_000);
    the_good_ones_are_accepted(&hub, &mut forger, &private, &presence).await;
}

/// Else nothing was shown.
async fn the_good_ones_are_accepted(hub: &TestHub, socket: &mut Socket, private: &str, presence: &str) {
    socket.event("pusher:subscribe", json!({"channel": CHANNEL, "auth": private})).await;
    socket.succeeded(CHANNEL).await;
    let asked = json!({"channel": ROOM, "auth": presence, "channel_data": MEMBER});
    socket.event("pusher:subscribe", asked).await;
    socket.succeeded(ROOM).await;
    hub.wait_for_metric("bellwire_subscriptions 2").await;
}
