//! `ClientStream`: a client's socket, as the HTTP dispatcher reads and writes it, and its [`DirectWriter`], by which
//! whole frames go past the dispatcher while nothing stands unsent.
//!
//! Everything here stays on the connection's thread. The dispatcher writes whatever it holds at the end of each of
//! its turns, so between two turns it is known here what is left of that; when it is nothing, a frame that is
//! written past it cannot come between two halves of another. What the kernel does not take of such a frame is
//! kept, goes out before anything else, and until then nothing more is written past.

use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The dispatcher's end.
#[derive(Debug)]
pub struct ClientStream(Rc<DirectWriter>);

/// What a session is told of the socket that it lives on.
#[derive(Debug, Clone)]
pub struct SocketHandle {
    /// Its number, while the connection lasts.
    pub descriptor: RawFd,
    /// The way past the dispatcher; gone when that has let go of the stream.
    pub writer: Weak<DirectWriter>,
}

/// The way past the dispatcher, for others on the thread.
#[derive(Debug)]
pub struct DirectWriter {
    stream: RefCell<TcpStream>,
    /// Bytes that the dispatcher has offered and the kernel has not taken.
    held: Cell<usize>,
    /// The end of a frame that was written past the dispatcher.
    rest: RefCell<Bytes>,
}

impl ClientStream {
    /// Of an accepted connection.
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(DirectWriter {
            stream: RefCell::new(stream),
            held: Cell::new(0),
            rest: RefCell::new(Bytes::new()),
        }))
    }

    /// What its session is to know of it.
    pub fn handle(&self) -> SocketHandle {
        let descriptor = self.0.stream.borrow().as_raw_fd();
        SocketHandle { descriptor, writer: Rc::downgrade(&self.0) }
    }
}

impl DirectWriter {
    /// Whether all that was to be written is with the kernel: only then may a frame be written past.
    pub fn is_clear(&self) -> bool {
        self.held.get() == 0 && self.rest.borrow().is_empty()
    }

    /// Writes a frame and what follows it, when it is clear. False if a rest is left: whoever polls the
    /// connection must have a turn soon, which writes it. An error means that the connection is over, of which the
    /// dispatcher learns by itself.
    pub fn write_past(&self, frame: &Bytes, tail: &[u8]) -> io::Result<bool> {
        let stream = self.stream.borrow();
        let taken = if tail.is_empty() {
            stream.try_write(frame)
        } else {
            stream.try_write_vectored(&[IoSlice::new(frame), IoSlice::new(tail)])
        };
        let taken = match taken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if taken == frame.len() + tail.len() {
            return Ok(true);
        }
        *self.rest.borrow_mut() = remainder(frame, tail, taken);
        Ok(false)
    }

    fn poll_stream<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> T) -> T {
        poll(Pin::new(&mut self.stream.borrow_mut()))
    }

    fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        while !rest.is_empty() {
            let taken = ready!(self.poll_stream(|stream| stream.poll_write(cx, &rest)))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.advance(taken);
        }
        Poll::Ready(Ok(()))
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

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_stream(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let writer = &self.0;
        // All of it is held until it is known what the kernel takes.
        writer.held.set(buf.len());
        ready!(writer.poll_rest(cx))?;
        let taken = ready!(writer.poll_stream(|stream| stream.poll_write(cx, buf)))?;
        writer.held.set(buf.len() - taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_rest(cx))?;
        self.0.poll_stream(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A stream whose peer reads nothing until it is asked to.
    async fn pair() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        socket2::SockRef::from(&accepted).set_send_buffer_size(4_096).unwrap();
        accepted.writable().await.unwrap();
        (ClientStream::new(accepted), peer)
    }

    /// Writes frames of 1,000 bytes past the dispatcher until the kernel takes no more; how many.
    fn fill(writer: &DirectWriter) -> usize {
        let frame = Bytes::from(vec![b'.'; 1_000]);
        let mut frames = 1;
        while writer.write_past(&frame, b"").unwrap() {
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
    async fn a_frame_and_its_tail_go_past_the_dispatcher() {
        let (stream, mut peer) = pair().await;
        let writer = stream.handle().writer.upgrade().unwrap();
        assert!(writer.is_clear());
        assert!(writer.write_past(&Bytes::from_static(b"frame"), b"tail").unwrap());
        assert!(writer.is_clear());
        assert_eq!(read(&mut peer, 9).await, b"frametail");
    }

    #[tokio::test]
    async fn what_the_kernel_does_not_take_goes_out_before_what_the_dispatcher_writes_next() {
        let (mut stream, mut peer) = pair().await;
        let writer = stream.handle().writer.upgrade().unwrap();
        let frames = fill(&writer);
        assert!(!writer.is_clear());
        let reading = tokio::spawn(async move { read(&mut peer, frames * 1_000 + 3).await });
        stream.write_all(b"end").await.unwrap();
        assert!(writer.is_clear());
        let came = reading.await.unwrap();
        assert!(came[..frames * 1_000].iter().all(|byte| *byte == b'.'));
        assert_eq!(&came[frames * 1_000..], b"end");
    }

    #[tokio::test]
    async fn a_flush_writes_the_rest_and_clears_the_line() {
        let (mut stream, mut peer) = pair().await;
        let writer = stream.handle().writer.upgrade().unwrap();
        let frames = fill(&writer);
        let reading = tokio::spawn(async move { read(&mut peer, frames * 1_000).await });
        stream.flush().await.unwrap();
        assert!(writer.is_clear());
        reading.await.unwrap();
    }

    #[tokio::test]
    async fn the_line_is_not_clear_while_the_dispatcher_has_something_unsent() {
        let (mut stream, _peer) = pair().await;
        let writer = stream.handle().writer.upgrade().unwrap();
        let piece = vec![0; 1_000_000];
        let offer = poll_fn(|cx| {
            while Pin::new(&mut stream).poll_write(cx, &piece).is_ready() {}
            Poll::Ready(())
        });
        offer.await;
        assert!(!writer.is_clear());
    }

    #[test]
    fn the_remainder_of_a_frame_and_its_tail_begins_where_the_kernel_stopped() {
        let frame = Bytes::from_static(b"frame");
        assert_eq!(remainder(&frame, b"", 2), "ame");
        assert_eq!(remainder(&frame, b"tail", 2), "ametail");
        assert_eq!(remainder(&frame, b"tail", 5), "tail");
        assert_eq!(remainder(&frame, b"tail", 7), "il");
    }

    #[tokio::test]
    async fn a_line_is_gone_with_its_wire() {
        let (stream, _peer) = pair().await;
        let writer = stream.handle().writer;
        drop(stream);
        assert!(writer.upgrade().is_none());
    }
}
