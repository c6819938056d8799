//! `EncryptionKey`: encrypts a delivery's body for its receiver alone: JWE in its compact form, with the key used
//! directly (`dir`) and AES-256-GCM (`A256GCM`), as RFC 7516 has it. Pure, but for the nonce.

use super::vault::random;
use crate::domain::{Code, Error, Result, Secret};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The protected header.
const HEADER: &str = r#"{"alg":"dir","enc":"A256GCM"}"#;

/// What an encrypted body is sent as.
pub(super) const CONTENT_TYPE: &str = "application/jose";

/// The 32 bytes that an endpoint's owner shares with us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey(Secret);

impl EncryptionKey {
    /// Reads the base64 of 32 bytes, in the standard or the URL-safe alphabet, as a JWK's `k` has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok();
        match bytes {
            Some(bytes) if bytes.len() == 32 => Ok(Self(Secret::new(STANDARD.encode(bytes)))),
            _ => Err("The encryption_key field must be the base64 of 32 random bytes.".to_owned()),
        }
    }

    /// What is sealed, and what [`Self::parse`] reads.
    pub(super) fn text(&self) -> &Secret {
        &self.0
    }

    /// The body as a compact JWE, with a nonce of its own.
    pub fn encrypt(&self, body: &[u8]) -> Result<Bytes> {
        let failed =
            |_: ring::error::Unspecified| Error::new(Code::Internal, "A body could not be encrypted.");
        let key = STANDARD.decode(self.0.expose()).unwrap_or_default();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).map_err(failed)?);
        let (header, nonce) = (URL_SAFE_NO_PAD.encode(HEADER), random::<NONCE_LEN>()?);
        let mut text = body.to_vec();
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&header), &mut text)
            .map_err(failed)?;
        let [nonce, text, tag] = [&nonce[..], &text, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
        // Between the first two dots an encrypted key would stand; used directly, there is none.
        Ok(format!("{header}..{nonce}.{text}.{tag}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_in_either_alphabet() {
        let standard = EncryptionKey::parse(&STANDARD.encode([0xfb; 32])).unwrap();
        assert_eq!(EncryptionKey::parse(&URL_SAFE_NO_PAD.encode([0xfb; 32])).unwrap(), standard);
        assert_eq!(EncryptionKey::parse(standard.text().expose()).unwrap(), standard);
        for text in ["", "hunter2", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])] {
            let error = EncryptionKey::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_compact_form_has_five_parts_and_opens_with_the_key() {
        let key = EncryptionKey::parse(&STANDARD.encode([7; 32])).unwrap();
        let jwe = key.encrypt(b"{\"a\":1}").unwrap();
        assert_ne!(key.encrypt(b"{\"a\":1}").unwrap(), jwe, "each body has a nonce of its own");
        let parts: Vec<&str> = std::str::from_utf8(&jwe).unwrap().split('.').collect();
        let [header, "", nonce, text, tag] = parts[..] else { panic!("{parts:?}") };
        assert_eq!(header, "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0");
        let [nonce, text, tag] = [nonce, text, tag].map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
        let mut sealed = [text, tag].concat();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        assert_eq!(cipher.open_in_place(nonce, Aad::from(header), &mut sealed).unwrap(), b"{\"a\":1}");
    }
}
