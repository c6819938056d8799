//! The signals that end the process in good order.

use crate::domain::{Code, Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on, so that a signal during start-up is not lost, and ends with SIGTERM or SIGINT.
pub(super) fn shutdown() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| Error::new(Code::Internal, "Signals cannot be listened for.").because(e))
}
