//! A receiver that says something before its answer (1xx), and what that does to the connection.

use crate::support::receiver::{Answer, Receiver};
use bellwire::config::Webhooks;
use bellwire::webhooks::client::{Client, Outbound, Post};
use bellwire::webhooks::outcome::Outcome;
use std::time::Duration;

#[actix_rt::test]
async fn an_interim_answer_is_a_failure_and_its_connection_is_not_used_again() {
    let receiver = Receiver::start(Answer::Status(100)).await;
    let config = Webhooks { allowed_networks: vec!["127.0.0.0/8".parse().unwrap()], ..Webhooks::default() };
    let client = Client::new(&Outbound::new(&config).unwrap(), 8);
    for tried in 1..=2 {
        let post = Post {
            url: receiver.url().parse().unwrap(),
            body: b"{}".as_slice().into(),
            headers: Vec::new(),
            own_headers: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let report = client.send(post).await;
        assert_eq!((report.outcome, report.status), (Outcome::Http, Some(100)));
        assert_eq!(receiver.connections(), tried);
    }
}
