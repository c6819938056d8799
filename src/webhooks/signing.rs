//! The signatures of one attempt: pure functions of secret, id, time and the exact bytes sent.
//!
//! Two schemes stand side by side. `X-Webhook-Signature` is the hex HMAC-SHA256 of the body, keyed with the
//! whole secret string. The other three headers are Standard Webhooks 1.0: `v1,` and the base64 HMAC-SHA256 of
//! `id.timestamp.body`, keyed with the bytes that the secret encodes; and `v1a,` with its ed25519 signature, where
//! the endpoint has a key pair. A receiver refuses a timestamp older than five minutes, so each attempt is signed
//! anew while its id stays. Secrets that were replaced sign beside the present one until their time.

use super::secrets::{Retired, SigningSecrets};
use super::signing_key::SigningKey;
use crate::domain::{Error, Result, Secret, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with; the rest is standard base64.
pub const SECRET_PREFIX: &str = "whsec_";

/// Random bytes in a secret, as Standard Webhooks bounds them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An endpoint's secrets, ready to sign with.
pub struct Signer {
    current: Keys,
    retired: Vec<(Keys, Timestamp)>,
}

/// One generation.
struct Keys {
    secret: Secret,
    key: Vec<u8>,
    pair: Option<SigningKey>,
}

/// The values of the four headers of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// `X-Webhook-Signature`
    pub body_hex: String,
    /// `webhook-timestamp`
    pub timestamp: String,
    /// `webhook-signature`: one for each secret and key pair, the present ones first.
    pub standard: String,
}

impl Signer {
    /// Reads a secret: `whsec_` and the base64 of 24 to 64 bytes.
    pub fn new(secret: Secret) -> Result<Self> {
        Self::of(SigningSecrets::brought(secret), Vec::new())
    }

    /// Of all that an endpoint signs with.
    pub(super) fn of(current: SigningSecrets, retired: Vec<Retired>) -> Result<Self> {
        let keys = |r: Retired| Ok((Keys::of(r.secrets)?, r.until));
        let retired = retired.into_iter().map(keys).collect::<Result<_>>()?;
        Ok(Self { current: Keys::of(current)?, retired })
    }

    /// Signs one attempt at `now` of the message `id`.
    pub fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> Signatures {
        let timestamp = now.unix_seconds().to_string();
        let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let retired = self.retired.iter().filter(|(_, until)| *until > now).map(|(keys, _)| keys);
        let mut standard = Vec::new();
        for keys in std::iter::once(&self.current).chain(retired) {
            standard.push(format!("v1,{}", STANDARD.encode(hmac(&keys.key, &[&content]))));
            standard.extend(keys.pair.as_ref().map(|pair| pair.sign(&content)));
        }
        Signatures { body_hex: self.sign_body(body), standard: standard.join(" "), timestamp }
    }

    /// The hex HMAC-SHA256 of a body alone, keyed with the whole of the present secret.
    pub fn sign_body(&self, body: &[u8]) -> String {
        hex::encode(hmac(self.current.secret.expose().as_bytes(), &[body]))
    }
}

impl Keys {
    fn of(secrets: SigningSecrets) -> Result<Self> {
        let encoded = secrets.secret.expose().strip_prefix(SECRET_PREFIX);
        let key = encoded.and_then(|text| STANDARD.decode(text).ok());
        let pair = secrets.signing_key.map(SigningKey::parse).transpose()?;
        match key {
            Some(key) if KEY_BYTES.contains(&key.len()) => Ok(Self { secret: secrets.secret, key, pair }),
            _ => Err(Error::field(
                "secret",
                "The secret must be whsec_ followed by the standard base64 of 24 to 64 random bytes.",
            )),
        }
    }
}

impl Signatures {
    /// The four headers of an attempt at the message `id`.
    pub fn headers(self, id: &str) -> Vec<(&'static str, String)> {
        vec![
            ("x-webhook-signature", self.body_hex),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", self.timestamp),
            ("webhook-signature", self.standard),
        ]
    }
}

/// The secret that these random bytes make.
pub(super) fn encode_secret(key: &[u8]) -> Secret {
    Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(key)))
}

/// HMAC-SHA256 of the parts, one behind the other.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length; the other arm is there for the type alone.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> Signer {
        Signer::new(Secret::new(secret)).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn published_vectors_come_out() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = signer("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            at(1_649_367_553),
            body,
        );
        assert_eq!(signed.timestamp, "1649367553");
        assert_eq!(signed.standard, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");

        let signed = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.standard, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_body_signature_is_keyed_with_the_whole_secret_string() {
        // printf '{"a":1}' | openssl dgst -sha256 -hmac 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
        let signed = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("msg_1", at(0), br#"{"a":1}"#);
        assert_eq!(signed.body_hex, "45ec03b2b33403c8043a90de06bedad0827183927115fd7e448ef97eeb13c5be");
    }

    #[test]
    fn each_attempt_has_its_own_time_and_signature() {
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (first, second) = (signer.sign("msg_1", at(0), b"{}"), signer.sign("msg_1", at(60), b"{}"));
        assert_ne!(first.standard, second.standard);
        assert_eq!(first.body_hex, second.body_hex);
    }

    #[test]
    fn replaced_secrets_sign_beside_the_present_one_until_their_time() {
        let (old, new) = (SigningSecrets::generate(false).unwrap(), SigningSecrets::generate(true).unwrap());
        let alone = signer(old.secret.expose()).sign("msg_1", at(59), b"{}");
        let retired = vec![Retired { secrets: old, until: at(60) }];
        let both = Signer::of(new.clone(), retired).unwrap();
        let during = both.sign("msg_1", at(59), b"{}").standard;
        let signatures: Vec<&str> = during.split(' ').collect();
        assert_eq!(signatures.len(), 3, "v1 and v1a of the new, v1 of the old: {during}");
        assert!(signatures[0].starts_with("v1,") && signatures[1].starts_with("v1a,"), "{during}");
        assert_eq!(signatures[2], alone.standard);
        assert_eq!(both.sign("msg_1", at(60), b"{}").standard.split(' ').count(), 2, "its time is over");
        let of_new = signer(new.secret.expose()).sign("msg_1", at(59), b"{}");
        assert_eq!(both.sign("msg_1", at(59), b"{}").body_hex, of_new.body_hex);
    }

    #[test]
    fn the_published_vector_of_v1a_comes_out_beside_v1() {
        let secrets = SigningSecrets {
            secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            signing_key: Some(Secret::new(
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            )),
        };
        let signed = Signer::of(secrets, Vec::new()).unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.standard,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= \
             v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
        );
    }

    #[test]
    fn a_secret_of_another_shape_is_refused() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        let good = [of(24), of(32), of(64)];
        let bad =
            [of(23), of(65), String::new(), "whsec_".into(), "whsec_!!!!".into(), of(24)[6..].to_owned()];
        assert!(good.into_iter().all(|s| Signer::new(Secret::new(s)).is_ok()));
        assert!(bad.into_iter().all(|s| Signer::new(Secret::new(s)).is_err()));
    }
}
