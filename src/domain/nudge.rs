//! Nudges: messages that cross rooms and say "look at the rows". Losing one delays, and loses nothing.

use crate::domain::{EndpointId, Event, Leased};
use std::sync::Arc;

/// "These rows are in the database now": the events of one transaction, in id order, and the endpoints
/// that got a delivery row with them.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// The events, as written.
    pub events: Arc<[Event]>,
    /// Endpoints with new deliveries that nobody has in hand, each once.
    pub endpoints: Vec<EndpointId>,
    /// New deliveries that endpoints of this process have in hand already, in id order.
    pub leased: Vec<Leased>,
}

/// To the registry: these endpoints have deliveries that are due, or are new.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub struct WakeEndpoints(pub Vec<EndpointId>);

/// To an actor that works from rows: look for those that are due.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "()")]
pub struct Wake;

/// To an endpoint's actor.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub enum ToEndpoint {
    /// Look for deliveries that are due.
    Look,
    /// Send these: they are leased to you.
    Send(Vec<Leased>),
}

/// To the registry: from now on, tell these when something has happened to a tenant.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub struct TellOfEvents(pub actix::Recipient<Wake>);

/// "Are you there?", from the watchdog and from `/ready`. Whoever answers is alive.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "()")]
pub struct Probe;
