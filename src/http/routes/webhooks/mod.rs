//! `/api/v1/webhooks`: endpoints, their deliveries, and how the sending to them goes.

mod deliveries;
mod endpoints;
mod recovery;

use crate::http::respond::method_not_allowed;
use actix_web::web::{ServiceConfig, delete, get, patch, post, put, resource};

const READ: &str = "webhooks:read";
const WRITE: &str = "webhooks:write";

pub(in crate::http) fn configure(app: &mut ServiceConfig) {
    let all =
        resource("/api/v1/webhooks").route(get().to(endpoints::list)).route(post().to(endpoints::create));
    // Before the next, which would read it as an id.
    let failed = resource("/api/v1/webhooks/failed").route(get().to(deliveries::failed));
    let one = resource("/api/v1/webhooks/{id}")
        .route(get().to(endpoints::show))
        .route(put().to(endpoints::update))
        .route(patch().to(endpoints::update))
        .route(delete().to(endpoints::remove));
    app.service(all.default_service(method_not_allowed("GET, POST")))
        .service(failed.default_service(method_not_allowed("GET")))
        .service(one.default_service(method_not_allowed("GET, PUT, PATCH, DELETE")));
    for (path, route) in [
        ("pause", post().to(endpoints::pause)),
        ("resume", post().to(endpoints::resume)),
        ("reset", post().to(endpoints::reset)),
        ("rotate-secret", post().to(endpoints::rotate_secret)),
        ("test", post().to(recovery::test)),
        ("recover", post().to(recovery::recover)),
        ("replay", post().to(recovery::replay)),
        ("deliveries/{delivery}/resend", post().to(recovery::resend)),
    ] {
        let verb = resource(format!("/api/v1/webhooks/{{id}}/{path}")).route(route);
        app.service(verb.default_service(method_not_allowed("POST")));
    }
    for (path, route) in [
        ("stats", get().to(endpoints::stats)),
        ("deliveries", get().to(deliveries::list)),
        ("deliveries/{delivery}", get().to(deliveries::show)),
    ] {
        let view = resource(format!("/api/v1/webhooks/{{id}}/{path}")).route(route);
        app.service(view.default_service(method_not_allowed("GET")));
    }
}
