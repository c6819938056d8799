//! permessage-deflate: what clients send compressed, our own compression, and what they offer.
#![no_main]

use bellwire::realtime::session::deflate::{Deflater, Inflater};
use bellwire::realtime::session::extension::Agreement;
use bellwire::realtime::session::guard::FrameWatch;
use bellwire::realtime::session::header::{Header, HeaderReader};
use bytes::BytesMut;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 4_096;

#[derive(Debug, Arbitrary)]
enum Input {
    Raw { bytes: Vec<u8>, cut: u8 },
    Frames { frames: Vec<(u8, Vec<u8>)>, cut: u8 },
    Ours { messages: Vec<(Vec<u8>, u8)>, window: u8 },
    Offer(String),
}

fuzz_target!(|input: Input| match input {
    Input::Raw { bytes, cut } => inflate(&bytes, cut),
    Input::Frames { frames, cut } => {
        let mut bytes = BytesMut::new();
        for (first, payload) in frames {
            let length = payload.len() as u64;
            let (last, reserved, opcode) = (first >> 7 == 1, (first >> 4) & 7, first & 15);
            Header { last, reserved, opcode, masked: true, mask: [0; 4], length }.write(&mut bytes);
            bytes.extend(payload);
        }
        inflate(&bytes, cut);
    }
    Input::Ours { messages, window } => round_trip(&messages, window % 7 + 9),
    Input::Offer(offers) => {
        if let Some(agreement) = Agreement::reach(&offers) {
            assert!((9..=15).contains(&agreement.window_bits));
            assert_eq!(Agreement::reach(&agreement.header()), Some(agreement));
        }
    }
});

/// Whatever comes, no message is longer than the limit and all is whole frames of a client.
fn inflate(bytes: &[u8], cut: u8) {
    let mut watch = FrameWatch::new(MAX_BYTES, 16);
    let (mut inflater, mut plain) = (Inflater::new(MAX_BYTES), Vec::new());
    for chunk in bytes.chunks(usize::from(cut) + 1) {
        if watch.follow(chunk).is_err() {
            return;
        }
        match inflater.take(chunk) {
            Ok(bytes) => plain.extend_from_slice(&bytes),
            Err(_) => return,
        }
    }
    let (mut reader, mut rest) = (HeaderReader::default(), &plain[..]);
    while let Some(frame) = reader.read(&mut rest) {
        assert!(frame.length <= MAX_BYTES as u64);
        assert_eq!(frame.reserved & 4, 0);
        rest = rest.get(frame.length as usize..).unwrap_or_default();
    }
    assert!(!reader.is_open());
}

fn round_trip(messages: &[(Vec<u8>, u8)], window: u8) {
    let mut frames = BytesMut::new();
    let expected: Vec<Vec<u8>> =
        messages.iter().map(|(text, times)| text.repeat(usize::from(*times) % 20)).collect();
    let expected: Vec<Vec<u8>> = expected.into_iter().filter(|message| message.len() <= MAX_BYTES).collect();
    for message in &expected {
        Header { last: true, opcode: 2, length: message.len() as u64, ..Header::default() }
            .write(&mut frames);
        frames.extend_from_slice(message);
    }
    let sent = Deflater::new(window).take(&frames.freeze());
    let (mut reader, mut rest, mut client) = (HeaderReader::default(), &sent[..], BytesMut::new());
    while let Some(frame) = reader.read(&mut rest) {
        let (payload, behind) = rest.split_at(frame.length as usize);
        rest = behind;
        Header { masked: true, ..frame }.write(&mut client);
        client.extend_from_slice(payload);
    }
    let plain = Inflater::new(MAX_BYTES).take(&client).expect("our own compression is read");
    let (mut rest, mut found) = (&plain[..], Vec::new());
    while let Some(frame) = reader.read(&mut rest) {
        let (payload, behind) = rest.split_at(frame.length as usize);
        rest = behind;
        found.push(payload.to_vec());
    }
    assert_eq!(found, expected);
}
