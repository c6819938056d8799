//! `Utf8`: checks text that comes in pieces, as soon as each piece is there. Pure.

/// A text in the making.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character whose end has not come yet.
    held: [u8; 4],
    count: usize,
}

impl Utf8 {
    /// Takes the next piece; false if no more bytes can make the text valid.
    pub fn more(&mut self, mut bytes: &[u8]) -> bool {
        while self.count > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return true };
            bytes = rest;
            // Four bytes are a whole character or none: there is always room.
            if let Some(slot) = self.held.get_mut(self.count) {
                *slot = byte;
            }
            self.count += 1;
            match std::str::from_utf8(self.held.get(..self.count).unwrap_or_default()) {
                Ok(_) => self.count = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
                self.count = rest.len();
                self.held.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
                true
            }
        }
    }

    /// Whether the text may end here.
    pub const fn is_whole(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_byte_is_found_when_it_comes() {
        let mut text = Utf8::default();
        assert!(text.more(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xf4"));
        assert!(!text.is_whole());
        assert!(!text.more(b"\x90"), "no character begins with F4 90");
    }

    proptest! {
        /// Cut as you like, the verdict is that of the standard library over the whole.
        #[test]
        fn pieces_do_not_matter(
            text in prop_oneof![
                ".{0,30}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..30),
                (".{0,9}", any::<[u8; 3]>()).prop_map(|(text, more)| [text.as_bytes(), &more[..]].concat()),
            ],
            cut in 1_usize..5,
        ) {
            let mut checked = Utf8::default();
            let valid = text.chunks(cut).all(|piece| checked.more(piece)) && checked.is_whole();
            prop_assert_eq!(valid, std::str::from_utf8(&text).is_ok());
        }
    }
}
