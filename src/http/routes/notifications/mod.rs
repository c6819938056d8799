//! `/api/v1/notifications`: who is told of what, when, and in which words.

mod history;
mod inbox;
mod preferences;
mod scheduled;
mod send;
mod subscriptions;
mod templates;

use crate::http::respond::method_not_allowed;
use actix_web::web::{ServiceConfig, delete, get, patch, post, put, resource};

/// A user's own: inbox, preferences, subscriptions, and the history of these.
const READ: &str = "notifications:read";

/// Changing what is a user's own: scheduling for oneself.
const WRITE: &str = "notifications:write";

/// Telling others, and the history of all of the tenant: for back ends and managers.
pub(super) const SEND: &str = "notifications:send";

pub(in crate::http) fn configure(app: &mut ServiceConfig) {
    configure_sending(app);
    configure_inbox(app);
    configure_choices(app);
    configure_schedule(app);
    configure_templates(app);
}

fn configure_templates(app: &mut ServiceConfig) {
    const BASE: &str = "/api/v1/notifications/templates";
    let all = resource(BASE).route(get().to(templates::list)).route(post().to(templates::create));
    // Before the next, which would read it as an id.
    let unsaved = resource(format!("{BASE}/preview")).route(post().to(templates::preview_unsaved));
    let one = resource(format!("{BASE}/{{id}}"))
        .route(get().to(templates::show))
        .route(put().to(templates::update))
        .route(patch().to(templates::update))
        .route(delete().to(templates::remove));
    let preview = resource(format!("{BASE}/{{id}}/preview")).route(post().to(templates::preview));
    let versions = resource(format!("{BASE}/{{id}}/versions")).route(get().to(templates::versions));
    let version = resource(format!("{BASE}/{{id}}/versions/{{version}}")).route(get().to(templates::version));
    app.service(all.default_service(method_not_allowed("GET, POST")))
        .service(unsaved.default_service(method_not_allowed("POST")))
        .service(one.default_service(method_not_allowed("GET, PUT, PATCH, DELETE")))
        .service(preview.default_service(method_not_allowed("POST")))
        .service(versions.default_service(method_not_allowed("GET")))
        .service(version.default_service(method_not_allowed("GET")));
}

fn configure_sending(app: &mut ServiceConfig) {
    const BASE: &str = "/api/v1/notifications";
    let send = resource(format!("{BASE}/send")).route(post().to(send::create));
    let sends = resource(format!("{BASE}/sends")).route(get().to(send::list));
    let sending = resource(format!("{BASE}/sends/{{id}}")).route(get().to(send::show));
    let retry = resource(format!("{BASE}/sends/{{id}}/retry")).route(post().to(send::retry));
    let history = resource(format!("{BASE}/history")).route(get().to(history::list));
    let one = resource(format!("{BASE}/history/{{id}}")).route(get().to(history::show));
    app.service(send.default_service(method_not_allowed("POST")))
        .service(sends.default_service(method_not_allowed("GET")))
        .service(sending.default_service(method_not_allowed("GET")))
        .service(retry.default_service(method_not_allowed("POST")))
        .service(history.default_service(method_not_allowed("GET")))
        .service(one.default_service(method_not_allowed("GET")));
}

fn configure_schedule(app: &mut ServiceConfig) {
    const BASE: &str = "/api/v1/notifications/scheduled";
    let all = resource(BASE).route(get().to(scheduled::list)).route(post().to(scheduled::create));
    // Before the next, which would read it as an id.
    let preview = resource(format!("{BASE}/preview")).route(post().to(scheduled::preview));
    let one = resource(format!("{BASE}/{{id}}"))
        .route(get().to(scheduled::show))
        .route(patch().to(scheduled::reschedule))
        .route(delete().to(scheduled::cancel));
    let retry = resource(format!("{BASE}/{{id}}/retry")).route(post().to(scheduled::retry));
    app.service(all.default_service(method_not_allowed("GET, POST")))
        .service(preview.default_service(method_not_allowed("POST")))
        .service(one.default_service(method_not_allowed("GET, PATCH, DELETE")))
        .service(retry.default_service(method_not_allowed("POST")));
}

fn configure_inbox(app: &mut ServiceConfig) {
    const BASE: &str = "/api/v1/notifications/in-app";
    let all = resource(BASE).route(get().to(inbox::list));
    // Before the next, which would read them as ids.
    let count = resource(format!("{BASE}/unread-count")).route(get().to(inbox::unread_count));
    let read_all = resource(format!("{BASE}/mark-all-read")).route(post().to(inbox::mark_all_read));
    let one =
        resource(format!("{BASE}/{{id}}")).route(get().to(inbox::show)).route(delete().to(inbox::remove));
    app.service(all.default_service(method_not_allowed("GET")))
        .service(count.default_service(method_not_allowed("GET")))
        .service(read_all.default_service(method_not_allowed("POST")))
        .service(one.default_service(method_not_allowed("GET, DELETE")));
    for (path, route) in [
        ("mark-read", post().to(inbox::mark_read)),
        ("mark-unread", post().to(inbox::mark_unread)),
        ("archive", post().to(inbox::archive)),
        ("unarchive", post().to(inbox::unarchive)),
    ] {
        let verb = resource(format!("{BASE}/{{id}}/{path}")).route(route);
        app.service(verb.default_service(method_not_allowed("POST")));
    }
}

fn configure_choices(app: &mut ServiceConfig) {
    const BASE: &str = "/api/v1/notifications";
    let own = resource(format!("{BASE}/preferences"))
        .route(get().to(preferences::show))
        .route(patch().to(preferences::update));
    let defaults = resource(format!("{BASE}/preferences/tenant"))
        .route(get().to(preferences::show_defaults))
        .route(patch().to(preferences::update_defaults));
    let test = resource(format!("{BASE}/preferences/test")).route(post().to(preferences::test));
    let subscriptions = resource(format!("{BASE}/subscriptions"))
        .route(get().to(subscriptions::list))
        .route(post().to(subscriptions::create));
    let subscription =
        resource(format!("{BASE}/subscriptions/{{id}}")).route(delete().to(subscriptions::remove));
    app.service(own.default_service(method_not_allowed("GET, PATCH")))
        .service(defaults.default_service(method_not_allowed("GET, PATCH")))
        .service(test.default_service(method_not_allowed("POST")))
        .service(subscriptions.default_service(method_not_allowed("GET, POST")))
        .service(subscription.default_service(method_not_allowed("DELETE")));
}
