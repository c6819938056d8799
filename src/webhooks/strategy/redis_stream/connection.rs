//! `Connector`: makes the connections of one endpoint's pool, over the dialer that judges every address, and
//! `Connection`, over which one command is asked at a time.
//!
//! The client library would read an answer of any length into memory, for as long as it comes: what it reads for one
//! command is counted below it, and one that has no end breaks the connection. A connection over which anything
//! went wrong is not used again.

use super::StreamUrl;
use crate::domain::Secret;
use crate::webhooks::client::{Failure, Outbound};
use crate::webhooks::outcome::Outcome;
use deadpool::managed::{Manager, Metrics, Object, RecycleError, RecycleResult};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, ServerError, Value, cmd,
};
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Read for one command at most, and as much again as one read brings. What answers XADD has a few dozen bytes.
const READ_LIMIT: usize = 8_192;

/// The user that Redis has where nothing was said of users.
const DEFAULT_USER: &str = "default";

/// Why an entry was not added.
#[derive(Debug)]
pub(super) enum Fault {
    /// Redis answered with an error: this.
    Reply(String),
    /// There was no answer, or none that can be read.
    Failure(Failure),
}

/// Who says so to Redis.
pub(super) struct Credentials {
    pub(super) username: Secret,
    pub(super) password: Secret,
}

/// See the module.
pub(super) struct Connector {
    pub(super) outbound: Outbound,
    pub(super) place: StreamUrl,
    pub(super) credentials: Option<Credentials>,
}

/// See the module.
pub(super) struct Connection {
    redis: MultiplexedConnection,
    /// Reads and writes until this is dropped.
    driver: JoinHandle<()>,
    unread: Arc<AtomicUsize>,
    /// Whether every command was answered so far, and well.
    is_clean: bool,
}

/// A connection out of its pool. One over which anything went wrong, or whose answer was not waited for, does not go
/// back: it is closed at once, with what it still had to say and to read.
pub(super) struct Borrowed(Option<Object<Connector>>);

impl Borrowed {
    pub(super) const fn new(object: Object<Connector>) -> Self {
        Self(Some(object))
    }

    /// See [`Connection::ask`].
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Fault> {
        match &mut self.0 {
            Some(connection) => connection.ask(command).await,
            None => Err(Fault::Failure(Failure::closed())),
        }
    }

    /// What was answered makes no sense: nothing more is asked over it.
    pub(super) fn break_off(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.is_clean = false;
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take_if(|connection| !connection.is_clean) {
            drop(Object::take(connection));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = Fault;

    async fn create(&self) -> Result<Connection, Fault> {
        let mut connection = Connection::open(self.wire().await.map_err(Fault::Failure)?).await?;
        if let Some(Credentials { username, password }) = &self.credentials {
            let mut auth = cmd("AUTH");
            // Before version 6 there were no users, and AUTH took a password alone; later ones take that, too.
            if username.expose() != DEFAULT_USER {
                auth.arg(username.expose());
            }
            connection.ask(auth.arg(password.expose())).await.map_err(without_words)?;
        }
        if self.place.database != 0 {
            connection.ask(cmd("SELECT").arg(self.place.database)).await?;
        }
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Fault> {
        if connection.is_clean && !connection.driver.is_finished() {
            return Ok(());
        }
        Err(RecycleError::message("it broke"))
    }
}

impl Connector {
    async fn wire(&self) -> Result<Box<dyn Wire>, Failure> {
        let StreamUrl { host, port, is_encrypted, .. } = &self.place;
        self.outbound.permit_redis()?;
        let stream =
            self.outbound.dial(host, *port, *is_encrypted).await.map_err(|e| Failure::of_dial(&e))?;
        if !is_encrypted {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.place.bare_host().to_owned())
            .map_err(|_| Failure::new(Outcome::Tls, "The host is no name that a certificate could have."))?;
        let encrypted = TlsConnector::from(self.outbound.tls()).connect(name, stream).await;
        Ok(Box::new(encrypted.map_err(|e| Failure::of_handshake(&e))?))
    }
}

impl Connection {
    async fn open(wire: Box<dyn Wire>) -> Result<Self, Fault> {
        let unread = Arc::new(AtomicUsize::new(READ_LIMIT));
        let bounded = Bounded { wire, unread: Arc::clone(&unread) };
        // Says nothing by itself: what is to be said is said by `ask`, which keeps what Redis answers to it.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // The time that counts is the attempt's, over all of it.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, bounded, config);
        let (redis, driver) = made.await.map_err(|e| fault_of(&e, false))?;
        Ok(Self { redis, driver: tokio::spawn(driver), unread, is_clean: true })
    }

    /// Asks one thing and waits for the answer. Whoever stops waiting leaves the connection unclean.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Fault> {
        self.is_clean = false;
        self.unread.store(READ_LIMIT, Ordering::Relaxed);
        let answer = match self.redis.send_packed_command(command).await {
            Ok(Value::ServerError(error)) => return Err(reply(&error)),
            Ok(value) => value,
            Err(error) => return Err(fault_of(&error, self.unread.load(Ordering::Relaxed) == 0)),
        };
        self.is_clean = true;
        Ok(answer)
    }
}

/// Of an error of AUTH its code alone: Redis repeats the arguments of a command that it does not know.
fn without_words(fault: Fault) -> Fault {
    match fault {
        Fault::Reply(text) => {
            let code = text.split(' ').next().unwrap_or_default();
            Fault::Reply(format!("{code} (to AUTH)"))
        }
        Fault::Failure(failure) => Fault::Failure(failure),
    }
}

fn reply(error: &ServerError) -> Fault {
    Fault::Reply(format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned())
}

fn fault_of(error: &RedisError, is_endless: bool) -> Fault {
    if is_endless {
        return Fault::Failure(Failure::new(Outcome::Protocol, "The answer is longer than any of Redis'."));
    }
    match (error.kind(), error.code()) {
        (ErrorKind::Io, _) => Fault::Failure(Failure::closed()),
        (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
            Fault::Reply(format!("{code} {}", error.detail().unwrap_or_default()).trim_end().to_owned())
        }
        _ => Fault::Failure(no_redis()),
    }
}

/// What came back is of another protocol.
pub(super) fn no_redis() -> Failure {
    Failure::new(Outcome::Protocol, "The endpoint's answer is not Redis'.")
}

/// Plain or encrypted.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that breaks when more comes than is left to be read.
struct Bounded {
    wire: Box<dyn Wire>,
    unread: Arc<AtomicUsize>,
}

impl AsyncRead for Bounded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let left = this.unread.load(Ordering::Relaxed).saturating_sub(read);
        this.unread.store(left, Ordering::Relaxed);
        Poll::Ready(if left == 0 { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) })
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
