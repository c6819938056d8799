//! `Notifier`: what the doors hold of this room: the bounds on sending, and whom to wake when rows wait for work.

use super::send_limits::SendLimits;
use crate::domain::Wake;
use actix::Recipient;
use std::sync::Arc;

/// Its clones share their counts; each owns a slot of every worker's mailbox.
#[derive(Clone)]
pub struct Notifier {
    /// How much may be sent.
    pub limits: Arc<SendLimits>,
    workers: Vec<Recipient<Wake>>,
}

impl Notifier {
    /// Wakes these workers.
    pub const fn new(limits: Arc<SendLimits>, workers: Vec<Recipient<Wake>>) -> Self {
        Self { limits, workers }
    }

    /// Rows may have become due. Whoever cannot be told finds them within a second.
    pub fn wake(&self) {
        for worker in &self.workers {
            let _ = worker.try_send(Wake);
        }
    }
}
