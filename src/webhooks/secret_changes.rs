//! `SecretChanges`: what a request says of the secrets of an endpoint, new or not: `headers`, `auth`,
//! `encryption_key` and `signature`. They can be set and taken away, and are never shown.

use super::authorization::Authorization;
use super::custom_headers::CustomHeaders;
use super::jwe::EncryptionKey;
use super::secrets::Secrets;
use super::signing_key::SigningKey;
use super::strategy::Strategy;
use crate::config;
use crate::domain::fields::Given;
use crate::domain::{Fields, Result};

/// What is not given stays.
#[expect(clippy::option_option, reason = "absent, null and a value are three things to say")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretChanges {
    headers: Option<Option<CustomHeaders>>,
    auth: Option<Option<Authorization>>,
    encryption_key: Option<Option<EncryptionKey>>,
    with_key_pair: Option<bool>,
}

impl SecretChanges {
    /// Reads them from a request's body; every error is recorded.
    pub fn read(fields: &mut Fields) -> Self {
        let headers = fields.raw("headers");
        let headers = convert(fields, headers, |fields, value| {
            let wrong = |errors: Vec<String>| errors.iter().for_each(|error| fields.wrong("headers", error));
            CustomHeaders::parse(&value).map_err(wrong).ok()
        });
        let auth = fields.raw("auth");
        let auth = convert(fields, auth, |fields, value| {
            let wrong = |error: crate::domain::Error| fields.absorb(error.fields().clone());
            Authorization::parse(value).map_err(wrong).ok()
        });
        let key = fields.string("encryption_key", 1, 255);
        let encryption_key = convert(fields, key, |fields, text| {
            EncryptionKey::parse(&text).map_err(|error| fields.wrong("encryption_key", error)).ok()
        });
        let signature = fields.string("signature", 1, 10);
        let with_key_pair = match fields.present("signature", signature).as_deref() {
            Some("v1") => Some(false),
            Some("v1a") => Some(true),
            Some(_) => {
                fields.wrong("signature", "The signature field must be v1 or v1a.");
                None
            }
            None => None,
        };
        Self { headers, auth, encryption_key, with_key_pair }
    }

    /// Whether it says what the headers are, or that there are none.
    pub const fn says_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Whether it says how to prove who calls, or not to.
    pub const fn says_auth(&self) -> bool {
        self.auth.is_some()
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the settings allow what they name.
    pub fn permit(&self, config: &config::Webhooks) -> Result<()> {
        self.auth.iter().flatten().try_for_each(|auth| auth.permit(config))
    }

    /// Whether an endpoint that is sent to so can make use of them.
    pub(super) fn suit(&self, strategy: Strategy) -> Result<()> {
        strategy.suits(self.headers.iter().flatten().next(), self.auth.iter().flatten().next())
    }

    /// Carries them out.
    pub fn apply(self, secrets: &mut Secrets) -> Result<()> {
        if let Some(headers) = self.headers {
            secrets.headers = headers.unwrap_or_default();
        }
        if let Some(auth) = self.auth {
            secrets.auth = auth;
        }
        if let Some(key) = self.encryption_key {
            secrets.encryption_key = key;
        }
        match (self.with_key_pair, &secrets.current.signing_key) {
            (Some(true), None) => {
                secrets.current.signing_key = Some(SigningKey::generate()?.secret().clone());
            }
            (Some(false), Some(_)) => secrets.current.signing_key = None,
            _ => {}
        }
        Ok(())
    }
}

#[expect(clippy::option_option, reason = "absent, null and a value are three things to say")]
fn convert<A, B>(
    fields: &mut Fields,
    given: Given<A>,
    convert: impl FnOnce(&mut Fields, A) -> Option<B>,
) -> Option<Option<B>> {
    match given {
        Given::Absent | Given::Wrong => None,
        Given::Null => Some(None),
        Given::Value(value) => convert(fields, value).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::secrets::SigningSecrets;
    use serde_json::{Value, json};

    fn read(body: Value) -> Result<SecretChanges> {
        let mut fields = Fields::of(body).unwrap();
        let changes = SecretChanges::read(&mut fields);
        fields.finish().map(|()| changes)
    }

    #[test]
    fn what_is_given_is_set_null_takes_away_and_the_rest_stays() {
        let mut secrets = Secrets::new(SigningSecrets::generate(false).unwrap());
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let all = json!({"headers": {"X-A": "1"}, "auth": {"type": "basic", "username": "a", "password": "b"},
            "encryption_key": key, "signature": "v1a"});
        read(all).unwrap().apply(&mut secrets).unwrap();
        assert_eq!(secrets.headers.names().collect::<Vec<_>>(), ["x-a"]);
        assert!(secrets.auth.is_some() && secrets.encryption_key.is_some());
        let public = secrets.current.public_key();
        assert!(public.is_some());

        read(json!({"auth": null, "signature": "v1a"})).unwrap().apply(&mut secrets).unwrap();
        assert!(secrets.auth.is_none() && secrets.encryption_key.is_some());
        assert_eq!(secrets.current.public_key(), public, "a key pair that is there stays");
        read(json!({"headers": null, "encryption_key": null, "signature": "v1"}))
            .unwrap()
            .apply(&mut secrets)
            .unwrap();
        assert_eq!(secrets, Secrets::new(secrets.current.clone()));
        assert_eq!(secrets.current.public_key(), None);
        assert!(read(json!({})).unwrap().is_empty());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = read(json!({"headers": {"host": "x"}, "auth": {"type": "basic"}, "encryption_key": "x",
            "signature": "v2"}))
        .unwrap_err();
        let fields: Vec<&str> = error.fields().keys().map(String::as_str).collect();
        assert_eq!(fields, ["auth.password", "auth.username", "encryption_key", "headers", "signature"]);
    }
}
