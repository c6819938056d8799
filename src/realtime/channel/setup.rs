//! `Setup`: what a channel is made of.

use super::history::Bounds;
use super::life::Rules;
use crate::config::App;
use crate::domain::{ChannelName, ChannelNotice, Clock};
use crate::realtime::channel_table::Occupancy;
use crate::storage::Db;
use crate::telemetry::Metrics;
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Called when the last subscriber has left and nothing is kept, with what the registry has sent so far that the
/// channel lives on for: if it has sent no more than that, none is on its way and the channel can go.
pub type OnVacated = Box<dyn Fn(u64) + Send>;

/// What a channel is made of.
pub struct Setup {
    /// Whose channel.
    pub app: Arc<App>,
    /// Its name.
    pub name: ChannelName,
    /// Where it says how occupied it is.
    pub occupancy: Arc<Occupancy>,
    /// Bounds and times of what it is beside its stream.
    pub rules: Rules,
    /// Bounds of its history.
    pub history: Bounds,
    /// How soon after a change the positions are noted.
    pub checkpoint: Duration,
    /// Where its past is.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Tells the registry that it can go.
    pub on_vacated: OnVacated,
    /// Who is told what happens here; one that is full is not waited for, and what it misses is counted.
    pub notices: Option<Arc<Recipient<ChannelNotice>>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}
