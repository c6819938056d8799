//! The guard's reading of WebSocket frames against a naive one: whatever the bytes and however they are cut.
#![no_main]

use bellwire::realtime::session::fault::Fault;
use bellwire::realtime::session::guard::FrameWatch;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 300;
const MAX_FRAGMENTS: usize = 5;

#[derive(Debug, Arbitrary)]
struct Input {
    parts: Vec<Part>,
    cut: u8,
}

#[derive(Debug, Arbitrary)]
enum Part {
    Frame { first: u8, mask: [u8; 4], payload: Vec<u8> },
    Text { last: bool, more: bool, text: String },
    Raw(Vec<u8>),
}

fuzz_target!(|input: Input| {
    let bytes: Vec<u8> = input.parts.iter().flat_map(encoded).collect();
    let expected = naive(&bytes);
    // One byte at a time no frame comes whole, so that all text is checked as it comes.
    assert_eq!(followed(&bytes, 1), expected);
    let verdict = followed(&bytes, usize::from(input.cut) + 1);
    match expected {
        // Text that comes whole is left to whoever reads it, and what follows may be wrong in another way.
        Err(Fault::NotUtf8) => {}
        other => assert_eq!(verdict, other),
    }
});

fn followed(bytes: &[u8], cut: usize) -> Result<(), Fault> {
    let mut watch = FrameWatch::new(MAX_BYTES, MAX_FRAGMENTS);
    bytes.chunks(cut).try_for_each(|chunk| watch.follow(chunk))
}

fn encoded(part: &Part) -> Vec<u8> {
    match part {
        Part::Frame { first, mask, payload } => frame(*first, *mask, payload),
        Part::Text { last, more, text } => {
            frame(u8::from(!more) | (u8::from(*last) << 7), [1, 2, 3, 4], text.as_bytes())
        }
        Part::Raw(bytes) => bytes.clone(),
    }
}

fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => bytes.push(0x80 | short as u8),
        Ok(long) => {
            bytes.push(0x80 | 126);
            bytes.extend(long.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Reads frame after frame with all bytes at hand, as RFC 6455 §5.2 draws them.
fn naive(mut bytes: &[u8]) -> Result<(), Fault> {
    let (mut total, mut fragments, mut text): (u64, usize, Option<Vec<u8>>) = (0, 0, None);
    while bytes.len() >= 2 {
        let (last, opcode, masked) = (bytes[0] >> 7 == 1, bytes[0] & 15, bytes[1] >> 7 == 1);
        let size = match bytes[1] & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = 2 + size + if masked { 4 } else { 0 };
        if bytes.len() < head {
            return Ok(());
        }
        let length = match size {
            0 => u64::from(bytes[1] & 127),
            2 => u64::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())),
            _ => u64::from_be_bytes(bytes[2..10].try_into().unwrap()),
        };
        let mask: [u8; 4] = if masked { bytes[2 + size..head].try_into().unwrap() } else { [0; 4] };
        let there = (bytes.len() - head).min(usize::try_from(length).unwrap_or(usize::MAX));
        let complete = there as u64 == length;
        let payload = bytes[head..head + there].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        if opcode >= 8 {
            if length > 125 {
                return Err(Fault::NoFrame);
            }
        } else {
            if opcode != 0 {
                (total, fragments) = (0, 0);
                // With a reserved bit it is compressed, or wrong, and in neither case text yet.
                text = (opcode == 1 && bytes[0] & 0x70 == 0).then(Vec::new);
            }
            total = total.saturating_add(length);
            fragments += 1;
            if total > MAX_BYTES as u64 || fragments > MAX_FRAGMENTS {
                return Err(Fault::TooBig);
            }
            if let Some(text) = &mut text {
                text.extend(payload);
                if let Err(error) = std::str::from_utf8(text)
                    && (error.error_len().is_some() || (last && complete))
                {
                    return Err(Fault::NotUtf8);
                }
            }
            if last && complete {
                (total, fragments, text) = (0, 0, None);
            }
        }
        bytes = &bytes[head + there..];
        if !complete {
            return Ok(());
        }
    }
    Ok(())
}
