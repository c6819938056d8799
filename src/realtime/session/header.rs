//! `HeaderReader`: the headers of WebSocket frames (RFC 6455 §5.2), however their bytes are cut. Pure.

use bytes::{BufMut, BytesMut};

/// The header of one frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub last: bool,
    /// The three reserved bits; the first, 4, is permessage-deflate's.
    pub reserved: u8,
    /// 0 continuation, 1 text, 2 binary, from 8 control.
    pub opcode: u8,
    /// Whether the payload is masked, as all of a client's must be.
    pub masked: bool,
    /// Zeros if it is not.
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub length: u64,
}

impl Header {
    /// Whether it is a control frame, which may stand between the fragments of a message.
    pub const fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// Its bytes, in the shortest form.
    pub fn write(&self, out: &mut BytesMut) {
        let mask = u8::from(self.masked) << 7;
        out.put_u8(u8::from(self.last) << 7 | self.reserved << 4 | self.opcode);
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ 0..=125), _) => out.put_u8(mask | length),
            (_, Ok(length)) => {
                out.put_u8(mask | 0x7e);
                out.put_u16(length);
            }
            _ => {
                out.put_u8(mask | 0x7f);
                out.put_u64(self.length);
            }
        }
        if self.masked {
            out.put_slice(&self.mask);
        }
    }
}

/// Takes byte after byte until a header is whole.
#[derive(Debug, Default)]
pub struct HeaderReader {
    bytes: [u8; 14],
    filled: usize,
}

impl HeaderReader {
    /// Whether a header has begun.
    pub const fn is_open(&self) -> bool {
        self.filled > 0
    }

    /// Takes from `bytes` what belongs to the header; it, when that is all of it.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Option<Header> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(slot) = self.bytes.get_mut(self.filled) {
                *slot = byte;
            }
            self.filled += 1;
            if self.filled >= 2 && self.filled == self.length() {
                return Some(self.take());
            }
        }
        None
    }

    const fn is_masked(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    const fn length(&self) -> usize {
        let mask = if self.is_masked() { 4 } else { 0 };
        mask + match self.bytes[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn take(&mut self) -> Header {
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        let (first, second) = (self.bytes[0], self.bytes[1]);
        let length = match second & 0x7f {
            126 => big_endian(&self.bytes[2..4]),
            127 => big_endian(&self.bytes[2..10]),
            short => u64::from(short),
        };
        let masked = self.is_masked();
        let mask = self.bytes.get(self.filled.saturating_sub(4)..self.filled).filter(|_| masked);
        let mask = mask.and_then(|mask| mask.try_into().ok()).unwrap_or_default();
        self.filled = 0;
        Header {
            last: first & 0x80 != 0,
            reserved: (first >> 4) & 7,
            opcode: first & 15,
            masked,
            mask,
            length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_all_three_sizes_are_read() {
        for (bytes, length) in [
            (vec![0x81, 0x85, 0, 0, 0, 0], 5),
            (vec![0x81, 0xfe, 1, 2, 0, 0, 0, 0], 258),
            (vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 65_536),
        ] {
            let header = HeaderReader::default().read(&mut &bytes[..]).unwrap();
            assert_eq!(
                header,
                Header { last: true, reserved: 0, opcode: 1, masked: true, mask: [0; 4], length }
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_whatever_the_cuts(
            bits in (any::<bool>(), 0_u8..8, 0_u8..16), mask in proptest::option::of(any::<[u8; 4]>()),
            length: u64, short: bool, cut in 1_usize..14,
        ) {
            let (last, reserved, opcode) = bits;
            let length = if short { length % 70_000 } else { length };
            let (masked, mask) = (mask.is_some(), mask.unwrap_or_default());
            let header = Header { last, reserved, opcode, masked, mask, length };
            let (mut bytes, mut reader) = (BytesMut::new(), HeaderReader::default());
            header.write(&mut bytes);
            let read: Vec<_> = bytes.chunks(cut).filter_map(|mut chunk| reader.read(&mut chunk)).collect();
            prop_assert_eq!(&read[..], &[header][..]);
            prop_assert!(!reader.is_open());
        }
    }
}
