//! `Receiver`: a webhook subscriber inside the process. It checks both signatures, as a real one should, and
//! prints what arrived.

use crate::cli::output;
use crate::domain::{Code, Error, Result, Secret, Timestamp};
use crate::webhooks::signing::Signer;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq;

/// An HTTP server on a free port of the loopback interface.
pub(super) struct Receiver {
    address: SocketAddr,
    handle: ServerHandle,
    signer: Arc<OnceLock<Signer>>,
}

impl Receiver {
    /// Serves from now on; `quiet` prints nothing.
    pub(super) fn start(quiet: bool) -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::new(Code::Unavailable, "The receiver cannot listen.").because(e);
        let signer = Arc::new(OnceLock::new());
        let shared = web::Data::from(signer.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::Data::new(quiet))
                .default_service(web::to(receive))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .bind("127.0.0.1:0")
        .map_err(failed)?;
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { address, handle, signer })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The secret of the endpoint that posts here.
    pub(super) fn expect_signatures_of(&self, secret: Secret) -> Result<()> {
        let signer = Signer::new(secret)?;
        // Set once: a receiver serves one endpoint.
        let _ = self.signer.set(signer);
        Ok(())
    }

    pub(super) async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

async fn receive(
    request: HttpRequest,
    body: web::Bytes,
    signer: web::Data<OnceLock<Signer>>,
    quiet: web::Data<bool>,
) -> HttpResponse {
    let verified = signer.get().is_some_and(|signer| verify(signer, &request, &body));
    if !**quiet {
        output::say(&line(&body, verified));
    }
    if verified { HttpResponse::NoContent().finish() } else { HttpResponse::Unauthorized().finish() }
}

/// Both signatures: of the body alone, and of id, time and body.
fn verify(signer: &Signer, request: &HttpRequest, body: &[u8]) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let seconds: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let Some(at) = seconds.checked_mul(1_000_000).and_then(Timestamp::from_micros) else { return false };
    let expected = signer.sign(header("webhook-id"), at, body);
    let same = |expected: &str, given: &str| bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
    same(&expected.body_hex, header("x-webhook-signature"))
        && same(&expected.standard, header("webhook-signature"))
}

/// What of an event's data is worth a glance.
const SHOWN: [&str; 9] =
    ["id", "productId", "order_number", "name", "price", "total", "stock", "newStock", "status"];

fn line(body: &[u8], verified: bool) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let event = body["event"].as_str().unwrap_or("?");
    let verdict = if verified { "signature verified" } else { "SIGNATURE WRONG" };
    let shown = SHOWN.iter().filter_map(|key| Some(format!("{key} {}", body["data"].get(key)?)));
    format!("  {event:<18} {verdict}   {}", shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const BODY: &[u8] = br#"{"event":"product:updated","data":{"id":1}}"#;

    fn signed(body: &[u8], seconds: i64) -> (Signer, TestRequest) {
        let signer = Signer::new(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signatures = signer.sign("msg_1", Timestamp::from_micros(seconds * 1_000_000).unwrap(), body);
        let request = TestRequest::post()
            .insert_header(("webhook-id", "msg_1"))
            .insert_header(("webhook-timestamp", signatures.timestamp))
            .insert_header(("webhook-signature", signatures.standard))
            .insert_header(("x-webhook-signature", signatures.body_hex));
        (signer, request)
    }

    #[test]
    fn a_line_says_what_came_and_whether_to_believe_it() {
        let body = br#"{"event":"stock:updated","data":{"productId":1,"newStock":7}}"#;
        let expected = "  stock:updated      signature verified   productId 1, newStock 7";
        assert_eq!(line(body, true), expected);
        assert!(line(b"?", false).contains("SIGNATURE WRONG"));
    }

    #[test]
    fn both_signatures_must_hold() {
        let (signer, request) = signed(BODY, 1_700_000_000);
        assert!(verify(&signer, &request.to_http_request(), BODY));
        for header in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-signature"] {
            let (_, request) = signed(BODY, 1_700_000_000);
            let wrong = request.insert_header((header, "1")).to_http_request();
            assert!(!verify(&signer, &wrong, BODY), "{header}");
        }
        let (_, request) = signed(BODY, 1_700_000_000);
        assert!(!verify(&signer, &request.to_http_request(), b"{}"));
    }
}
