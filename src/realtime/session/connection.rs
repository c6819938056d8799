//! `Connection`: the task of a session on its own socket. It gives the session's actor the client's bytes, and the
//! client the actor's frames; while some of these stand unsent the actor is not polled.

use crate::realtime::client_socket::ClientSocket;
use actix_web::error::PayloadError;
use actix_web::web;
use bytes::Bytes;
use futures_util::Stream;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The frames of a session, in bytes.
pub(super) type Frames = Pin<Box<dyn Stream<Item = actix_web::Result<Bytes>>>>;

/// Runs until the session has ended and what it said last is sent, or the client is gone.
pub(super) struct Connection {
    /// First, so that the actor is dropped before its socket.
    frames: Frames,
    socket: Rc<ClientSocket>,
}

impl Connection {
    pub(super) fn new(frames: Frames, socket: Rc<ClientSocket>) -> Self {
        Self { frames, socket }
    }

    /// One turn: sends what is unsent, then has the actor deal with what the client said and say what it has to.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.begin_turn();
        loop {
            ready!(self.socket.poll_flush(cx))?;
            match self.frames.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.socket.write(&bytes, b"")?;
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    if self.socket.is_exhausted() {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !ready!(self.socket.poll_arrival(cx)) {
            return Poll::Ready(());
        }
        // An error means that the client is gone, which the actor tells by its end.
        if ready!(self.poll_turn(cx)).is_ok() {
            self.socket.finish();
        }
        Poll::Ready(())
    }
}

/// What a client says: what came ahead of the answer to its upgrade, in the body of that request, then what its socket
/// brings.
pub(super) struct Incoming {
    ahead: Option<web::Payload>,
    socket: Rc<ClientSocket>,
}

impl Incoming {
    pub(super) fn new(ahead: web::Payload, socket: Rc<ClientSocket>) -> Self {
        Self { ahead: Some(ahead), socket }
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(ahead) = &mut self.ahead {
            // Its end, and that it broke off, are the dispatcher's letting go.
            if let Some(Ok(bytes)) = ready!(Pin::new(ahead).poll_next(cx)) {
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.ahead = None;
        }
        self.socket.poll_read(cx).map(|read| read.map_err(PayloadError::Io).transpose())
    }
}
