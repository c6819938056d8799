//! `ClientSocket`: a client's socket, once its session has taken it over from the HTTP dispatcher.
//!
//! Its session reads and writes it, and whoever has a frame for the client on the same thread writes past the session
//! ([`ClientSocket::write`]) while nothing stands unsent: then a frame cannot come between two halves of another. What
//! the kernel does not take is kept here and goes out before anything else.
//!
//! It holds no buffer: all sockets of a thread are read into one.

use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read at once.
const READ: usize = 16_384;

/// Bytes that are read in one turn of a session, before what they say is dealt with.
const READ_A_TURN: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub struct ClientSocket {
    state: RefCell<State>,
    unsent: RefCell<Bytes>,
    /// What may still be read in this turn.
    allowance: Cell<usize>,
}

#[derive(Debug)]
enum State {
    /// The dispatcher has it, and this is to be woken when it lets go.
    Awaited(Option<Waker>),
    Here(TcpStream),
    /// The dispatcher let go before the session could begin.
    Lost(TcpStream),
}

impl Default for State {
    fn default() -> Self {
        Self::Awaited(None)
    }
}

impl State {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match self {
            Self::Here(stream) | Self::Lost(stream) => Ok(Pin::new(stream)),
            Self::Awaited(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl ClientSocket {
    /// Takes the connection from the dispatcher; not `good` if that was not done with it.
    pub(super) fn inherit(&self, stream: TcpStream, good: bool) {
        let state = if good { State::Here(stream) } else { State::Lost(stream) };
        if let State::Awaited(Some(waker)) = self.state.replace(state) {
            waker.wake();
        }
    }

    /// Waits for the connection; false if there is no use for it any more.
    pub fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut *self.state.borrow_mut() {
            State::Awaited(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Here(_) => Poll::Ready(true),
            State::Lost(_) => Poll::Ready(false),
        }
    }

    /// Whether all that was to be written is with the kernel: only then may anything be written.
    pub fn is_clear(&self) -> bool {
        self.unsent.borrow().is_empty()
    }

    /// Writes a frame and what follows it, when it is clear. False if some is left unsent: the session must have a turn
    /// soon, which sends it. An error means that the connection is over, of which the session learns by itself.
    pub fn write(&self, frame: &Bytes, tail: &[u8]) -> io::Result<bool> {
        let taken = {
            let mut state = self.state.borrow_mut();
            let stream = state.stream()?;
            send(&stream, frame, tail)
        };
        let taken = match taken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if taken == frame.len() + tail.len() {
            return Ok(true);
        }
        *self.unsent.borrow_mut() = remainder(frame, tail, taken);
        Ok(false)
    }

    /// Sends what is unsent.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            let taken = ready!(self.state.borrow_mut().stream()?.poll_write(cx, &unsent))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            unsent.advance(taken);
        }
        *unsent = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Begins a turn: so much may be read again.
    pub fn begin_turn(&self) {
        self.allowance.set(READ_A_TURN);
    }

    /// Whether the turn has read all it may, so that there may be more.
    pub fn is_exhausted(&self) -> bool {
        self.allowance.get() == 0
    }

    /// The next bytes of the client; none at its end. Pending also when the turn has read all that it may: then nobody
    /// is woken.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        thread_local!(static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into()));
        let most = READ.min(self.allowance.get());
        if most == 0 {
            return Poll::Pending;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer.get_mut(..most).unwrap_or_default());
            ready!(self.state.borrow_mut().stream()?.poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            self.allowance.set(self.allowance.get() - bytes.len());
            Poll::Ready(Ok((!bytes.is_empty()).then(|| Bytes::copy_from_slice(bytes))))
        })
    }

    /// Says that nothing more will come, and drops what the client has said beyond: a socket that is closed over unread
    /// bytes takes back what it sent last.
    pub fn finish(&self) {
        let mut state = self.state.borrow_mut();
        let Ok(stream) = state.stream() else { return };
        let _ = socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write);
        let mut left = [0; 4_096];
        let mut rounds = READ_A_TURN / left.len();
        while rounds > 0 && stream.try_read(&mut left).is_ok_and(|read| read > 0) {
            rounds -= 1;
        }
    }
}

/// Sends what the kernel takes at once. It is asked first and tokio, which keeps a note of whether a socket can be
/// written to, only when it takes nothing: that note is a line of memory of its own for each socket.
fn send(stream: &TcpStream, frame: &Bytes, tail: &[u8]) -> io::Result<usize> {
    let socket = socket2::SockRef::from(stream);
    let parts = [IoSlice::new(frame), IoSlice::new(tail)];
    let sent = if tail.is_empty() { socket.send(frame) } else { socket.send_vectored(&parts) };
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.try_write_vectored(&parts),
        sent => sent,
    }
}

/// What follows the first `taken` bytes of a frame and its tail.
fn remainder(frame: &Bytes, tail: &[u8], taken: usize) -> Bytes {
    if tail.is_empty() {
        return frame.slice(taken..);
    }
    let left = [&frame[taken.min(frame.len())..], &tail[taken.saturating_sub(frame.len())..]];
    Bytes::from(left.concat())
}

/// A connection with little room for what is unsent, and its peer, which reads nothing until it is asked to.
#[cfg(test)]
pub(super) async fn test_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    socket2::SockRef::from(&accepted).set_send_buffer_size(4_096).unwrap();
    accepted.writable().await.unwrap();
    (accepted, peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::rc::Rc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (Rc<ClientSocket>, TcpStream) {
        let (accepted, peer) = test_pair().await;
        let socket = Rc::new(ClientSocket::default());
        socket.inherit(accepted, true);
        (socket, peer)
    }

    /// Writes frames of 1,000 bytes until the kernel takes no more; how many.
    fn fill(socket: &ClientSocket) -> usize {
        let frame = Bytes::from(vec![b'.'; 1_000]);
        let mut frames = 1;
        while socket.write(&frame, b"").unwrap() {
            frames += 1;
        }
        frames
    }

    async fn read(peer: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        peer.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_frame_and_its_tail_go_out_together() {
        let (socket, mut peer) = pair().await;
        assert!(socket.is_clear());
        assert!(socket.write(&Bytes::from_static(b"frame"), b"tail").unwrap());
        assert!(socket.is_clear());
        assert_eq!(read(&mut peer, 9).await, b"frametail");
    }

    #[tokio::test]
    async fn what_the_kernel_does_not_take_is_unsent_until_it_is_flushed() {
        let (socket, mut peer) = pair().await;
        let frames = fill(&socket);
        assert!(!socket.is_clear());
        let reading = tokio::spawn(async move { read(&mut peer, frames * 1_000 + 3).await });
        poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
        assert!(socket.is_clear());
        socket.write(&Bytes::from_static(b"end"), b"").unwrap();
        let came = reading.await.unwrap();
        assert!(came[..frames * 1_000].iter().all(|byte| *byte == b'.'));
        assert_eq!(&came[frames * 1_000..], b"end");
    }

    #[tokio::test]
    async fn no_turn_reads_more_than_its_share_and_the_end_is_none() {
        let (socket, mut peer) = pair().await;
        let said = vec![b'x'; READ_A_TURN + 10];
        tokio::spawn(async move { peer.write_all(&said).await.unwrap() });
        let mut turns = Vec::new();
        loop {
            socket.begin_turn();
            let mut read = 0;
            let mut is_end = false;
            while !socket.is_exhausted() {
                let bytes = poll_fn(|cx| socket.poll_read(cx)).await.unwrap();
                is_end = bytes.is_none();
                let Some(bytes) = bytes else { break };
                read += bytes.len();
            }
            turns.push(read);
            if is_end {
                break;
            }
            poll_fn(|cx| {
                assert!(socket.poll_read(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(turns, [READ_A_TURN, 10]);
    }

    #[tokio::test]
    async fn what_was_sent_last_arrives_although_the_client_has_said_more_than_was_read() {
        let (socket, mut peer) = pair().await;
        peer.write_all(&[b'x'; 5_000]).await.unwrap();
        socket.write(&Bytes::from_static(b"goodbye"), b"").unwrap();
        poll_fn(|cx| socket.state.borrow_mut().stream().unwrap().poll_read_ready(cx)).await.unwrap();
        socket.finish();
        drop(socket);
        let mut came = Vec::new();
        peer.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"goodbye");
    }

    #[test]
    fn the_remainder_of_a_frame_and_its_tail_begins_where_the_kernel_stopped() {
        let frame = Bytes::from_static(b"frame");
        assert_eq!(remainder(&frame, b"", 2), "ame");
        assert_eq!(remainder(&frame, b"tail", 2), "ametail");
        assert_eq!(remainder(&frame, b"tail", 5), "tail");
        assert_eq!(remainder(&frame, b"tail", 7), "il");
    }
}
