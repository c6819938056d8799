//! A mind that says back what it hears, served through the hub's own read and write path at `/echo`.

use super::TestDb;
use super::hub::TestHub;
use actix_web::{HttpRequest, HttpResponse, web};
use bellwire::config::Config;
use bellwire::realtime::Hub;
use bellwire::realtime::session::{Effect, Mind, Opening, open};
use bytes::Bytes;
use std::time::Instant;

struct Echo;

impl Mind for Echo {
    fn opened(&mut self) -> Vec<Effect> {
        Vec::new()
    }

    fn text(&mut self, text: &str, _: Instant) -> Vec<Effect> {
        vec![Effect::Send(text.into())]
    }

    fn binary(&mut self, bytes: Bytes, _: Instant) -> Vec<Effect> {
        vec![Effect::SendBinary(bytes)]
    }
}

async fn echo(
    request: HttpRequest,
    hub: web::Data<Hub>,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let opening = Opening::Minded(hub.apps[0].clone(), Box::new(Echo));
    open(&hub.into_inner(), opening, &request, payload)
}

/// A server that echoes at `/echo` and has all its other routes.
pub(crate) async fn start_echo(change: impl FnOnce(&mut Config)) -> TestHub {
    let routes = |app: &mut web::ServiceConfig| {
        app.route("/echo", web::get().to(echo)).configure(bellwire::http::configure);
    };
    TestHub::start_serving(TestDb::sqlite().await, routes, change).await
}
