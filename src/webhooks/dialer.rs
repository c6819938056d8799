//! `Dialer`: makes the webhook client's TCP connections, and judges each address in the moment it is dialled.
//!
//! The judgement is behind the name lookup, for literals too, so that no spelling of an address and no answer
//! of a name server gets around it, and no time passes between check and use. Scheme and port are judged here as
//! well: the settings may have changed since a URL was saved. What is refused is logged with its address. The
//! endpoint's owner is told the rule alone, and of a name no more than that it has no public address: whether it
//! has a private one would tell what names the inner network knows.

use super::address::AddressRule;
use crate::config;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All of them, in the order in which to try them.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's own way.
pub(super) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What may be dialled, and how names are found.
pub(super) struct DialRules {
    pub(super) addresses: AddressRule,
    pub(super) urls: config::Webhooks,
    pub(super) names: Arc<dyn Resolve>,
}

/// A connector service for `awc::Connector`.
#[derive(Clone)]
pub(super) struct Dialer {
    rules: Arc<DialRules>,
}

/// Why there is no connection. It travels through awc as a resolver's error.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the name has no address that may be dialled")]
    Name,
    #[error("the address may not be dialled")]
    Blocked,
    #[error("{0}")]
    Forbidden(String),
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
}

impl Dialer {
    pub(super) fn new(rules: Arc<DialRules>) -> Self {
        Self { rules }
    }
}

impl Service<ConnectInfo<Uri>> for Dialer {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let is_encrypted = info.request().scheme_str() == Some("https");
            match dial(&rules, info.hostname(), info.port(), is_encrypted).await {
                Ok(stream) => Ok(Connection::new(info.request().clone(), stream)),
                Err(error) => Err(ConnectError::Resolver(Box::new(error))),
            }
        })
    }
}

/// Dials the host's addresses in turn, leaving out those that the rule refuses.
pub(super) async fn dial(
    rules: &DialRules,
    host: &str,
    port: u16,
    is_encrypted: bool,
) -> Result<TcpStream, DialError> {
    if let Err(why) = rules.urls.permit(is_encrypted, port) {
        tracing::warn!(host, port, %why, "a webhook was not dialled");
        return Err(DialError::Forbidden(why));
    }
    let (mut last, addresses) = match literal(host) {
        Some(address) => (DialError::Blocked, vec![address]),
        None => (DialError::Name, look_up(&*rules.names, host).await),
    };
    for address in addresses {
        if rules.addresses.permits(address) {
            match connect(&rules.addresses, SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        } else {
            tracing::warn!(host, port, %address, "a webhook was not dialled: its address is private");
        }
    }
    Err(last)
}

/// The address that the host is, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    // A URI writes an IPv6 address in brackets.
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The addresses of the name; none when it has none or could not be looked up.
async fn look_up(names: &dyn Resolve, host: &str) -> Vec<IpAddr> {
    names.resolve(host).await.unwrap_or_else(|error| {
        tracing::info!(host, %error, "the name of a webhook's host was not found");
        Vec::new()
    })
}

async fn connect(rule: &AddressRule, address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
    // Without it the end of a request may wait 40 ms for the other side's acknowledgement.
    stream.set_nodelay(true).map_err(DialError::Connect)?;
    let peer = stream.peer_addr().map_err(DialError::Connect)?;
    if rule.permits(peer.ip()) { Ok(stream) } else { Err(DialError::Blocked) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn dialled(allowed: &[&str], host: &str, port: u16) -> Result<SocketAddr, DialError> {
        let rules = DialRules {
            addresses: AddressRule::new(allowed.iter().map(|n| n.parse().unwrap()).collect()),
            urls: config::Webhooks::default(),
            names: Arc::new(SystemNames),
        };
        dial(&rules, host, port, false).await.map(|s| s.peer_addr().unwrap())
    }

    #[actix_rt::test]
    async fn every_spelling_of_a_private_address_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "localhost",
            "0.0.0.0",
            "[::]",
        ] {
            let result = dialled(&[], host, port).await;
            assert!(matches!(result, Err(DialError::Blocked | DialError::Name)), "{host}: {result:?}");
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nothing was dialled");
    }

    #[actix_rt::test]
    async fn an_allowed_network_is_dialled_by_address_and_by_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for host in ["127.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"] {
            let peer = dialled(&["127.0.0.0/8"], host, address.port()).await.unwrap();
            assert_eq!(peer.ip().to_canonical(), address.ip(), "{host}");
        }
    }

    #[actix_rt::test]
    async fn a_port_that_is_not_allowed_is_not_dialled() {
        let result = dialled(&["127.0.0.0/8"], "127.0.0.1", 22).await;
        assert!(matches!(&result, Err(DialError::Forbidden(why)) if why.contains("port 22")), "{result:?}");
    }

    #[actix_rt::test]
    async fn a_name_with_a_private_address_looks_like_one_that_does_not_exist() {
        for host in ["localhost", "name.invalid"] {
            let result = dialled(&[], host, 80).await;
            assert!(matches!(result, Err(DialError::Name)), "{host}: {result:?}");
        }
    }
}
