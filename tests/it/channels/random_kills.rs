//! Sockets that come, leave, close and die at random: in the end the roster is the truth.

use crate::support::hub::TestHub;
use crate::support::socket::{Socket, data_of};
use crate::support::until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

const ROOM: &str = "presence-room";
const STEPS: usize = 400;
const USERS: u8 = 12;

/// A connection of a user, who is a member through it or not.
struct Client {
    user: u8,
    socket: Socket,
    joined: bool,
}

impl Client {
    async fn connect(hub: &TestHub, user: u8) -> Self {
        let mut client = Self { user, socket: hub.connect().await, joined: false };
        client.join().await;
        client
    }

    async fn join(&mut self) {
        let member = json!({"user_id": self.user.to_string()}).to_string();
        self.socket.subscribe_signed(ROOM, Some(&member)).await;
        self.joined = true;
    }

    async fn leave(&mut self) {
        self.socket.event("pusher:unsubscribe", json!({"channel": ROOM})).await;
        self.joined = false;
    }

    async fn close(mut self) {
        let frame = CloseFrame { code: 1000.into(), reason: "".into() };
        self.socket.say(Message::Close(Some(frame))).await;
    }

    /// The connection is reset: no goodbye of any kind.
    fn reset(mut self) {
        self.socket.tcp().set_zero_linger().unwrap();
    }
}

/// Who is present, as a newcomer is told who takes part in nothing.
async fn roster(hub: &TestHub) -> BTreeSet<String> {
    let mut probe = hub.connect().await;
    probe.subscribe_signed(ROOM, Some(r#"{"user_id":"probe"}"#)).await;
    let data = probe.succeeded(ROOM).await;
    probe.event("pusher:unsubscribe", json!({"channel": ROOM})).await;
    let ids: BTreeSet<String> = serde_json::from_value(data["presence"]["ids"].clone()).unwrap();
    assert_eq!(data["presence"]["count"], ids.len());
    ids.into_iter().filter(|id| id.parse::<u8>().is_ok()).collect()
}

/// What the watcher was told, in order: true for a coming.
async fn told(watcher: &mut Socket) -> Vec<(bool, String)> {
    watcher.event("pusher:ping", json!({})).await;
    let mut told = Vec::new();
    loop {
        let message = watcher.next().await;
        let user = |message: &Value| data_of(message)["user_id"].as_str().unwrap().to_owned();
        match message["event"].as_str().unwrap() {
            "pusher_internal:member_added" => told.push((true, user(&message))),
            "pusher_internal:member_removed" => told.push((false, user(&message))),
            "pusher:pong" => return told,
            other => panic!("{other}"),
        }
    }
}

#[actix_rt::test]
async fn after_any_joins_leaves_and_kills_the_roster_is_the_truth() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let hub = TestHub::start_with(|c| {
        c.channels.presence_grace_ms = 150;
        c.limits.messages_per_second = 0;
    })
    .await;
    let mut watcher = hub.connect().await;
    watcher.subscribe_signed(ROOM, Some(r#"{"user_id":"watcher"}"#)).await;
    watcher.succeeded(ROOM).await;

    let mut clients: Vec<Client> = Vec::new();
    let (mut members, mut heard) = (BTreeSet::new(), 0);
    for step in 0..STEPS {
        if clients.len() < 3 || (clients.len() < 20 && random.random_bool(0.4)) {
            clients.push(Client::connect(&hub, random.random_range(0..USERS)).await);
            continue;
        }
        let client = random.random_range(0..clients.len());
        match random.random_range(0..6) {
            0 => clients.swap_remove(client).close().await,
            1 => clients.swap_remove(client).reset(),
            2 => drop(clients.swap_remove(client)),
            3 if clients[client].joined => clients[client].leave().await,
            3 => clients[client].join().await,
            // A network dies: everything of a user at once.
            4 => {
                let user = clients[client].user;
                let dead = clients.extract_if(.., |client| client.user == user);
                dead.for_each(Client::reset);
            }
            _ => tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await,
        }
        if step % 50 == 49 {
            heard += hear(&mut watcher, &mut members).await;
        }
    }
    let joined = clients.iter().filter(|client| client.joined);
    let truth: BTreeSet<String> = joined.map(|client| client.user.to_string()).collect();
    until(&format!("the roster is {truth:?} (seed {seed})"), async || roster(&hub).await == truth).await;
    heard += hear(&mut watcher, &mut members).await;
    assert_eq!(members, truth, "what the watcher was told, seed {seed}");
    println!("{STEPS} steps, {heard} times told, {} members at the end", truth.len());
    assert!(heard > 0);
    hub.stop().await;
}

/// Follows what the watcher was told: each user's coming and going alternate. Returns how much it was.
async fn hear(watcher: &mut Socket, members: &mut BTreeSet<String>) -> usize {
    let told = told(watcher).await;
    for (came, user) in told.iter().filter(|(_, user)| user != "probe") {
        let changed = if *came { members.insert(user.clone()) } else { members.remove(user) };
        assert!(changed, "{user} came or went twice");
    }
    told.len()
}
