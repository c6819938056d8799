//! `Guard`: reads the WebSocket frames (RFC 6455 §5.2) of a byte stream as they pass, and ends it at the first
//! that declares more than a message may have, or that brings a byte which no text can have there. Without it a
//! frame is buffered whole before its length is compared with any limit: a few bytes of header could make us
//! hold 400 MiB.

use super::deflate::Inflater;
use super::fault::Fault;
use super::header::{Header, HeaderReader};
use super::utf8::Utf8;
use crate::realtime::link::{CoarseClock, Link};
use bytes::Bytes;
use futures_util::Stream;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

const TEXT: u8 = 1;

/// Follows the frames of one connection. Pure: bytes in, verdict out.
#[derive(Debug)]
pub struct FrameWatch {
    max_bytes: u64,
    max_fragments: u32,
    message_bytes: u64,
    fragments: u32,
    reader: HeaderReader,
    /// The present frame; its mask is turned to its next payload byte.
    frame: Header,
    /// Payload bytes of the present frame that are still to come.
    left: u64,
    /// The check of the present message, if it is text that comes in pieces: what comes whole is checked when
    /// it is read.
    text: Option<Utf8>,
    /// Messages, and control frames between them, that have ended.
    ended: u64,
}

impl FrameWatch {
    /// Messages of at most so many bytes in at most so many fragments.
    pub fn new(max_bytes: usize, max_fragments: usize) -> Self {
        Self {
            max_bytes: max_bytes as u64,
            max_fragments: u32::try_from(max_fragments).unwrap_or(u32::MAX),
            message_bytes: 0,
            fragments: 0,
            reader: HeaderReader::default(),
            frame: Header::default(),
            left: 0,
            text: None,
            ended: 0,
        }
    }

    /// Whether a frame or a message has begun and not ended.
    pub const fn is_open(&self) -> bool {
        self.reader.is_open() || self.left > 0 || self.fragments > 0
    }

    /// How many messages, and control frames between them, have ended.
    pub const fn ended(&self) -> u64 {
        self.ended
    }

    /// Follows these bytes up to the first fault.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(step);
                bytes = rest;
                self.payload(payload)?;
            } else if let Some(frame) = self.reader.read(&mut bytes) {
                self.frame_begins(frame, bytes.len())?;
            }
        }
        Ok(())
    }

    /// A header is complete, and so many bytes behind it are there: counts its frame to its message.
    fn frame_begins(&mut self, frame: Header, there: usize) -> Result<(), Fault> {
        (self.frame, self.left) = (frame, frame.length);
        if frame.is_control() {
            // It may stand between fragments.
            if frame.length > 125 {
                return Err(Fault::NoFrame);
            }
        } else {
            if frame.opcode != 0 {
                (self.message_bytes, self.fragments) = (0, 0);
                let whole = frame.last && frame.length <= there as u64;
                // With a bit set it is compressed, or wrong.
                self.text = (frame.opcode == TEXT && frame.reserved == 0 && !whole).then(Utf8::default);
            }
            self.message_bytes = self.message_bytes.saturating_add(frame.length);
            self.fragments += 1;
            if self.message_bytes > self.max_bytes || self.fragments > self.max_fragments {
                return Err(Fault::TooBig);
            }
        }
        if self.left == 0 { self.frame_ends() } else { Ok(()) }
    }

    fn payload(&mut self, masked: &[u8]) -> Result<(), Fault> {
        self.left -= masked.len() as u64;
        if !self.frame.is_control()
            && let Some(text) = &mut self.text
        {
            let mut plain = [0; 512];
            for piece in masked.chunks(plain.len()) {
                let mask = self.frame.mask.iter().cycle();
                plain.iter_mut().zip(piece).zip(mask).for_each(|((slot, byte), mask)| *slot = byte ^ mask);
                if !text.more(plain.get(..piece.len()).unwrap_or_default()) {
                    return Err(Fault::NotUtf8);
                }
                self.frame.mask.rotate_left(piece.len() % 4);
            }
        }
        if self.left == 0 { self.frame_ends() } else { Ok(()) }
    }

    fn frame_ends(&mut self) -> Result<(), Fault> {
        if self.frame.is_control() {
            // One inside a message does not bring that any nearer to its end.
            self.ended += u64::from(self.fragments == 0);
        } else if self.frame.last {
            (self.message_bytes, self.fragments) = (0, 0);
            self.ended += 1;
            if self.text.take().is_some_and(|text| !text.is_whole()) {
                return Err(Fault::NotUtf8);
            }
        }
        Ok(())
    }
}

/// The stream of a connection's bytes, ended at the first fault; `fault` tells the session which.
pub struct Guard<S> {
    inner: S,
    watch: FrameWatch,
    /// When messages may be compressed.
    inflater: Option<Box<Inflater>>,
    fault: Rc<Cell<Option<Fault>>>,
    link: Arc<Link>,
    clock: Arc<CoarseClock>,
}

impl<S> Guard<S> {
    /// Guards `inner`, whose session is seen from outside through this link.
    pub fn new(
        inner: S,
        watch: FrameWatch,
        inflater: Option<Box<Inflater>>,
        fault: Rc<Cell<Option<Fault>>>,
        link: Arc<Link>,
        clock: Arc<CoarseClock>,
    ) -> Self {
        Self { inner, watch, inflater, fault, link, clock }
    }

    fn pass(&mut self, bytes: Bytes) -> Result<Bytes, Fault> {
        let before = self.watch.ended();
        self.watch.follow(&bytes)?;
        if self.watch.ended() != before {
            self.link.message_ended();
        }
        if self.watch.is_open() {
            self.link.message_begun(self.clock.ticks());
        }
        match &mut self.inflater {
            Some(inflater) => inflater.take(&bytes),
            None => Ok(bytes),
        }
    }
}

impl<S, E> Stream for Guard<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: From<std::io::Error>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.inner).poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(self.pass(bytes).map_err(|fault| {
                self.fault.set(Some(fault));
                std::io::Error::new(std::io::ErrorKind::InvalidData, fault.ending().reason).into()
            }))),
            // A connection that broke off has ended: nobody is there to be told of an error.
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A masked frame's header.
    fn header(opcode: u8, last: bool, length: u64) -> Vec<u8> {
        let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
        if length <= 125 {
            bytes.extend(u8::try_from(length).map(|short| 0x80 | short));
        } else {
            bytes.push(0x80 | 0x7f);
            bytes.extend(length.to_be_bytes());
        }
        bytes.extend([0; 4]);
        bytes
    }

    fn follows(watch: &mut FrameWatch, bytes: &[u8]) -> bool {
        watch.follow(bytes).is_ok()
    }

    /// A frame with this payload, masked.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 200];
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn with_payload(opcode: u8, last: bool, length: usize) -> Vec<u8> {
        let mut bytes = header(opcode, last, length as u64);
        bytes.extend(std::iter::repeat_n(7, length));
        bytes
    }

    #[test]
    fn a_declared_400_mib_is_refused_at_its_header() {
        let mut watch = FrameWatch::new(65_536, 128);
        assert!(!follows(&mut watch, &header(1, true, 400 << 20)));
    }

    #[test]
    fn fragments_count_together_and_a_new_message_starts_anew() {
        let mut watch = FrameWatch::new(10, 128);
        assert!(follows(&mut watch, &with_payload(1, false, 6)));
        assert!(follows(&mut watch, &with_payload(9, true, 100)));
        assert!(follows(&mut watch, &with_payload(0, true, 4)));
        assert!(follows(&mut watch, &with_payload(1, false, 6)));
        assert!(!follows(&mut watch, &with_payload(0, true, 5)));
    }

    #[test]
    fn empty_fragments_are_counted_too() {
        let mut watch = FrameWatch::new(10, 3);
        assert!(follows(&mut watch, &with_payload(1, false, 0)));
        assert!(follows(&mut watch, &with_payload(0, false, 0)));
        assert!(follows(&mut watch, &with_payload(0, false, 0)));
        assert!(!follows(&mut watch, &with_payload(0, false, 0)));
    }

    #[test]
    fn a_big_control_frame_is_refused() {
        assert_eq!(FrameWatch::new(65_536, 128).follow(&header(9, true, 126)), Err(Fault::NoFrame));
    }

    #[test]
    fn a_byte_that_no_text_can_have_is_found_before_its_frame_or_message_is_whole() {
        let frame = masked(0x81, &["κόσμε ".as_bytes(), b"\xf4\x90 and more"].concat());
        let good = 6 + "κόσμε ".len() + 1;
        let mut watch = FrameWatch::new(100, 100);
        assert_eq!(watch.follow(&frame[..good]), Ok(()));
        assert_eq!(watch.follow(&frame[good..=good]), Err(Fault::NotUtf8));
        let mut watch = FrameWatch::new(100, 100);
        assert_eq!(watch.follow(&masked(0x01, b"a\xce")), Ok(()));
        assert_eq!(watch.follow(&masked(0x89, b"\xff")), Ok(()), "a ping is no text");
        assert_eq!(watch.follow(&masked(0x00, b"\xba\xce")), Ok(()));
        assert_eq!(watch.follow(&masked(0x80, b"")), Err(Fault::NotUtf8), "it ends within a character");
        let mut watch = FrameWatch::new(100, 100);
        assert_eq!(watch.follow(&masked(0x02, b"\xff")), Ok(()), "binary is anything");
    }

    #[test]
    fn a_message_is_open_from_its_first_byte_to_its_last_whatever_pings_come_between() {
        let mut watch = FrameWatch::new(100, 100);
        assert!(!watch.is_open());
        watch.follow(&[0x81]).unwrap();
        assert!(watch.is_open());
        watch.follow(&[0x80, 0, 0, 0, 0]).unwrap();
        assert_eq!((watch.is_open(), watch.ended()), (false, 1));
        watch.follow(&masked(0x01, b"a")).unwrap();
        watch.follow(&masked(0x89, b"")).unwrap();
        assert_eq!((watch.is_open(), watch.ended()), (true, 1));
        watch.follow(&masked(0x80, b"")).unwrap();
        assert_eq!((watch.is_open(), watch.ended()), (false, 2));
    }

    proptest! {
        /// However the bytes are cut into chunks, the verdict falls at the same frame.
        #[test]
        fn chunks_do_not_matter(
            lengths in proptest::collection::vec(0_usize..200, 1..20),
            cuts in proptest::collection::vec(1_usize..40, 1..50),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|n| with_payload(1, true, *n)).collect();
            let whole = follows(&mut FrameWatch::new(150, 128), &stream);
            let mut watch = FrameWatch::new(150, 128);
            let (mut rest, mut cut, mut fits) = (&stream[..], cuts.iter().cycle(), true);
            while !rest.is_empty() && fits {
                let (chunk, tail) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                fits = follows(&mut watch, chunk);
                rest = tail;
            }
            prop_assert_eq!(whole, fits);
            prop_assert_eq!(whole, lengths.iter().all(|n| *n <= 150));
        }
    }
}
