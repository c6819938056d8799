//! Secrets and tokens through everything that is written down: logs of every level, answers, metrics, and what is
//! printed when a start fails. Each is unlike any other text, and none of them may be found.

use crate::support::{Caller, Program, Server, until};
use awc::Client;
use awc::http::Method;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use serde_json::json;
use std::fmt::Write;

const APP_SECRET: &str = "canary7app7secret7b25b8";
const KEY: &str = "278d425bdf160c739803";
/// A signature that nobody has seen yet, as good as a password for ten minutes.
const NOBODYS: &str =
    "auth_key=278d425bdf160c739803&auth_timestamp=1&auth_version=1.0&auth_signature=canary7signature";

fn config() -> String {
    format!(
        "[limits]\nconnections_per_ip_per_minute = 0\n[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         allowed_ports = [\"9\"]\nsweep_ms = 50\n[server]\nshutdown_timeout_seconds = 2\n[[apps]]\nid = \"1\"\nkey = \"{KEY}\"\n\
         secret = \"{APP_SECRET}\"\nmax_data_bytes = 100\nevents_per_second = 1\n"
    )
}

fn hmac(text: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Everything that was answered, heads and bodies.
struct Heard {
    client: Client,
    text: String,
}

impl Heard {
    async fn ask(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) {
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let asked = request.send_body(body.to_owned()).await;
        let mut answer = asked.unwrap_or_else(|e| panic!("{method} {url}: {e}"));
        let bytes = answer.body().limit(10_000_000).await.unwrap();
        let body = String::from_utf8_lossy(&bytes);
        writeln!(self.text, "{} {:?}\n{body}", answer.status(), answer.headers()).unwrap();
    }
}

/// A signed call of the Pusher HTTP API, and its signature.
fn signed(method: &str, path: &str, body: &str) -> (String, String) {
    let now = bellwire::domain::Clock::System.now().unix_seconds();
    let md5 = hex::encode(Md5::digest(body));
    let query = format!("auth_key={KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
    let signature = hmac(&format!("{method}\n{path}\n{query}"));
    (format!("{path}?{query}&auth_signature={signature}"), signature)
}

/// Calls that succeed and calls that fail, with everything secret in them; the signatures that were used.
async fn speak(server: &Server, heard: &mut Heard, token: &str) -> Vec<String> {
    let mut used = Vec::new();
    let event = json!({"name": "n", "channels": ["a"], "data": "1"}).to_string();
    let long = json!({"name": "n", "channels": ["a"], "data": "x".repeat(101)}).to_string();
    let posts =
        [("events", &*event), ("events", &*event), ("events", &*long), ("events", "{"), ("nothing", &*event)];
    for (path, body) in posts {
        let (path, signature) = signed("POST", &format!("/apps/1/{path}"), body);
        heard.ask("POST", &server.url(&path), &[], body).await;
        heard.ask("POST", &server.url(&path), &[], "another body").await;
        heard.ask("PUT", &server.url(&path), &[], body).await;
        used.push(signature);
    }
    heard.ask("GET", &server.url(&format!("/apps/1/channels?{NOBODYS}")), &[], "").await;
    let bearer = format!("Bearer {token}");
    let escaped = token.replace('|', "%7C");
    for authorization in [&*bearer, &bearer[..bearer.len() - 1], token] {
        let headers = [("authorization", authorization), ("accept", "application/json")];
        for (method, path) in [("GET", "/api/v1/products"), ("POST", "/api/v1/products"), ("GET", "/nowhere")]
        {
            heard.ask(method, &server.url(path), &headers, "{").await;
        }
        heard
            .ask("POST", &server.url("/broadcasting/auth"), &headers, "socket_id=1.1&channel_name=private-x")
            .await;
    }
    for query in [&*escaped, &escaped[..escaped.len() - 1]] {
        heard.ask("GET", &server.url(&format!("/app/{KEY}?protocol=7&token={query}")), &[], "").await;
        heard.ask("GET", &server.url(&format!("/nowhere?token={query}")), &[], "").await;
        heard.ask("GET", &server.url(&format!("/api/v1/products?token={query}&page=x")), &[], "").await;
    }
    used
}

/// Over WebSockets: with a token and with signatures, good and bad; the signatures that were used.
async fn listen(server: &Server, heard: &mut Heard, token: &str) -> Vec<String> {
    use crate::support::socket::Socket;
    let address = server.url("").trim_start_matches("http://").parse().unwrap();
    let mut used = Vec::new();
    let mut socket = Socket::connect(address, KEY, &format!("&token={}", token.replace('|', "%7C"))).await;
    for channel in ["private-x", "presence-x"] {
        let data = r#"{"user_id":"1"}"#;
        for text in [format!("{}:{channel}:{data}", socket.id), "another".to_owned()] {
            let signature = hmac(&text);
            let auth = format!("{KEY}:{signature}");
            let asked = json!({"channel": channel, "auth": auth, "channel_data": data});
            socket.event("pusher:subscribe", asked).await;
            heard.text.push_str(&socket.next().await.to_string());
            used.push(signature);
        }
    }
    let ana = r#"{"id":"1"}"#;
    let signature = hmac(&format!("{}::user::{ana}", socket.id));
    socket.event("pusher:signin", json!({"auth": format!("{KEY}:{signature}"), "user_data": ana})).await;
    heard.text.push_str(&socket.next().await.to_string());
    used.push(signature);
    used
}

#[actix_rt::test]
async fn no_secret_and_no_token_is_in_any_log_answer_or_metric() {
    let program = Program::new().with_config(&config()).with_env("RUST_LOG", "trace");
    let caller = Caller::made_by(&program).await;
    let secret = caller.token.split_once('|').unwrap().1.to_owned();
    // Nobody listens there: every attempt fails, and is written down.
    let webhook = caller.subscribe(&program, "http://127.0.0.1:9/hook", "*").await;
    let server = Server::start(&program);
    let mut heard = Heard { client: Client::default(), text: String::new() };
    let mut canaries = speak(&server, &mut heard, &caller.token).await;
    canaries.extend(listen(&server, &mut heard, &caller.token).await);
    let product = json!({"name": "Tea", "sku": "TEA", "price": 100, "stock": 1});
    caller.post(&server.url("/api/v1/products"), &product).await.unwrap();
    until("a webhook attempt has failed", async || {
        let metrics =
            Client::default().get(server.url("/metrics")).send().await.unwrap().body().await.unwrap();
        let text = String::from_utf8(metrics.to_vec()).unwrap();
        text.lines().any(|l| l.starts_with("bellwire_webhook_attempts_total") && !l.ends_with(" 0"))
    })
    .await;
    heard.ask("GET", &server.url("/metrics"), &[], "").await;
    let log = server.log();
    canaries.extend([APP_SECRET.to_owned(), secret.clone(), secret[..secret.len() - 1].to_owned(), webhook]);
    canaries.extend(["canary7signature".to_owned(), secret.to_lowercase()]);
    // Else nothing was shown: requests, sessions and webhooks were logged.
    for said in ["request refused", "/api/v1/products", "bellwire"] {
        assert!(log.contains(said), "the log has no {said:?}:\n{log}");
    }
    let hits: Vec<_> = canaries.iter().filter(|c| log.contains(*c) || heard.text.contains(*c)).collect();
    println!(
        "canaries: {} looked for in {} bytes of log and {} of answers, {} found",
        canaries.len(),
        log.len(),
        heard.text.len(),
        hits.len()
    );
    let lines: Vec<_> = log.lines().filter(|l| hits.iter().any(|h| l.contains(h.as_str()))).take(5).collect();
    assert!(hits.is_empty(), "{hits:?} in {lines:#?}");
    assert!(server.terminate().await.success());
}

#[actix_rt::test]
async fn a_variable_that_is_wrong_does_not_print_what_is_secret() {
    let wrong = [
        ("BELLWIRE__APPS", format!("[{{id=\"1\",key=\"{KEY}\",secret=\"{APP_SECRET}")),
        ("BELLWIRE__APPS", format!("[{{id=\"1\",key=\"{KEY}\",secret=[\"{APP_SECRET}\"]}}]")),
        ("BELLWIRE__APPS", format!("[{{id=\"1\",key=\"{KEY}\",secrets=\"{APP_SECRET}\"}}]")),
        ("BELLWIRE__APPS", format!("\"{APP_SECRET}\"")),
        ("BELLWIRE__DATABASE__URL", format!("[\"{APP_SECRET}\"]")),
        ("BELLWIRE__DATABASE__POOL_SIZE", APP_SECRET.to_owned()),
        ("BELLWIRE__DATABASE__URL", format!("mysql://root:{APP_SECRET}@127.0.0.1/x")),
        ("BELLWIRE__DATABASE__URL", format!("postgres://root:{APP_SECRET}@127.0.0.1:port/x")),
        ("DATABASE_URL", format!("postgres://root:{APP_SECRET}@[::1/x")),
    ];
    for (key, value) in wrong {
        let program = Program::new().with_config(&config().replace(APP_SECRET, "s")).with_env(key, &value);
        for verb in [&["migrate"][..], &["--json", "migrate"]] {
            let answer = program.run(verb).await;
            assert_ne!(answer.code, 0, "{value}");
            assert!(!answer.stdout.contains("canary7") && !answer.stderr.contains("canary7"), "{answer:?}");
        }
    }
}

#[actix_rt::test]
async fn a_start_that_fails_does_not_print_what_is_secret() {
    let broken = [
        config().replace(APP_SECRET, &format!("{APP_SECRET}\nsecond = \"line")),
        config().replace(&format!("\"{APP_SECRET}\""), &format!("\"{APP_SECRET}")),
        config().replace(&format!("\"{APP_SECRET}\""), &format!("[\"{APP_SECRET}\"]")),
        config().replace(&format!("\"{APP_SECRET}\""), &format!("\"{APP_SECRET}\"\nunknown_key = 1")),
        config().replace("secret = ", "secrets = "),
        config() + &config()[config().find("[[apps]]").unwrap()..],
    ];
    for text in broken {
        let program = Program::new().with_config(&text);
        for verb in [&["serve"][..], &["config", "check"], &["--json", "config", "check"]] {
            let answer = program.run(verb).await;
            assert_ne!(answer.code, 0, "{text}");
            assert!(!answer.stdout.contains("canary7") && !answer.stderr.contains("canary7"), "{answer:?}");
        }
    }
    let url = "postgres://bellwire:canary7password@127.0.0.1:9/none";
    let program = Program::on(url).with_config(&config()).with_env("RUST_LOG", "trace");
    for verb in [&["serve"][..], &["migrate"], &["--json", "tenant", "list"]] {
        let answer = program.run(verb).await;
        assert_ne!(answer.code, 0);
        assert!(!answer.stdout.contains("canary7") && !answer.stderr.contains("canary7"), "{answer:?}");
    }
}
