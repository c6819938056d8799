//! `Client`: one signed POST, within the endpoint's time and our bounds, and a report of how it went.
//!
//! Bounds: one time limit over lookup, connect, TLS, request, head and body; a body is read to 64 KiB and kept
//! to 4 KiB; nothing is decompressed; no redirect is followed; every address is judged as it is dialled.
//!
//! awc is `!Send`, and its pool keeps an idle connection until its host is called again. So each endpoint has a
//! client of its own while it has something to send: its connections end with it.

use super::address::AddressRule;
use super::dialer::{DialError, DialRules, Dialer, Resolve, SystemNames, dial};
use super::outcome::{Control, Outcome, Report, RetryAfter};
use crate::config;
use crate::domain::{Code, Error, Result, Secret};
use actix_http::error::ParseError;
use awc::error::{ConnectError, SendRequestError};
use awc::http::Uri;
use awc::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use bytes::Bytes;
use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const AGENT: &str = concat!("bellwire/", env!("CARGO_PKG_VERSION"));
const READ_LIMIT: usize = 65_536;
pub(super) const KEEP_LIMIT: usize = 4_096;
pub(super) const ERROR_LIMIT: usize = 200;

/// Shorter than the 5 s after which common servers close an idle connection: a request that meets the close
/// half way would be a failed attempt.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// Of one client: the most that an endpoint may ask for (`concurrency`). How many are used is the queue's to say.
const CONNECTIONS: usize = 100;

/// The client's own limits, out of the way of the one that counts.
const NEVER: Duration = Duration::from_mins(1);

/// What all clients of a process share: what they may dial and whom they trust.
#[derive(Clone)]
pub struct Outbound {
    rules: Arc<DialRules>,
    /// For HTTP.
    tls: Arc<ClientConfig>,
    /// For what names no protocol of its own.
    plain_tls: Arc<ClientConfig>,
}

impl Outbound {
    /// Dials what the settings allow, and trusts the system's certificates or, where it has none, Mozilla's.
    pub fn new(config: &config::Webhooks) -> Result<Self> {
        Self::with(config, system_roots(), Arc::new(SystemNames))
    }

    /// Trusts these certificates alone.
    pub fn trusting(config: &config::Webhooks, roots: RootCertStore) -> Result<Self> {
        Self::with(config, roots, Arc::new(SystemNames))
    }

    /// Finds names in a way of one's own.
    pub fn resolving(config: &config::Webhooks, names: Arc<dyn Resolve>) -> Result<Self> {
        Self::with(config, system_roots(), names)
    }

    fn with(config: &config::Webhooks, roots: RootCertStore, names: Arc<dyn Resolve>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(Code::Internal, "TLS could not be set up.").because(e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let plain_tls = Arc::new(tls.clone());
        // One exchange a connection at a time is all that is needed, and HTTP/1.1 bounds it best.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let addresses = AddressRule::new(config.allowed_networks.clone());
        let rules = DialRules { addresses, urls: config.clone(), names };
        Ok(Self { rules: Arc::new(rules), tls: Arc::new(tls), plain_tls })
    }

    /// A connection to the host, by the rules that hold for every webhook.
    pub(super) async fn dial(
        &self,
        host: &str,
        port: u16,
        is_encrypted: bool,
    ) -> Result<TcpStream, DialError> {
        dial(&self.rules, host, port, is_encrypted).await
    }

    /// Whether Redis may be spoken to; the setting may have changed since a URL was saved.
    pub(super) fn permit_redis(&self) -> Result<(), Failure> {
        self.rules.urls.permit_redis().map_err(|why| Failure::of_dial(&DialError::Forbidden(why)))
    }

    /// For another protocol than HTTP.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.plain_tls)
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// One attempt, ready to send.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where to.
    pub url: Uri,
    /// The exact bytes that were signed: JSON.
    pub body: Bytes,
    /// Their signatures, and what else the receiver checks: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// What the receiver's owner wants in the head.
    pub own_headers: Vec<(String, Secret)>,
    /// For everything together.
    pub timeout: Duration,
}

/// Sends to one endpoint. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    /// Replaced, and its connections left behind, when one of them cannot be trusted any more.
    http: Rc<RefCell<awc::Client>>,
    outbound: Outbound,
    connections: usize,
}

impl Client {
    /// The client of an endpoint.
    pub(super) fn of(outbound: &Outbound) -> Self {
        Self::new(outbound, CONNECTIONS)
    }

    /// A client that holds up to `connections` at once.
    pub fn new(outbound: &Outbound, connections: usize) -> Self {
        let http = Rc::new(RefCell::new(unconnected(outbound, connections)));
        Self { http, outbound: outbound.clone(), connections }
    }

    /// Makes the attempt. It always comes back, at the latest when `post.timeout` is over.
    pub async fn send(&self, post: Post) -> Report {
        self.attempt(post, false).await.0
    }

    /// The same, and the body of a good answer: all of it, or as much as is read of any.
    pub(super) async fn fetch(&self, post: Post) -> (Report, Vec<u8>) {
        self.attempt(post, true).await
    }

    async fn attempt(&self, post: Post, keep_whole: bool) -> (Report, Vec<u8>) {
        let (begun, limit) = (Instant::now(), post.timeout);
        let mut answer = Answer { whole: keep_whole.then(Vec::new), ..Answer::default() };
        let failure = match tokio::time::timeout(limit, self.exchange(post, &mut answer)).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::timeout(limit)),
        };
        let whole = answer.whole.take().unwrap_or_default();
        (answer.report(failure, begun.elapsed()), whole)
    }

    /// awc takes a 1xx for the answer and its connection for free. But the answer is still to come there, and would be
    /// taken for the next delivery's. Nobody else was polled since the connection was given back.
    fn forget_connections(&self) {
        *self.http.borrow_mut() = unconnected(&self.outbound, self.connections);
    }

    async fn exchange(&self, post: Post, answer: &mut Answer) -> Result<(), Failure> {
        let request = self.http.borrow().post(post.url);
        let mut request =
            request.insert_header((CONTENT_TYPE, "application/json")).insert_header((USER_AGENT, AGENT));
        for (name, value) in &post.own_headers {
            request = request.insert_header((name.as_str(), value.expose()));
        }
        for header in post.headers {
            request = request.insert_header(header);
        }
        let mut response = request.send_body(post.body).await.map_err(|e| Failure::of(&e))?;
        answer.status = Some(response.status().as_u16());
        if response.status().is_informational() {
            self.forget_connections();
        }
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        answer.retry_after = header(RETRY_AFTER.as_str()).and_then(RetryAfter::parse);
        answer.control = header("webhook-delivery").and_then(Control::parse);
        let promised = header(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        // A stream that has ended is not asked again: awc panics when it is.
        while let Some(chunk) = response.next().await {
            if !answer.take(&chunk.map_err(|_| Failure::broken_body())?) {
                return Ok(());
            }
        }
        // To awc a connection that ends early is an end like any other.
        if promised.is_some_and(|length: usize| answer.read < length) {
            return Err(Failure::broken_body());
        }
        Ok(())
    }
}

fn unconnected(outbound: &Outbound, connections: usize) -> awc::Client {
    let connector = awc::Connector::new()
        .connector(Dialer::new(Arc::clone(&outbound.rules)))
        .rustls_0_23(Arc::clone(&outbound.tls))
        .timeout(NEVER)
        .handshake_timeout(NEVER)
        .conn_keep_alive(KEEP_ALIVE)
        .limit(connections);
    let http = awc::Client::builder().connector(connector).disable_timeout().disable_redirects();
    http.no_default_headers().finish()
}

/// What has come back so far; it outlives an exchange that is cut off.
#[derive(Default)]
struct Answer {
    status: Option<u16>,
    retry_after: Option<RetryAfter>,
    control: Option<Control>,
    read: usize,
    kept: Vec<u8>,
    /// Where more is wanted than is kept for the log.
    whole: Option<Vec<u8>>,
}

impl Answer {
    /// Takes a piece of the body; false when no more is wanted.
    fn take(&mut self, chunk: &[u8]) -> bool {
        self.read += chunk.len();
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(chunk);
        }
        let room = KEEP_LIMIT - self.kept.len();
        self.kept.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        self.read < READ_LIMIT
    }

    /// A status that is a failure by itself outweighs whatever became of the body behind it.
    fn report(self, failure: Option<Failure>, duration: Duration) -> Report {
        let failure = match (self.status, failure) {
            (Some(status), failure) => match Outcome::of_status(status) {
                Outcome::Ok => failure,
                bad => Some(Failure::new(bad, format!("The endpoint answered with status {status}."))),
            },
            (None, None) => Some(Failure::new(Outcome::Closed, "The endpoint did not answer.")),
            (None, failure) => failure,
        };
        Report {
            outcome: failure.as_ref().map_or(Outcome::Ok, |f| f.outcome),
            status: self.status,
            retry_after: self.retry_after,
            control: self.control,
            body: (!self.kept.is_empty()).then(|| readable(&self.kept, KEEP_LIMIT)),
            error: failure.map(|f| f.message),
            duration,
        }
    }
}

/// Text that both databases can hold, of at most `limit` bytes: bad UTF-8 replaced, NUL left out.
pub(super) fn readable(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "");
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// Why there is no good answer, in words for the endpoint's owner.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into() }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        let message = format!("There was no complete answer within {} ms.", limit.as_millis());
        Self::new(Outcome::Timeout, message)
    }

    fn of(error: &SendRequestError) -> Self {
        match error {
            SendRequestError::Connect(error) => Self::of_connect(error),
            SendRequestError::Send(_) | SendRequestError::Response(ParseError::Io(_)) => Self::closed(),
            SendRequestError::Url(_) | SendRequestError::Http(_) | SendRequestError::Custom(..) => {
                Self::new(Outcome::Unsendable, "No request could be made from the endpoint's settings.")
            }
            _ => Self::new(Outcome::Protocol, "The endpoint's answer is not HTTP."),
        }
    }

    fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Resolver(error) => error.downcast_ref().map_or_else(Self::closed, Self::of_dial),
            // The dialer's errors come as above, so what is left of io is the TLS handshake.
            ConnectError::Io(error) => Self::of_handshake(error),
            _ => Self::closed(),
        }
    }

    pub(super) fn of_handshake(error: &std::io::Error) -> Self {
        let why = error.get_ref().map_or_else(|| error.kind().to_string(), ToString::to_string);
        let message = format!("No encrypted connection could be made: {why}.");
        Self::new(Outcome::Tls, readable(message.as_bytes(), ERROR_LIMIT))
    }

    pub(super) fn of_dial(error: &DialError) -> Self {
        match error {
            DialError::Name => {
                Self::new(Outcome::Dns, "The host name has no public address that could be found.")
            }
            DialError::Blocked => Self::new(
                Outcome::Blocked,
                "The address is in a network that webhooks may not reach; the operator can exempt it in \
                 webhooks.allowed_networks.",
            ),
            DialError::Forbidden(why) => Self::new(Outcome::Blocked, why.clone()),
            DialError::Connect(error) => {
                Self::new(Outcome::Connect, format!("No connection could be made: {}.", error.kind()))
            }
        }
    }

    fn broken_body() -> Self {
        Self::new(Outcome::Body, "The answer's body broke off.")
    }

    pub(super) fn closed() -> Self {
        Self::new(Outcome::Closed, "The endpoint closed the connection without an answer.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_text_that_a_database_can_hold() {
        assert_eq!(readable(b"a\0b\xffc", 100), "ab\u{fffd}c");
        assert_eq!(readable("äää".as_bytes(), 5), "ää");
        assert!(readable(&[0xff; 4_096], KEEP_LIMIT).len() <= KEEP_LIMIT);
    }

    #[test]
    fn a_bad_status_outweighs_a_broken_body() {
        let answer = Answer { status: Some(500), ..Answer::default() };
        let report = answer.report(Some(Failure::timeout(NEVER)), Duration::ZERO);
        assert_eq!((report.outcome, report.status), (Outcome::Http, Some(500)));
        let answer = Answer { status: Some(200), ..Answer::default() };
        let report = answer.report(Some(Failure::timeout(NEVER)), Duration::ZERO);
        assert_eq!(report.outcome, Outcome::Timeout);
    }

    #[test]
    fn reading_stops_at_its_limit() {
        let mut answer = Answer::default();
        let chunk = [b'x'; 1_024];
        assert_eq!((0..100).take_while(|_| answer.take(&chunk)).count(), 63);
        assert_eq!(answer.kept.len(), KEEP_LIMIT);
    }
}
