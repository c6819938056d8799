//! WebSocket frames as bytes (RFC 6455 §5.2), for those that are written past a session's own codec.

use actix_http::ws::{OpCode, Parser};
use bytes::{Bytes, BytesMut};

/// The longest head of a server's frame, which is not masked.
const HEAD: usize = 10;

/// A text message in one frame.
pub fn text(text: &str) -> Bytes {
    frame(text, OpCode::Text)
}

/// A ping with this payload.
pub fn ping(payload: [u8; 8]) -> Bytes {
    frame(payload, OpCode::Ping)
}

fn frame(payload: impl AsRef<[u8]>, code: OpCode) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.as_ref().len() + HEAD);
    Parser::write_message(&mut bytes, payload, code, true, false);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_head_by_the_length_of_its_payload_and_the_payload() {
        let head = |length: usize| text(&"x".repeat(length)).slice(..4);
        assert_eq!(text(""), [0x81, 0][..]);
        assert_eq!(text("abc"), [0x81, 3, b'a', b'b', b'c'][..]);
        assert_eq!(head(125), [0x81, 125, b'x', b'x'][..]);
        assert_eq!(head(126), [0x81, 126, 0, 126][..]);
        assert_eq!(head(65_535), [0x81, 126, 255, 255][..]);
        assert_eq!(text(&"x".repeat(65_536)).slice(..10), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0][..]);
        assert_eq!(ping(7_u64.to_be_bytes()), [0x89, 8, 0, 0, 0, 0, 0, 0, 0, 7][..]);
    }
}
