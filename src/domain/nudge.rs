//! Nudges: messages that cross rooms and say "look at the rows". Losing one delays, and loses nothing.

use crate::domain::{EndpointId, Event};
use std::sync::Arc;

/// "These rows are in the database now": the events of one transaction, in id order, and the endpoints
/// that got a delivery row with them.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// The events, as written.
    pub events: Arc<[Event]>,
    /// Endpoints with new deliveries, each once.
    pub endpoints: Vec<EndpointId>,
}

/// To the registry: these endpoints have deliveries that are due, or are new.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub struct WakeEndpoints(pub Vec<EndpointId>);

/// To an endpoint's actor: look for deliveries that are due.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "()")]
pub struct Wake;

/// "Are you there?", from the watchdog and from `/ready`. Whoever answers is alive.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "()")]
pub struct Probe;
