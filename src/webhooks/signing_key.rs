//! `SigningKey`: the ed25519 key pair of an endpoint whose owner wants to verify with a public key (`v1a`).
//!
//! Standard Webhooks writes the private half as `whsk_` and the base64 of seed and public key, the public half as
//! `whpk_` and the base64 of the public key.

use super::vault::random;
use crate::domain::{Code, Error, Result, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// What the private half begins with.
pub const PRIVATE_PREFIX: &str = "whsk_";

/// What the public half begins with.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// Bytes of a seed; as many again are the public key behind it.
const SEED: usize = 32;

/// A key pair, ready to sign with.
pub struct SigningKey {
    text: Secret,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key pair.
    pub fn generate() -> Result<Self> {
        let seed = random::<SEED>()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| Error::new(Code::Internal, "No signing key could be made."))?;
        let both = [&seed[..], pair.public_key().as_ref()].concat();
        Ok(Self { text: Secret::new(format!("{PRIVATE_PREFIX}{}", STANDARD.encode(both))), pair })
    }

    /// Reads the private half: `whsk_` and the base64 of seed and public key, which must belong together.
    pub fn parse(text: Secret) -> Result<Self> {
        let bytes = text.expose().strip_prefix(PRIVATE_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let halves = bytes.as_deref().and_then(|bytes| bytes.split_at_checked(SEED));
        let pair = halves.and_then(|(seed, key)| Ed25519KeyPair::from_seed_and_public_key(seed, key).ok());
        match pair {
            Some(pair) => Ok(Self { text, pair }),
            None => Err(Error::field(
                "signing_key",
                "The signing key must be whsk_ followed by the base64 of an ed25519 seed and its public key.",
            )),
        }
    }

    /// The private half, to be sealed.
    pub fn secret(&self) -> &Secret {
        &self.text
    }

    /// The public half, for whoever verifies.
    pub fn public(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", STANDARD.encode(self.pair.public_key()))
    }

    /// `v1a,` and the base64 of the signature.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        format!("v1a,{}", STANDARD.encode(self.pair.sign(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    const PUBLISHED: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

    #[test]
    fn the_published_vector_comes_out() {
        let key = SigningKey::parse(Secret::new(PUBLISHED)).unwrap();
        assert_eq!(key.public(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        assert_eq!(
            key.sign(br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
        );
    }

    #[test]
    fn a_new_key_reads_back_and_its_public_half_verifies() {
        let made = SigningKey::generate().unwrap();
        let read = SigningKey::parse(made.secret().clone()).unwrap();
        assert_eq!(read.public(), made.public());
        assert_ne!(SigningKey::generate().unwrap().public(), made.public());
        let public = STANDARD.decode(&made.public()[PUBLIC_PREFIX.len()..]).unwrap();
        let signature = STANDARD.decode(&read.sign(b"content")["v1a,".len()..]).unwrap();
        UnparsedPublicKey::new(&ED25519, public).verify(b"content", &signature).unwrap();
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let mut bytes = STANDARD.decode(&PUBLISHED[PRIVATE_PREFIX.len()..]).unwrap();
        bytes[40] ^= 1;
        let crossed = format!("{PRIVATE_PREFIX}{}", STANDARD.encode(&bytes));
        let seed_alone = format!("{PRIVATE_PREFIX}{}", STANDARD.encode(&bytes[..SEED]));
        for text in ["", "whsk_", "whsk_!", &PUBLISHED[5..], &crossed, &seed_alone] {
            assert!(SigningKey::parse(Secret::new(text)).is_err(), "{text}");
        }
    }
}
