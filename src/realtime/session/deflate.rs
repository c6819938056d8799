//! `Inflater` and `Deflater`: WebSocket frames, compressed one message at a time (RFC 7692 §7.2), made plain on
//! their way in and compressed on their way out. Bytes in, bytes out.
//!
//! A connection holds nothing between messages: each begins anew, in a compressor that all connections of a
//! thread share. What goes to many is compressed once: the thread remembers its latest messages.

use super::fault::Fault;
use super::header::{Header, HeaderReader};
use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

/// The reserved bit that says "compressed".
const COMPRESSED: u8 = 4;
/// What every compressed message ends with, and is sent without.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Messages below this are sent as they are: the gain would be a few bytes.
const WORTH_WHILE: usize = 96;
/// Messages that a thread remembers the compressed form of.
const REMEMBERED: usize = 4;
/// Messages above this are not remembered.
const MEMORABLE: usize = 65_536;

/// Makes the compressed messages of a client plain.
#[derive(Debug)]
pub struct Inflater {
    max_bytes: usize,
    reader: HeaderReader,
    frame: Header,
    /// Payload bytes of the present frame that are still to come.
    left: u64,
    /// The compressed message in the making, and its opcode.
    message: Option<(u8, Vec<u8>)>,
}

impl Inflater {
    /// For messages of at most so many bytes, both before and after.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, reader: HeaderReader::default(), frame: Header::default(), left: 0, message: None }
    }

    /// Whether the present frame belongs to a compressed message.
    fn collects(&self) -> bool {
        !self.frame.is_control() && self.message.is_some()
    }

    /// Takes the client's bytes and gives those that it would have sent without compression.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<Bytes, Fault> {
        let mut plain = BytesMut::new();
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some(frame) = self.reader.read(&mut bytes) else { break };
                self.begin(frame, &mut plain)?;
            } else {
                let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(step);
                bytes = rest;
                self.payload(payload, &mut plain)?;
            }
        }
        Ok(plain.freeze())
    }

    fn begin(&mut self, mut frame: Header, plain: &mut BytesMut) -> Result<(), Fault> {
        if frame.reserved & COMPRESSED != 0 {
            // On the first frame of a message of text or bytes, and nowhere else.
            if !matches!(frame.opcode, 1 | 2) {
                return Err(Fault::NoFrame);
            }
            if self.message.is_some() {
                return Err(Fault::OutOfPlace);
            }
            self.message = Some((frame.opcode, Vec::new()));
            frame.reserved &= !COMPRESSED;
        } else if self.message.is_some() && !frame.is_control() && frame.opcode != 0 {
            return Err(Fault::OutOfPlace);
        }
        (self.frame, self.left) = (frame, frame.length);
        if !self.collects() {
            frame.write(plain);
        } else if frame.reserved != 0 || !frame.masked {
            return Err(Fault::NoFrame);
        }
        if self.left == 0 { self.end(plain) } else { Ok(()) }
    }

    fn payload(&mut self, masked: &[u8], plain: &mut BytesMut) -> Result<(), Fault> {
        self.left -= masked.len() as u64;
        let mask = self.frame.mask;
        match &mut self.message {
            Some((_, message)) if !self.frame.is_control() => {
                if message.len() + masked.len() > self.max_bytes {
                    return Err(Fault::TooBig);
                }
                message.extend(masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
                self.frame.mask.rotate_left(masked.len() % 4);
            }
            _ => plain.extend_from_slice(masked),
        }
        if self.left == 0 { self.end(plain) } else { Ok(()) }
    }

    fn end(&mut self, plain: &mut BytesMut) -> Result<(), Fault> {
        if !self.collects() || !self.frame.last {
            return Ok(());
        }
        let Some((opcode, mut message)) = self.message.take() else { return Ok(()) };
        message.extend(TAIL);
        let message = inflate(&message, self.max_bytes)?;
        let length = message.len() as u64;
        // A mask that changes nothing, as the codec wants one.
        Header { last: true, opcode, masked: true, length, ..Header::default() }.write(plain);
        plain.extend_from_slice(&message);
        Ok(())
    }
}

fn inflate(compressed: &[u8], max_bytes: usize) -> Result<Vec<u8>, Fault> {
    thread_local!(static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false)));
    DECOMPRESS.with_borrow_mut(|stream| {
        stream.reset(false);
        let mut plain = Vec::new();
        loop {
            let room = (compressed.len() * 4).max(1_024).min(max_bytes + 1 - plain.len());
            plain.reserve_exact(room);
            let (read, wrote) = (usize::try_from(stream.total_in()).unwrap_or(usize::MAX), plain.len());
            let rest = compressed.get(read..).unwrap_or_default();
            let status = stream.decompress_vec(rest, &mut plain, FlushDecompress::Sync);
            if plain.len() > max_bytes {
                return Err(Fault::TooBig);
            }
            let stuck = stream.total_in() == read as u64 && plain.len() == wrote;
            match status {
                Ok(Status::StreamEnd) => return Ok(plain),
                Ok(_) if stream.total_in() == compressed.len() as u64 && plain.len() < plain.capacity() => {
                    return Ok(plain);
                }
                Ok(_) if !stuck => {}
                _ => return Err(Fault::NoFrame),
            }
        }
    })
}

/// Compresses what goes to a client.
#[derive(Debug)]
pub struct Deflater {
    window_bits: u8,
}

impl Deflater {
    /// Within this window.
    pub const fn new(window_bits: u8) -> Self {
        Self { window_bits }
    }

    /// Takes whole frames, without masks, and gives those that are worth it compressed.
    pub fn take(&self, frames: &Bytes) -> Bytes {
        let (mut out, mut rest) = (BytesMut::with_capacity(frames.len()), &frames[..]);
        let mut reader = HeaderReader::default();
        loop {
            let before = rest;
            let Some(frame) = reader.read(&mut rest) else { break };
            let length = usize::try_from(frame.length).unwrap_or(usize::MAX).min(rest.len());
            let (payload, behind) = rest.split_at(length);
            rest = behind;
            let worth_while = frame.last && matches!(frame.opcode, 1 | 2) && length >= WORTH_WHILE;
            match worth_while.then(|| deflated(payload, self.window_bits)).flatten() {
                Some(compressed) => {
                    let length = compressed.len() as u64;
                    Header { reserved: COMPRESSED, length, ..frame }.write(&mut out);
                    out.extend_from_slice(&compressed);
                }
                None => out.extend_from_slice(before.get(..before.len() - rest.len()).unwrap_or_default()),
            }
        }
        out.freeze()
    }
}

/// The compressors of a thread, one a size of window, and its latest messages.
#[derive(Default)]
struct Shared {
    compressors: HashMap<u8, Compress>,
    latest: VecDeque<Remembered>,
}

struct Remembered {
    window_bits: u8,
    plain: Box<[u8]>,
    compressed: Option<Bytes>,
}

/// The payload compressed, if that is shorter.
fn deflated(payload: &[u8], window_bits: u8) -> Option<Bytes> {
    thread_local!(static SHARED: RefCell<Shared> = RefCell::default());
    SHARED.with_borrow_mut(|shared| {
        let same = |known: &&Remembered| known.window_bits == window_bits && *known.plain == *payload;
        if let Some(known) = shared.latest.iter().find(same) {
            return known.compressed.clone();
        }
        let compressor = shared
            .compressors
            .entry(window_bits)
            .or_insert_with(|| Compress::new_with_window_bits(Compression::fast(), false, window_bits));
        let compressed = compress(compressor, payload);
        if payload.len() <= MEMORABLE {
            shared.latest.truncate(REMEMBERED - 1);
            let plain = payload.into();
            shared.latest.push_front(Remembered { window_bits, plain, compressed: compressed.clone() });
        }
        compressed
    })
}

fn compress(stream: &mut Compress, payload: &[u8]) -> Option<Bytes> {
    stream.reset();
    // More than that is no gain; the tail goes again.
    let mut compressed = Vec::with_capacity(payload.len() + TAIL.len());
    stream.compress_vec(payload, &mut compressed, FlushCompress::Sync).ok()?;
    let whole = stream.total_in() == payload.len() as u64 && compressed.len() < compressed.capacity();
    let shorter = compressed.strip_suffix(&TAIL)?;
    (whole && shorter.len() < payload.len()).then(|| Bytes::copy_from_slice(shorter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: [u8; 4] = [9, 8, 7, 6];

    /// A client's frame.
    fn frame(last: bool, reserved: u8, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u64;
        let mut bytes = BytesMut::new();
        Header { last, reserved, opcode, masked: true, mask: MASK, length }.write(&mut bytes);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes.to_vec()
    }

    /// What our own deflate makes of it.
    fn compressed(text: &[u8]) -> Vec<u8> {
        compress(&mut Compress::new(Compression::fast(), false), text).unwrap().to_vec()
    }

    /// The payloads of the data frames in these bytes, unmasked.
    fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut reader, mut found) = (HeaderReader::default(), Vec::new());
        while let Some(head) = reader.read(&mut bytes) {
            let (payload, rest) = bytes.split_at(usize::try_from(head.length).unwrap());
            bytes = rest;
            if !head.is_control() {
                found.push(payload.iter().zip(head.mask.iter().cycle()).map(|(b, m)| b ^ m).collect());
            }
        }
        found
    }

    #[test]
    fn a_compressed_message_in_fragments_with_a_ping_between_becomes_one_plain_frame() {
        let text = "so much of the same, ".repeat(20);
        let small = compressed(text.as_bytes());
        let (head, tail) = small.split_at(5);
        let bytes = [
            frame(false, COMPRESSED, 1, head),
            frame(true, 0, 9, b"ping"),
            frame(true, 0, 0, tail),
            frame(true, 0, 1, b"plain"),
        ]
        .concat();
        for cut in [1, 3, 1_000] {
            let mut inflater = Inflater::new(1_000);
            let plain: Vec<u8> = bytes.chunks(cut).flat_map(|part| inflater.take(part).unwrap()).collect();
            assert_eq!(messages(&plain), [text.as_bytes(), b"plain"], "{cut}");
            assert!(plain.windows(10).any(|w| w == frame(true, 0, 9, b"ping")), "{cut}");
        }
    }

    #[test]
    fn a_bomb_is_too_big_however_small_it_came() {
        let bomb = compressed(&vec![0; 4_000_000]);
        assert!(bomb.len() < 65_536, "{}", bomb.len());
        assert_eq!(Inflater::new(65_536).take(&frame(true, COMPRESSED, 2, &bomb)), Err(Fault::TooBig));
        let just = compressed(&vec![7; 65_536]);
        assert!(Inflater::new(65_536).take(&frame(true, COMPRESSED, 2, &just)).is_ok());
        let over = compressed(&vec![7; 65_537]);
        assert_eq!(Inflater::new(65_536).take(&frame(true, COMPRESSED, 2, &over)), Err(Fault::TooBig));
    }

    #[test]
    fn the_bit_stands_on_the_first_frame_of_a_message_alone_and_what_follows_is_deflate() {
        let wrong = [
            (frame(true, COMPRESSED, 9, b""), Fault::NoFrame),
            (frame(true, COMPRESSED, 0, b"x"), Fault::NoFrame),
            (frame(true, COMPRESSED | 1, 1, b"x"), Fault::NoFrame),
            (frame(true, COMPRESSED, 1, b"\xff\xff\xff\xff"), Fault::NoFrame),
            ([frame(false, COMPRESSED, 1, b"x"), frame(true, 0, 1, b"x")].concat(), Fault::OutOfPlace),
            (
                [frame(false, COMPRESSED, 1, b"x"), frame(true, COMPRESSED, 1, b"x")].concat(),
                Fault::OutOfPlace,
            ),
        ];
        for (bytes, fault) in wrong {
            assert_eq!(Inflater::new(100).take(&bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn what_would_grow_and_what_is_short_goes_as_it_is() {
        let noise: Vec<u8> =
            (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        for payload in [&noise[..], b"short"] {
            let mut bytes = BytesMut::new();
            Header { last: true, opcode: 2, length: payload.len() as u64, ..Header::default() }
                .write(&mut bytes);
            bytes.extend_from_slice(payload);
            let bytes = bytes.freeze();
            assert_eq!(Deflater::new(15).take(&bytes), bytes);
        }
    }

    proptest! {
        /// What we compress a client's deflate makes plain again, in any window and beside any other frames.
        #[test]
        fn what_goes_out_is_what_was_said(
            texts in proptest::collection::vec("[a-d]{0,300}", 1..6), window_bits in 9_u8..=15,
        ) {
            let mut frames = BytesMut::new();
            for text in &texts {
                let length = text.len() as u64;
                Header { last: true, opcode: 1, length, ..Header::default() }.write(&mut frames);
                frames.extend_from_slice(text.as_bytes());
            }
            let out = Deflater::new(window_bits).take(&frames.freeze());
            // Masked as a client's, it can be given to our own reader.
            let (mut rest, mut reader, mut client) = (&out[..], HeaderReader::default(), BytesMut::new());
            while let Some(head) = reader.read(&mut rest) {
                let (payload, behind) = rest.split_at(usize::try_from(head.length).unwrap());
                rest = behind;
                Header { masked: true, ..head }.write(&mut client);
                client.extend_from_slice(payload);
            }
            let plain = Inflater::new(1_000).take(&client).unwrap();
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(messages(&plain), texts);
        }

        #[test]
        fn no_bytes_panic_the_inflater(bytes: Vec<u8>, cut in 1_usize..9) {
            let mut inflater = Inflater::new(1_000);
            let _ = bytes.chunks(cut).try_for_each(|part| inflater.take(part).map(drop));
        }
    }
}
