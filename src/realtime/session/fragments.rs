//! `Fragments`: joins a fragmented message (RFC 6455 §5.4) up to a limit and not beyond. Pure.

use super::fault::Fault;
use bytes::BytesMut;

/// A message in the making.
#[derive(Debug)]
pub struct Fragments {
    parts: Option<Parts>,
    max_bytes: usize,
    max_parts: usize,
}

#[derive(Debug)]
struct Parts {
    text: bool,
    bytes: BytesMut,
    count: usize,
}

impl Fragments {
    /// Messages of at most so many bytes in at most so many fragments.
    pub const fn new(max_bytes: usize, max_parts: usize) -> Self {
        Self { parts: None, max_bytes, max_parts }
    }

    /// Whether a message is in the making, so that a whole one would be out of place.
    pub const fn is_open(&self) -> bool {
        self.parts.is_some()
    }

    /// The first fragment of a text or binary message.
    pub fn first(&mut self, text: bool, bytes: &[u8]) -> Result<(), Fault> {
        if self.is_open() {
            return Err(Fault::OutOfPlace);
        }
        self.parts = Some(Parts { text, bytes: BytesMut::new(), count: 0 });
        self.more(bytes)
    }

    /// A further fragment.
    pub fn more(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let parts = self.parts.as_mut().ok_or(Fault::OutOfPlace)?;
        parts.count += 1;
        if parts.count > self.max_parts || parts.bytes.len() + bytes.len() > self.max_bytes {
            return Err(Fault::TooBig);
        }
        parts.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The last fragment: the whole message, and whether it is text.
    pub fn last(&mut self, bytes: &[u8]) -> Result<(bool, BytesMut), Fault> {
        self.more(bytes)?;
        self.parts.take().map(|parts| (parts.text, parts.bytes)).ok_or(Fault::OutOfPlace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_joined_in_order() {
        let mut fragments = Fragments::new(10, 3);
        fragments.first(true, b"ab").unwrap();
        fragments.more(b"").unwrap();
        let (text, bytes) = fragments.last(b"cd").unwrap();
        assert_eq!((text, &bytes[..]), (true, &b"abcd"[..]));
        assert!(!fragments.is_open());
    }

    #[test]
    fn the_limits_hold_for_bytes_and_for_count() {
        let mut fragments = Fragments::new(3, 100);
        fragments.first(true, b"ab").unwrap();
        assert_eq!(fragments.more(b"cd"), Err(Fault::TooBig));
        let mut fragments = Fragments::new(100, 2);
        fragments.first(true, b"").unwrap();
        fragments.more(b"").unwrap();
        assert_eq!(fragments.more(b""), Err(Fault::TooBig));
    }

    #[test]
    fn a_message_inside_a_message_and_a_continuation_of_nothing_are_out_of_place() {
        let mut fragments = Fragments::new(10, 10);
        assert_eq!(fragments.more(b"x"), Err(Fault::OutOfPlace));
        fragments.first(false, b"x").unwrap();
        assert_eq!(fragments.first(true, b"x"), Err(Fault::OutOfPlace));
    }
}
