//! `Chosen`: how a best time was chosen, as it is kept with what goes out then and shown to whoever asked for it.

use super::{BestTime, Deliver, Window};
use serde::{Deserialize, Serialize};

/// See the module. When it goes out and why then is said beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// `best`.
    pub deliver: Deliver,
    /// The window that it was chosen from, beginning with the time asked for.
    pub window_hours: Window,
    /// How probably this hour is better than one of the window taken at random; null where nothing was chosen.
    pub confidence: Option<f64>,
    /// How probably it is read then; null where nothing was chosen.
    pub read_rate: Option<f64>,
    /// How many sendings to the recipient are known, each worth what its age leaves of it.
    pub sample_size: f64,
}

impl Chosen {
    /// From this window.
    pub fn of(window: Window, best: &BestTime) -> Self {
        Self {
            deliver: Deliver::Best,
            window_hours: window,
            confidence: best.confidence.map(|confidence| rounded(confidence, 1_000.0)),
            read_rate: best.read_rate.map(|rate| rounded(rate, 1_000.0)),
            sample_size: rounded(best.sample_size, 10.0),
        }
    }
}

/// More digits would say more than is known.
fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
