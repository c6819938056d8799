//! What back ends ask of one channel beyond its counts: who is in it, and what its cache holds.

use super::ChannelActor;
use super::presence::Presence;
use actix::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who is here? Answered with the ids of the users of a presence channel, in their order.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Arc<str>>")]
pub struct WhoIsHere;

/// What does the cache hold? Answered with the data of the last event, and how long it is kept yet.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<(Arc<str>, Duration)>")]
pub struct WhatIsCached;

impl Handler<WhoIsHere> for ChannelActor {
    type Result = Vec<Arc<str>>;

    fn handle(&mut self, _: WhoIsHere, _: &mut Self::Context) -> Self::Result {
        self.life.presence().into_iter().flat_map(Presence::members).map(|(id, _)| id.into()).collect()
    }
}

impl Handler<WhatIsCached> for ChannelActor {
    type Result = Option<(Arc<str>, Duration)>;

    fn handle(&mut self, _: WhatIsCached, _: &mut Self::Context) -> Self::Result {
        self.life.cached(Instant::now()).map(|(data, left)| (data.clone(), left))
    }
}
