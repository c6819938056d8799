//! E-mail from real server processes: over TLS and signed in, not at all to a server that is not who it says, and all of
//! it when the process is killed meanwhile.

use crate::support::receiver::Certificate;
use crate::support::smtp::SmtpSink;
use crate::support::{Caller, Program, Server, TestDb, server, until_within};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

on_both_databases!(emails_of_processes_that_are_killed_arrive);

const LIMIT: Duration = Duration::from_secs(40);

/// A shop whose e-mail goes to `localhost` at this port. What one process had in hand is another's after 24 s.
fn program(on: Program, port: u16, tls: &str) -> Program {
    let smtp = format!(
        "[notifications]\nuser_per_minute = 0\n[notifications.smtp]\nhost = \"localhost\"\nport = {port}\ntls = \"{tls}\"\n\
         from = \"Corner Shop <shop@corner.example>\"\ntimeout_seconds = 1\n"
    );
    on.with_config(&server::CONFIG.replace("[[apps]]", &format!("{smtp}[[apps]]")))
}

fn trusting(program: Program, certificate: &Path) -> Program {
    program.with_env("SSL_CERT_FILE", certificate.to_str().unwrap())
}

/// Whether it was taken. What is critical goes out at night, too.
async fn send(server: &Server, caller: &Caller, title: &str) -> bool {
    let body = json!({"tenant": true, "type": "promo", "priority": "critical", "title": title,
        "body": "Tea is cheaper.", "channels": ["email"]});
    let answer = caller.post(&server.url("/api/v1/notifications/send"), &body).await;
    matches!(answer, Ok((201 | 202, _)))
}

fn titles(sink: &SmtpSink) -> BTreeSet<String> {
    sink.taken().iter().map(|mail| mail["subject"].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn an_email_goes_over_tls_and_signed_in_to_a_server_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = Certificate::new("localhost").write(folder.path());
    let files = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    for (tls, login) in [("starttls", true), ("implicit", false)] {
        let mut options = vec!["--tls", tls];
        options.extend(files);
        if login {
            options.extend(["--login", "shop:a password"]);
        }
        let sink = SmtpSink::start_with(&options);
        let mut program = trusting(program(Program::new(), sink.port(), tls), &certificate);
        if login {
            program = program
                .with_env("BELLWIRE__NOTIFICATIONS__SMTP__USERNAME", "shop")
                .with_env("BELLWIRE__NOTIFICATIONS__SMTP__PASSWORD", "a password");
        }
        let caller = Caller::made_by(&program).await;
        let server = Server::start(&program);
        assert!(send(&server, &caller, tls).await);
        until_within(LIMIT, "the e-mail arrives", async || !sink.taken().is_empty()).await;
        let mail = &sink.taken()[0];
        assert_eq!((&mail["subject"], &mail["encrypted"]), (&json!(tls), &json!(true)));
        assert_eq!(mail["login"], if login { json!("shop:a password") } else { Value::Null });
        assert!(!server.log().contains("a password"));
    }
}

#[actix_rt::test]
async fn an_email_does_not_go_to_a_server_that_is_not_trusted_or_does_not_encrypt() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = Certificate::new("localhost").write(folder.path());
    let another = folder.path().join("another");
    std::fs::create_dir(&another).unwrap();
    let [trusted, _] = Certificate::new("localhost").write(&another);
    let files = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let encrypts: Vec<&str> = ["--tls", "starttls"].into_iter().chain(files).collect();
    for (options, why) in [(encrypts, "does not encrypt"), (vec![], "does not encrypt")] {
        let sink = SmtpSink::start_with(&options);
        let program = trusting(program(Program::new(), sink.port(), "starttls"), &trusted);
        let caller = Caller::made_by(&program).await;
        let server = Server::start(&program);
        assert!(send(&server, &caller, "Not for everyone").await);
        let history = server.url("/api/v1/notifications/history?filter[channel]=email");
        until_within(LIMIT, "the attempt is written down", async || {
            let (status, answer) = caller.get(&history).await.unwrap();
            assert_eq!(status, 200, "{answer}");
            let row = &answer["data"][0];
            let told = row.to_string();
            told.contains(why) && told.contains("pending")
        })
        .await;
        assert!(sink.taken().is_empty());
    }
}

const KILLS: usize = 4;
const EMAILS: usize = 40;
/// What a process may have in hand when it dies: it goes out again.
const IN_HAND: usize = 16;

async fn emails_of_processes_that_are_killed_arrive(db: TestDb) {
    let sink = SmtpSink::start();
    let program = program(Program::on(db.url()), sink.port(), "none");
    let caller = Caller::made_by(&program).await;
    let mut asked = BTreeSet::new();
    for life in 0..KILLS {
        let server = Server::start(&program);
        for number in 0..EMAILS / KILLS {
            let title = format!("Life {life}, {number}");
            if send(&server, &caller, &title).await {
                asked.insert(title);
            }
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..40))).await;
        server.kill();
    }
    assert_eq!(asked.len(), EMAILS);
    let last = Server::start(&program);
    until_within(Duration::from_secs(90), "every e-mail arrives", async || titles(&sink) == asked).await;
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in sink.taken() {
        let name = mail["message_id"].as_str().unwrap().to_owned();
        names.entry(mail["subject"].as_str().unwrap().to_owned()).or_default().insert(name);
    }
    assert!(names.values().all(|names| names.len() == 1), "a repeat has the name of the first: {names:?}");
    let repeats = sink.taken().len() - asked.len();
    assert!(repeats <= KILLS * IN_HAND, "{repeats} came twice");
    assert!(last.terminate().await.success());
}
