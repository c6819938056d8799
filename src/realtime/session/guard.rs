//! `Guard`: reads the WebSocket frame headers (RFC 6455 §5.2) of a byte stream as they pass, and ends it at
//! the first that declares more than a message may have. Without it a frame is buffered whole before its
//! length is compared with any limit: a few bytes of header could make us hold 400 MiB.

use bytes::Bytes;
use futures_util::Stream;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Follows the frames of one connection. Pure: bytes in, verdict out.
#[derive(Debug)]
pub struct FrameWatch {
    max_bytes: u64,
    max_fragments: u32,
    message_bytes: u64,
    fragments: u32,
    /// Payload bytes of the present frame that are still to come.
    skip: u64,
    header: [u8; 14],
    filled: usize,
}

impl FrameWatch {
    /// Messages of at most so many bytes in at most so many fragments.
    pub fn new(max_bytes: usize, max_fragments: usize) -> Self {
        Self {
            max_bytes: max_bytes as u64,
            max_fragments: u32::try_from(max_fragments).unwrap_or(u32::MAX),
            message_bytes: 0,
            fragments: 0,
            skip: 0,
            header: [0; 14],
            filled: 0,
        }
    }

    /// Follows these bytes; false as soon as a message is too big.
    pub fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let step = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(step..).unwrap_or_default();
                self.skip -= step as u64;
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if let Some(slot) = self.header.get_mut(self.filled) {
                *slot = byte;
            }
            self.filled += 1;
            if self.filled >= 2 && self.filled == self.header_length() && !self.frame_begins() {
                return false;
            }
        }
        true
    }

    fn header_length(&self) -> usize {
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        mask + match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn payload_length(&self) -> u64 {
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        match self.header[1] & 0x7f {
            126 => big_endian(&self.header[2..4]),
            127 => big_endian(&self.header[2..10]),
            short => u64::from(short),
        }
    }

    /// A header is complete: counts its frame to its message. False if that is too big now.
    fn frame_begins(&mut self) -> bool {
        let (length, last, opcode) =
            (self.payload_length(), self.header[0] & 0x80 != 0, self.header[0] & 0x0f);
        (self.filled, self.skip) = (0, length);
        if opcode >= 8 {
            // A control frame may stand between fragments; the codec refuses one over 125 bytes.
            return length <= 125;
        }
        if opcode != 0 {
            (self.message_bytes, self.fragments) = (0, 0);
        }
        self.message_bytes = self.message_bytes.saturating_add(length);
        self.fragments += 1;
        let fits = self.message_bytes <= self.max_bytes && self.fragments <= self.max_fragments;
        if last {
            (self.message_bytes, self.fragments) = (0, 0);
        }
        fits
    }
}

/// The stream of a connection's bytes, ended at the first message that is too big; `tripped` tells the
/// session why.
pub struct Guard<S> {
    inner: S,
    watch: FrameWatch,
    tripped: Rc<Cell<bool>>,
}

impl<S> Guard<S> {
    /// Guards `inner`.
    pub fn new(inner: S, watch: FrameWatch, tripped: Rc<Cell<bool>>) -> Self {
        Self { inner, watch, tripped }
    }
}

impl<S, E> Stream for Guard<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: From<std::io::Error>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.inner).poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(bytes))) if !self.watch.follow(bytes) => {
                self.tripped.set(true);
                let error = std::io::Error::new(std::io::ErrorKind::InvalidData, "message too big");
                Poll::Ready(Some(Err(error.into())))
            }
            _ => next,
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

    fn with_payload(opcode: u8, last: bool, length: usize) -> Vec<u8> {
        let mut bytes = header(opcode, last, length as u64);
        bytes.extend(std::iter::repeat_n(7, length));
        bytes
    }

    #[test]
    fn lengths_of_all_three_sizes_are_read() {
        for (header, expected) in [
            (vec![0x81, 0x85, 0, 0, 0, 0], 5),
            (vec![0x81, 0xfe, 1, 2, 0, 0, 0, 0], 258),
            (vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 65_536),
        ] {
            let mut watch = FrameWatch::new(usize::MAX, 1);
            assert!(watch.follow(&header));
            assert_eq!(watch.skip, expected);
        }
    }

    #[test]
    fn a_declared_400_mib_is_refused_at_its_header() {
        let mut watch = FrameWatch::new(65_536, 128);
        assert!(!watch.follow(&header(1, true, 400 << 20)));
    }

    #[test]
    fn fragments_count_together_and_a_new_message_starts_anew() {
        let mut watch = FrameWatch::new(10, 128);
        assert!(watch.follow(&with_payload(1, false, 6)));
        assert!(watch.follow(&with_payload(9, true, 100)));
        assert!(watch.follow(&with_payload(0, true, 4)));
        assert!(watch.follow(&with_payload(1, false, 6)));
        assert!(!watch.follow(&with_payload(0, true, 5)));
    }

    #[test]
    fn empty_fragments_are_counted_too() {
        let mut watch = FrameWatch::new(10, 3);
        assert!(watch.follow(&with_payload(1, false, 0)));
        assert!(watch.follow(&with_payload(0, false, 0)));
        assert!(watch.follow(&with_payload(0, false, 0)));
        assert!(!watch.follow(&with_payload(0, false, 0)));
    }

    #[test]
    fn a_big_control_frame_is_refused() {
        assert!(!FrameWatch::new(65_536, 128).follow(&header(9, true, 126)));
    }

    proptest! {
        /// However the bytes are cut into chunks, the verdict falls at the same frame.
        #[test]
        fn chunks_do_not_matter(
            lengths in proptest::collection::vec(0_usize..200, 1..20),
            cuts in proptest::collection::vec(1_usize..40, 1..50),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|n| with_payload(1, true, *n)).collect();
            let whole = FrameWatch::new(150, 128).follow(&stream);
            let mut watch = FrameWatch::new(150, 128);
            let (mut rest, mut cut, mut fits) = (&stream[..], cuts.iter().cycle(), true);
            while !rest.is_empty() && fits {
                let (chunk, tail) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                fits = watch.follow(chunk);
                rest = tail;
            }
            prop_assert_eq!(whole, fits);
            prop_assert_eq!(whole, lengths.iter().all(|n| *n <= 150));
        }
    }
}
