//! `FanOutWork`: sends what goes to many, page by page.

use super::fan_out;
use super::herald::Herald;
use super::send_limits::SendLimits;
use super::worker::{Turn, Work};
use crate::domain::{Clock, Result};
use crate::storage::Db;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;

/// For a [`WorkerActor`](super::worker::WorkerActor).
pub struct FanOutWork {
    /// The rows.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// How much may be sent.
    pub limits: Arc<SendLimits>,
    /// Who is told of what was sent.
    pub herald: Herald,
}

impl Work for FanOutWork {
    fn name(&self) -> &'static str {
        "notifications to many"
    }

    fn turn(&self) -> LocalBoxFuture<'static, Result<Turn>> {
        let (db, now, limits, herald) =
            (self.db.clone(), self.clock.now(), self.limits.clone(), self.herald.clone());
        Box::pin(async move {
            let (turn, committed) = fan_out::turn(&db, &limits, now).await?;
            if let Some(committed) = committed {
                herald.tell(committed);
            }
            Ok(turn)
        })
    }
}
