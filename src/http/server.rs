//! The HTTP server: listens, and serves a web application on each worker thread, over [`ClientStream`]s. It is what
//! actix-web's `HttpServer` does, which has no place for a stream of one's own, and whose connections have room for
//! HTTP/2, which is 2 KiB of each.

use super::first_request::FirstRequest;
use crate::domain::{Code, Error, Result};
use crate::realtime::client_stream::ClientStream;
use crate::telemetry::Metrics;
use actix_http::{HttpService, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, boxed, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use socket2::{Domain, Socket, Type};
use std::fmt::Debug;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: u32 = 4_096;
/// How long a jammed or vanished peer may hold data unacknowledged before the kernel drops it: the net under
/// [`crate::realtime::link::Link::cut`].
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Bytes that the kernel takes of us beyond what the peer has room for.
const UNSENT_BYTES: u32 = 131_072;
/// How long a closed connection may linger for its peer's goodbye.
const LINGER: Duration = Duration::from_millis(200);

/// How to serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host and port.
    pub address: String,
    /// Threads.
    pub workers: usize,
    /// For a request's head.
    pub handshake: Duration,
    /// For requests in flight when the server is stopped, in seconds.
    pub shutdown_seconds: u64,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Binds, and gives the server, which serves when it is polled, and its (first) address. `application` is called on
/// each worker thread.
pub fn bind<F, I, S, B>(settings: &Settings, application: F) -> Result<(Server, SocketAddr)>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Future: 'static,
    <S::Service as actix_service::Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let cannot = |e: std::io::Error| {
        let message = format!("Cannot listen on {} ([server] bind).", settings.address);
        Error::new(Code::Invalid, message).because(e)
    };
    let mut builder = Server::build()
        .workers(settings.workers)
        .shutdown_timeout(settings.shutdown_seconds)
        .disable_signals();
    let mut first = None;
    for address in settings.address.to_socket_addrs().map_err(cannot)? {
        let listener = listen(address).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        first.get_or_insert(address);
        let (settings, application) = (settings.clone(), application.clone());
        let stopping = builder.graceful_shutdown_signal();
        let service = move || {
            let stopping = stopping.clone();
            let (metrics, handshake) = (settings.metrics.clone(), settings.handshake);
            let web = application().into_factory().map_err(|e| e.into().error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(handshake)
                .client_disconnect_timeout(LINGER)
                .h1_allow_half_closed(false)
                .local_addr(address)
                .on_connect_ext(move |stream: &ClientStream, data| {
                    data.insert(FirstRequest::new(metrics.clone(), handshake));
                    data.insert(stream.claim());
                })
                .h1(map_config(web, |()| AppConfig::default()));
            // Boxed, because the server's task holds a connection's future twice over.
            boxed::factory(fn_service(accept).and_then(http))
        };
        builder = builder.listen(format!("http {address}"), listener, service).map_err(cannot)?;
    }
    let first = first.ok_or_else(|| Error::new(Code::Internal, "The server has no address."))?;
    Ok((builder.run(), first))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

async fn accept(
    stream: TcpStream,
) -> std::result::Result<(ClientStream, Option<SocketAddr>), actix_http::error::DispatchError> {
    prepare(&stream);
    let peer = stream.peer_addr().ok();
    Ok((ClientStream::new(stream), peer))
}

/// A socket of ours: small messages leave at once, a peer that vanished is noticed, and a reader that stopped
/// is felt here soon, instead of megabytes later in the kernel's buffers. Errors mean that the peer has gone.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::rt::net::TcpListener;

    #[actix_web::test]
    async fn accepted_sockets_send_small_messages_at_once_and_notice_peers_that_vanish() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        prepare(&accepted);
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
    }
}
