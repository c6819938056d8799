//! `DirectPaths`: the sessions of one worker thread whose clients can be written to past their actors; and the
//! `WorkerShard`, which is these and the thread's [`FanOutActor`], which writes.
//!
//! A frame through a mailbox costs its session a wake-up and two copies; a frame on a direct path costs the system call.
//! It is open from the session's start to its goodbye, unless its frames are compressed.

use super::client_socket::ClientSocket;
use super::fan_out::{FanOutActor, FanOutAddr};
use super::frame::{Frame, ToSession};
use super::framing;
use super::link::Link;
use super::session::confirmations::Confirmations;
use crate::domain::SocketId;
use bytes::Bytes;
use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What is needed to write to a client.
#[derive(Debug)]
pub(super) struct DirectPath {
    socket: Rc<ClientSocket>,
    /// What its session knows of what the client has received.
    confirmations: Rc<RefCell<Confirmations>>,
    /// Whether a client is asked at once what it has received; else its session asks, in a while.
    asks_at_once: bool,
}

/// Those of a thread, by session. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct DirectPaths(Rc<RefCell<HashMap<SocketId, DirectPath>>>);

/// What the sessions of one worker thread share.
#[derive(Debug, Clone)]
pub struct WorkerShard {
    paths: DirectPaths,
    fan_out: Arc<FanOutAddr>,
}

/// A session's path while it is open; dropping it closes the path, and then the session alone writes.
#[derive(Debug)]
pub struct OpenPath {
    paths: DirectPaths,
    socket: SocketId,
}

impl DirectPaths {
    /// Looks at them. No path may be opened or closed meanwhile.
    pub(super) fn with<T>(&self, look: impl FnOnce(Ref<'_, HashMap<SocketId, DirectPath>>) -> T) -> T {
        look(self.0.borrow())
    }
}

impl WorkerShard {
    /// That of this thread: starts its actor.
    pub fn start() -> Self {
        let paths = DirectPaths::default();
        let fan_out = Arc::new(FanOutActor::start_here(paths.clone()));
        Self { paths, fan_out }
    }

    /// Opens the path of a session of this thread.
    pub fn open(
        &self,
        link: &Link,
        socket: Rc<ClientSocket>,
        confirmations: &Rc<RefCell<Confirmations>>,
        asks_at_once: bool,
    ) -> OpenPath {
        let path = DirectPath { socket, confirmations: confirmations.clone(), asks_at_once };
        self.attach(link);
        self.paths.0.borrow_mut().insert(link.socket, path);
        OpenPath { paths: self.paths.clone(), socket: link.socket }
    }
}

impl WorkerShard {
    /// Has channels send the session's frames to this thread.
    pub(super) fn attach(&self, link: &Link) {
        link.attach_fan_out(self.fan_out.clone());
    }
}

impl Drop for OpenPath {
    fn drop(&mut self) {
        self.paths.0.borrow_mut().remove(&self.socket);
    }
}

impl DirectPath {
    /// Writes frames to the client, with the question whether they have arrived if one is due. False if something
    /// else stands unsent; then nothing was done.
    pub(super) fn write(&self, frames: &[Arc<Frame>], bytes: &Bytes, link: &Link) -> bool {
        if !self.socket.is_clear() {
            return false;
        }
        let is_due = {
            let mut confirmations = self.confirmations.borrow_mut();
            for frame in frames {
                confirmations.wrote(frame);
            }
            confirmations.is_due()
        };
        let ask = (is_due && self.asks_at_once).then(|| framing::ping(self.confirmations.borrow_mut().ask()));
        let tail = ask.as_deref().unwrap_or_default();
        let is_through = self.socket.write(bytes, tail).unwrap_or(true);
        if !is_through || (is_due && !self.asks_at_once) {
            // Its mailbox is empty, so it takes this; or it is ending.
            let _ = link.send(ToSession::Turn);
        }
        true
    }
}
