//! `Vault`: seals what endpoints keep secret before it is written to the database, and opens it again.
//!
//! AES-256-GCM with a random nonce for each value; the text form is `sealed:KEYID:BASE64(nonce, ciphertext, tag)`.
//! Column and tenant are bound in, so that a sealed value opens nowhere but where it was put. The first key seals,
//! all open: that is how keys are changed. What begins otherwise was written before there was a vault, and is plain.

use super::key_file;
use crate::config::{self, SecretKey};
use crate::domain::{Code, Error, Result, Secret, TenantId};
use crate::storage::Db;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What sealed text begins with; the id of its key follows.
const PREFIX: &str = "sealed:";

/// The keys of one process. Cloning shares them.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<[Key]>,
}

struct Key {
    id: String,
    cipher: LessSafeKey,
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The column of `webhooks`.
    pub column: &'static str,
    /// Whose row.
    pub tenant: TenantId,
}

impl Place {
    fn bound(self) -> Aad<String> {
        Aad::from(format!("webhooks.{}.{}", self.column, self.tenant))
    }
}

/// Why a value could not be opened. Neither says anything of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// The key that sealed it is not here.
    #[error("it is sealed with the key \"{0}\", which is not in webhooks.secret_keys")]
    NoKey(String),
    /// It was changed, moved here from another place, or is not what this place holds.
    #[error("it was changed, or belongs to another column or tenant")]
    Broken,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Vault {
    /// A vault with these keys, the first of which seals.
    pub fn new(keys: &[SecretKey]) -> Result<Self> {
        let make = |key: &SecretKey| {
            let cipher = UnboundKey::new(&AES_256_GCM, &key.bytes).map(LessSafeKey::new);
            let cipher = cipher.map_err(|_| Error::new(Code::Internal, "A key is unusable."))?;
            Ok(Key { id: key.id.clone(), cipher })
        };
        Ok(Self { keys: keys.iter().map(make).collect::<Result<_>>()? })
    }

    /// The vault of a database: the configured keys and, on SQLite, the one in the file beside the database, which
    /// is made when there is no key at all.
    pub fn of(config: &config::Webhooks, db: &Db) -> Result<Self> {
        let mut keys = config.secret_keys.as_slice().to_vec();
        if let Some(path) = db.sqlite_path() {
            let path = format!("{path}.key");
            let path = Path::new(&path);
            keys.extend(if keys.is_empty() {
                Some(key_file::make_or_read(path)?)
            } else {
                key_file::read(path)?
            });
        }
        Self::new(&keys)
    }

    /// Whether anything can be sealed.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What text begins with that the first key has sealed; `None` without keys.
    pub fn current_prefix(&self) -> Option<String> {
        self.keys.first().map(|key| format!("{PREFIX}{}:", key.id))
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: Place, value: &Secret) -> Result<String> {
        let key = self.keys.first().ok_or_else(no_key)?;
        let mut nonce = [0; NONCE_LEN];
        let random = SystemRandom::new().fill(&mut nonce);
        let mut sealed = value.expose().as_bytes().to_vec();
        let done = random.and_then(|()| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.cipher.seal_in_place_append_tag(nonce, place.bound(), &mut sealed)
        });
        done.map_err(|_| Error::new(Code::Internal, "A secret could not be sealed."))?;
        Ok(format!("{PREFIX}{}:{}", key.id, STANDARD.encode([&nonce[..], &sealed].concat())))
    }

    /// Opens what stands in a place.
    pub fn open(&self, place: Place, stored: &str) -> Result<Secret, Unopened> {
        let Some(sealed) = stored.strip_prefix(PREFIX) else { return Ok(Secret::new(stored)) };
        let (id, encoded) = sealed.split_once(':').ok_or(Unopened::Broken)?;
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| Unopened::NoKey(id.to_owned()))?;
        let broken = |_: ring::error::Unspecified| Unopened::Broken;
        let bytes = STANDARD.decode(encoded).map_err(|_| Unopened::Broken)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or(Unopened::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(broken)?;
        let mut text = text.to_vec();
        let length = key.cipher.open_in_place(nonce, place.bound(), &mut text).map_err(broken)?.len();
        text.truncate(length);
        String::from_utf8(text).map(Secret::new).map_err(|_| Unopened::Broken)
    }
}

/// A key that nobody has yet.
pub fn new_key() -> Result<SecretKey> {
    Ok(SecretKey { id: hex::encode(random::<4>()?), bytes: random()? })
}

/// Random bytes for keys and secrets.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::new(Code::Unavailable, "The system gives no random bytes."))?;
    Ok(bytes)
}

fn no_key() -> Error {
    Error::new(
        Code::Unavailable,
        "The server has no key to seal secrets with. Its operator has to set BELLWIRE__WEBHOOKS__SECRET_KEYS, the \
         same on every node; `bellwire webhook new-key` prints a key for it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { column: "secret", tenant: TenantId(1) };

    fn key(id: &str, byte: u8) -> SecretKey {
        SecretKey { id: id.to_owned(), bytes: [byte; 32] }
    }

    fn vault(keys: &[SecretKey]) -> Vault {
        Vault::new(keys).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let vault = vault(&[key("k1", 1)]);
        let secret = Secret::new("whsec_canary");
        let sealed = vault.seal(PLACE, &secret).unwrap();
        assert!(sealed.starts_with("sealed:k1:") && !sealed.contains("canary"), "{sealed}");
        assert_eq!(vault.open(PLACE, &sealed).unwrap(), secret);
        for other in [Place { column: "auth", ..PLACE }, Place { tenant: TenantId(2), ..PLACE }] {
            assert_eq!(vault.open(other, &sealed), Err(Unopened::Broken), "{other:?}");
        }
        assert_ne!(vault.seal(PLACE, &secret).unwrap(), sealed, "each value has a nonce of its own");
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = vault(&[key("old", 1)]).seal(PLACE, &Secret::new("s")).unwrap();
        let both = vault(&[key("new", 2), key("old", 1)]);
        assert_eq!(both.open(PLACE, &old).unwrap().expose(), "s");
        let new = both.seal(PLACE, &Secret::new("s")).unwrap();
        assert!(new.starts_with(&both.current_prefix().unwrap()) && new.starts_with("sealed:new:"), "{new}");
        assert_eq!(vault(&[key("new", 2)]).open(PLACE, &old), Err(Unopened::NoKey("old".to_owned())));
        assert_eq!(
            vault(&[key("old", 9)]).open(PLACE, &old),
            Err(Unopened::Broken),
            "another key of that id"
        );
    }

    #[test]
    fn a_changed_value_does_not_open() {
        let vault = vault(&[key("k", 1)]);
        let sealed = vault.seal(PLACE, &Secret::new("whsec_canary")).unwrap();
        let mut bytes = STANDARD.decode(&sealed["sealed:k:".len()..]).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = format!("sealed:k:{}", STANDARD.encode(&bytes));
            assert_eq!(vault.open(PLACE, &changed), Err(Unopened::Broken), "byte {at}");
            bytes[at] ^= 1;
        }
        for text in ["sealed:", "sealed:k:", "sealed:k:####", "sealed:k:AAAA", &sealed[..sealed.len() - 4]] {
            assert_eq!(vault.open(PLACE, text), Err(Unopened::Broken), "{text}");
        }
    }

    #[test]
    fn what_was_written_before_there_was_a_vault_is_read_as_it_stands() {
        assert_eq!(vault(&[]).open(PLACE, "whsec_plain").unwrap().expose(), "whsec_plain");
        let error = vault(&[]).seal(PLACE, &Secret::new("s")).unwrap_err();
        assert!(error.message().contains("BELLWIRE__WEBHOOKS__SECRET_KEYS"), "{error}");
        assert!(error.message().contains("bellwire webhook new-key"), "{error}");
    }

    #[test]
    fn a_vault_prints_the_ids_of_its_keys_and_no_more() {
        assert_eq!(format!("{:?}", vault(&[key("k1", 1), key("k2", 2)])), r#"["k1", "k2"]"#);
    }
}
