//! `Blocking`: the threads that run SQLite's statements, for tasks that may be dropped half way.
//!
//! A client that goes away drops its request's future, a statement under way or not. The connection must not
//! go back to its pool before that statement is through, so the drop waits for it. The library's own way of
//! waiting panics on an actix thread, which would take every socket of that thread with it; this one waits
//! without the runtime's help. It is short: a statement, or a wait for the file's lock.

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use std::error::Error;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Runs statements on the blocking threads of one runtime.
pub struct Blocking(Handle);

impl SpawnBlocking for Blocking {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        let (running, over) = channel::<()>();
        let handle = self.0.spawn_blocking(move || {
            let result = task();
            drop(running);
            result
        });
        Statement { handle, over }.map_err(Box::from).boxed()
    }

    /// The runtime that a connection is opened on, which outlives whoever asked for the connection.
    fn get_runtime() -> Self {
        Self(Handle::current())
    }
}

/// A statement under way. `over` ends when the statement does, or when it will never begin.
struct Statement<R> {
    handle: JoinHandle<R>,
    over: Receiver<()>,
}

impl<R> Future for Statement<R> {
    type Output = Result<R, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.poll_unpin(cx)
    }
}

impl<R> Drop for Statement<R> {
    fn drop(&mut self) {
        // Nothing is ever sent: what this waits for is the sender's end, and that is an error by its type.
        let _ = self.over.recv();
    }
}
