//! `Sink`: a webhook receiver inside the process that takes whatever comes, answers 204 and says nothing.

use crate::domain::{Code, Error, Result};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::{IpAddr, SocketAddr};

/// An HTTP server on a thread of its own.
pub(super) struct Sink {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Sink {
    /// Serves from now on; without a port, on a free one.
    pub(super) fn start(ip: IpAddr, port: Option<u16>) -> Result<Self> {
        let wanted = SocketAddr::new(ip, port.unwrap_or(0));
        let failed = |e: std::io::Error| {
            let message =
                format!("The webhook receiver cannot listen on {wanted}: {e}. Take another --bind.");
            Error::new(Code::Unavailable, message).because(e)
        };
        // The body is read, so that the connection can be used again.
        let server = HttpServer::new(|| App::new().default_service(web::to(take)))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .bind(wanted)
            .map_err(failed)?;
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { address, handle })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(super) async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

async fn take(_: web::Bytes) -> HttpResponse {
    HttpResponse::NoContent().finish()
}
