//! `SecretKeys`: the keys that seal what endpoints keep secret, as an operator writes them: `ID:BASE64`.

use crate::domain::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// The id stands in front of each sealed value, in a column of 255 characters.
const MAX_ID: usize = 32;

/// The keys, the first of which seals; all of them open. In a file a list, in the environment a list or the keys
/// with commas between them. They are never written out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretKeys(Vec<SecretKey>);

/// One key: its id, and 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// Tells which key sealed a value.
    pub id: String,
    /// The key itself.
    pub bytes: [u8; 32],
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}: …)", self.id)
    }
}

impl SecretKey {
    /// Reads `ID:BASE64`; the error does not repeat what was wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let of_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let parsed = text.trim().split_once(':').and_then(|(id, key)| {
            let id = Some(id).filter(|id| (1..=MAX_ID).contains(&id.len()) && id.chars().all(of_id))?;
            let bytes = STANDARD.decode(key).ok()?.try_into().ok()?;
            Some(Self { id: id.to_owned(), bytes })
        });
        parsed.ok_or_else(|| {
            "webhooks.secret_keys must hold keys of the form ID:KEY, with an ID of up to 32 letters, digits, \
             dots and dashes and a KEY of 32 random bytes in base64; `bellwire webhook new-key` prints one."
                .to_owned()
        })
    }

    /// What [`Self::parse`] reads.
    pub fn text(&self) -> Secret {
        Secret::new(format!("{}:{}", self.id, STANDARD.encode(self.bytes)))
    }
}

impl SecretKeys {
    /// Reads keys, each `ID:BASE64`; an id must not stand twice.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut keys: Vec<SecretKey> = Vec::new();
        for text in texts.into_iter().filter(|text| !text.trim().is_empty()) {
            let key = SecretKey::parse(text)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(format!("webhooks.secret_keys has two keys with the id {}.", key.id));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The keys, the sealing one first.
    pub fn as_slice(&self) -> &[SecretKey] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SecretKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = SecretKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys, each ID:BASE64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretKeys, E> {
        SecretKeys::parse(text.split(',')).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SecretKeys, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        SecretKeys::parse(texts.iter().map(String::as_str)).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    fn ids(value: serde_json::Value) -> Result<Vec<String>, String> {
        let keys: SecretKeys = serde_json::from_value(value).map_err(|e| e.to_string())?;
        Ok(keys.as_slice().iter().map(|k| k.id.clone()).collect())
    }

    #[test]
    fn keys_are_a_list_or_stand_between_commas() {
        assert_eq!(ids(json!([key("new", 1), key("old", 2)])).unwrap(), ["new", "old"]);
        assert_eq!(ids(json!(format!("{}, {}", key("new", 1), key("old", 2)))).unwrap(), ["new", "old"]);
        assert_eq!(ids(json!("")).unwrap(), Vec::<String>::new());
        let parsed = SecretKey::parse(&key("a.b-c_1", 7)).unwrap();
        assert_eq!((parsed.id.as_str(), parsed.bytes), ("a.b-c_1", [7; 32]));
        assert_eq!(SecretKey::parse(parsed.text().expose()).unwrap(), parsed);
    }

    #[test]
    fn a_key_of_another_shape_is_refused_and_not_repeated() {
        let short = format!("k:{}", STANDARD.encode([7; 31]));
        for text in
            ["hunter2", "k:hunter2", ":", &short, &key("", 7), &key("a b", 7), &key(&"k".repeat(33), 7)]
        {
            let error = ids(json!([text])).unwrap_err();
            assert!(error.contains("new-key") && !error.contains("hunter2"), "{error}");
        }
        assert!(ids(json!([key("k", 1), key("k", 2)])).unwrap_err().contains("two keys with the id k"));
    }

    #[test]
    fn keys_are_never_written_out() {
        let keys = SecretKeys::parse([key("k", 7).as_str()]).unwrap();
        assert_eq!(format!("{keys:?}"), "SecretKeys([SecretKey(k: …)])");
    }
}
