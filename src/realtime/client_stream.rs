//! `ClientStream`: a client's connection as the HTTP dispatcher reads and writes it, until a session takes it over.
//!
//! The dispatcher holds two buffers of 8 KiB for as long as it lives, read from or not, and polls whatever it serves
//! through layers that a WebSocket has no use for. So a session claims the connection ([`Claim`]) before its upgrade is
//! answered; once the answer is with the kernel the dispatcher is told that the client's stream has ended, lets go of
//! this end, and what it let go of is the session's [`ClientSocket`].

use super::client_socket::ClientSocket;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The dispatcher's end.
#[derive(Debug)]
pub struct ClientStream {
    /// Taken when this is dropped.
    stream: Option<TcpStream>,
    claim: Claim,
    /// Whether something was written since the connection was claimed.
    is_answering: bool,
    /// Whether all of that is with the kernel: from here on nothing passes here.
    is_answered: bool,
}

/// By which a request's handler claims the connection that the request came on. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Claim(Rc<ClaimState>);

#[derive(Debug)]
struct ClaimState {
    descriptor: RawFd,
    heir: RefCell<Option<Rc<ClientSocket>>>,
}

impl ClientStream {
    /// Of an accepted connection.
    pub fn new(stream: TcpStream) -> Self {
        let claim = Claim(Rc::new(ClaimState { descriptor: stream.as_raw_fd(), heir: RefCell::default() }));
        Self { stream: Some(stream), claim, is_answering: false, is_answered: false }
    }

    /// By which it is taken over.
    pub fn claim(&self) -> Claim {
        self.claim.clone()
    }

    fn poll_stream<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Claim {
    /// The connection's number, while it lasts.
    pub fn descriptor(&self) -> RawFd {
        self.0.descriptor
    }

    fn is_made(&self) -> bool {
        self.0.heir.borrow().is_some()
    }

    /// Takes the connection over as soon as the answer to the present request is written, which must follow: the next
    /// that is written counts as it. The socket is the same for everybody who asks.
    pub fn take_over(&self) -> Rc<ClientSocket> {
        self.0.heir.borrow_mut().get_or_insert_default().clone()
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_answered {
            return Poll::Ready(Ok(()));
        }
        self.poll_stream(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.is_answering = self.claim.is_made();
        self.poll_stream(|stream| stream.poll_write(cx, buf))
    }

    /// The dispatcher flushes when it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(|stream| stream.poll_flush(cx)))?;
        if self.is_answering && !self.is_answered {
            self.is_answered = true;
            // It reads next, and finds the end.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_answered {
            return Poll::Ready(Ok(()));
        }
        self.poll_stream(|stream| stream.poll_shutdown(cx))
    }
}

/// The connection outlives this end wherever it was claimed, also unanswered: its session must not find its number
/// given to another.
impl Drop for ClientStream {
    fn drop(&mut self) {
        let heir = self.claim.0.heir.borrow_mut().take();
        if let (Some(heir), Some(stream)) = (heir, self.stream.take()) {
            heir.inherit(stream, self.is_answered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::client_socket::test_pair;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_connection_that_nobody_claims_is_read_and_written_through() {
        let (accepted, mut peer) = test_pair().await;
        let mut stream = ClientStream::new(accepted);
        stream.write_all(b"answer").await.unwrap();
        stream.flush().await.unwrap();
        peer.write_all(b"next").await.unwrap();
        let mut next = [0; 4];
        stream.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
        drop(stream);
        let mut came = Vec::new();
        peer.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"answer");
    }

    #[tokio::test]
    async fn a_claimed_connection_ends_for_the_dispatcher_when_its_answer_is_written_and_is_open_to_the_heir()
    {
        let (accepted, mut peer) = test_pair().await;
        let mut stream = ClientStream::new(accepted);
        // What was written before is no answer.
        stream.write_all(b"earlier").await.unwrap();
        let socket = stream.claim().take_over();
        stream.flush().await.unwrap();
        peer.write_all(b"more").await.unwrap();
        let mut more = [0; 4];
        stream.read_exact(&mut more).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read(&mut more).await.unwrap(), 0);
        stream.shutdown().await.unwrap();
        drop(stream);
        assert!(poll_fn(|cx| socket.poll_arrival(cx)).await);
        peer.write_all(b"for the heir").await.unwrap();
        socket.begin_turn();
        let bytes = poll_fn(|cx| socket.poll_read(cx)).await.unwrap();
        assert_eq!(bytes.unwrap(), b"for the heir"[..]);
    }

    #[tokio::test]
    async fn a_claimed_connection_that_is_not_answered_reaches_the_heir_as_lost_and_still_open() {
        let (accepted, peer) = test_pair().await;
        let stream = ClientStream::new(accepted);
        let socket = stream.claim().take_over();
        drop(stream);
        assert!(!poll_fn(|cx| socket.poll_arrival(cx)).await);
        let still_open = peer.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(still_open.kind(), io::ErrorKind::WouldBlock);
    }
}
