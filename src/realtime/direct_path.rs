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
use slab::Slab;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What is needed to write to a client.
#[derive(Debug)]
pub(super) struct DirectPath {
    session: SocketId,
    socket: Rc<ClientSocket>,
    /// What its session knows of what the client has received.
    confirmations: Rc<RefCell<Confirmations>>,
    /// Whether a client is asked at once what it has received; else its session asks, in a while.
    asks_at_once: bool,
}

/// Those of a thread, each at a place that its session's [`Link`] knows. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct DirectPaths(Rc<RefCell<Slab<DirectPath>>>);

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
    place: usize,
}

/// Those of a thread while they are looked at.
pub(super) struct Lookup<'a>(&'a Slab<DirectPath>);

impl DirectPaths {
    /// Looks at them. No path may be opened or closed meanwhile.
    pub(super) fn with<T>(&self, look: impl FnOnce(Lookup<'_>) -> T) -> T {
        look(Lookup(&self.0.borrow()))
    }
}

impl<'a> Lookup<'a> {
    /// The session's, if it is open: its place may be another's by now.
    pub(super) fn of(&self, link: &Link) -> Option<&'a DirectPath> {
        self.0.get(link.path_place()?).filter(|path| path.session == link.socket)
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
        let session = link.socket;
        let path = DirectPath { session, socket, confirmations: confirmations.clone(), asks_at_once };
        let place = self.paths.0.borrow_mut().insert(path);
        self.attach(link, place);
        OpenPath { paths: self.paths.clone(), place }
    }

    /// Has channels send the session's frames to this thread, which looks for its path at this place.
    pub(super) fn attach(&self, link: &Link, place: usize) {
        link.attach_fan_out(self.fan_out.clone(), place);
    }
}

impl Drop for OpenPath {
    fn drop(&mut self) {
        self.paths.0.borrow_mut().remove(self.place);
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
