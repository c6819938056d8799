//! The doors: routes, what they read from a request, and how they answer.
//!
//! [`configure`] is the list of every route, a line a group. `app` lays [`cors::share`] and [`middleware::observe`]
//! around it and puts a [`State`] into the app's data.

pub mod client_address;
pub mod cors;
pub mod extract;
pub mod first_request;
pub mod idempotent;
pub mod middleware;
pub mod origin;
pub mod respond;
pub mod routes;
pub mod server;
pub mod state;

pub use state::State;

use actix_web::web;

/// Every route of the house.
pub fn configure(app: &mut web::ServiceConfig) {
    // A path is tried against one route after another, most of them a regular expression: what is asked for most, first.
    app.configure(respond::configure)
        .configure(routes::pusher_api::configure)
        .configure(routes::socket::configure)
        .configure(routes::products::configure)
        .configure(routes::categories::configure)
        .configure(routes::orders::configure)
        .configure(routes::webhooks::configure)
        .configure(routes::notifications::configure)
        .configure(routes::broadcasts::configure)
        .configure(routes::scheduler::configure)
        .configure(routes::channels::configure)
        .configure(routes::health::configure)
        .configure(routes::broadcasting::configure);
}
