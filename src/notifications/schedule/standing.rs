//! How far behind the schedule is: for whoever watches over a server.

use super::claim::next_due;
use crate::domain::{Result, Timestamp};
use crate::storage::Conn;
use serde::Serialize;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// When the next one is due, or the end of a lease where one is being sent; null where none is pending.
    pub next_due_at: Option<Timestamp>,
    /// For how long the oldest has been due, in seconds; zero when none is.
    pub lag_seconds: f64,
}

/// As it is now, of all tenants together.
pub async fn standing(conn: &mut Conn, now: Timestamp) -> Result<Standing> {
    let next_due_at = next_due(conn).await?;
    let lag_seconds = next_due_at.map_or(0.0, |next| now.since(next).as_secs_f64());
    Ok(Standing { next_due_at, lag_seconds })
}
