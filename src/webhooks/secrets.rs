//! `Secrets`: what of an endpoint only its owner and the sender may know, and `Sealed`, its columns as they stand in
//! the row.

use super::authorization::Authorization;
use super::custom_headers::CustomHeaders;
use super::endpoint::Endpoint;
use super::jwe::EncryptionKey;
use super::signing::{SECRET_PREFIX, Signer, encode_secret};
use super::signing_key::SigningKey;
use super::vault::{Place, Unopened, Vault, random};
use crate::domain::{Result, Secret, TenantId, Timestamp};
use crate::storage::schema::webhooks;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// `old_secrets` of an endpoint that has none.
const NO_RETIRED: &str = "[]";

/// The columns of `webhooks` that hold secrets, each sealed by itself.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = webhooks, check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct Sealed {
    secret: String,
    old_secrets: String,
    signing_key: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) auth: Option<String>,
    encryption_key: Option<String>,
}

/// Rows from before there was a vault are not sealed, so nothing is printed.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// An endpoint's secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// What signs.
    pub current: SigningSecrets,
    /// What signed before, and still does until its time.
    pub retired: Vec<Retired>,
    /// What its owner wants in the head of each delivery.
    pub headers: CustomHeaders,
    /// How a delivery proves itself beyond its signature.
    pub auth: Option<Authorization>,
    /// Encrypts the bodies of its deliveries.
    pub encryption_key: Option<EncryptionKey>,
}

/// One generation of what signs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SigningSecrets {
    /// `whsec_…`, for `v1` and the older header.
    pub secret: Secret,
    /// `whsk_…`, where the owner wants `v1a` beside it.
    pub signing_key: Option<Secret>,
}

/// A generation that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Retired {
    /// What it signed with.
    #[serde(flatten)]
    pub secrets: SigningSecrets,
    /// It signs no attempt after this.
    pub until: Timestamp,
}

/// What an endpoint's owner is shown, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `whsec_…`
    pub secret: Secret,
    /// `whpk_…`; this one may be shown at any time.
    pub public_key: Option<String>,
}

/// What may be shown of an endpoint's secrets at any time; nothing of an endpoint whose secrets do not open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SecretsView {
    /// `whpk_…`, where deliveries are signed with a key pair, too.
    pub public_key: Option<String>,
    /// The names of its own headers.
    pub headers: Vec<String>,
    /// How its deliveries prove themselves, without what they prove it with.
    pub auth: Option<Value>,
    /// Whether the bodies of its deliveries are encrypted.
    pub is_encrypted: bool,
}

impl SecretsView {
    /// Of this endpoint.
    pub fn of(endpoint: &Endpoint, vault: &Vault) -> Self {
        let view = |secrets: Secrets| Self {
            public_key: secrets.current.public_key(),
            headers: secrets.headers.names().map(str::to_owned).collect(),
            auth: secrets.auth.as_ref().map(Authorization::shown),
            is_encrypted: secrets.encryption_key.is_some(),
        };
        endpoint.secrets(vault).map(view).unwrap_or_default()
    }
}

impl SigningSecrets {
    /// New ones; with a key pair if `v1a` is wanted.
    pub fn generate(with_key_pair: bool) -> Result<Self> {
        let secret = encode_secret(&random::<32>()?);
        let pair = with_key_pair.then(SigningKey::generate).transpose()?;
        Ok(Self { secret, signing_key: pair.map(|pair| pair.secret().clone()) })
    }

    /// A secret that its owner brings, alone.
    pub fn brought(secret: Secret) -> Self {
        Self { secret, signing_key: None }
    }

    /// The public half of the key pair, if there is one.
    pub fn public_key(&self) -> Option<String> {
        SigningKey::parse(self.signing_key.clone()?).ok().map(|key| key.public())
    }

    /// What the owner is shown of them.
    pub fn shown(&self) -> Shown {
        Shown { secret: self.secret.clone(), public_key: self.public_key() }
    }
}

impl Secrets {
    /// Those of a new endpoint.
    pub fn new(current: SigningSecrets) -> Self {
        Self {
            current,
            retired: Vec::new(),
            headers: CustomHeaders::default(),
            auth: None,
            encryption_key: None,
        }
    }

    /// Seals them for the tenant's row.
    pub fn seal(&self, vault: &Vault, tenant: TenantId) -> Result<Sealed> {
        let put = |column, value: &Secret| vault.seal(Place { column, tenant }, value);
        let put_some = |column, value: Option<&Secret>| value.map(|value| put(column, value)).transpose();
        let headers = (self.headers.names().next().is_some()).then(|| self.headers.text());
        let retired = match self.retired.as_slice() {
            [] => NO_RETIRED.to_owned(),
            some => put("old_secrets", &retired_text(some))?,
        };
        Ok(Sealed {
            secret: put("secret", &self.current.secret)?,
            old_secrets: retired,
            signing_key: put_some("signing_key", self.current.signing_key.as_ref())?,
            headers: put_some("headers", headers.as_ref())?,
            auth: put_some("auth", self.auth.as_ref().map(Authorization::text).as_ref())?,
            encryption_key: put_some(
                "encryption_key",
                self.encryption_key.as_ref().map(EncryptionKey::text),
            )?,
        })
    }

    /// Opens what stands in the tenant's row.
    pub fn open(vault: &Vault, tenant: TenantId, sealed: &Sealed) -> Result<Self, Unopened> {
        let take = |column, stored: &String| vault.open(Place { column, tenant }, stored);
        let take_some =
            |column, stored: &Option<String>| stored.as_ref().map(|stored| take(column, stored)).transpose();
        let retired = take("old_secrets", &sealed.old_secrets)?;
        let (headers, auth) = (take_some("headers", &sealed.headers)?, take_some("auth", &sealed.auth)?);
        let encryption_key = take_some("encryption_key", &sealed.encryption_key)?;
        Ok(Self {
            current: SigningSecrets {
                secret: take("secret", &sealed.secret)?,
                signing_key: take_some("signing_key", &sealed.signing_key)?,
            },
            retired: serde_json::from_str(retired.expose()).map_err(|_| Unopened::Broken)?,
            headers: read(headers, |text| CustomHeaders::parse(&serde_json::from_str(text).ok()?).ok())?
                .unwrap_or_default(),
            auth: read(auth, |text| Authorization::parse(serde_json::from_str(text).ok()?).ok())?,
            encryption_key: read(encryption_key, |text| EncryptionKey::parse(text).ok())?,
        })
    }

    /// What signs the endpoint's deliveries.
    pub fn signer(self) -> Result<Signer> {
        Signer::of(self.current, self.retired)
    }
}

impl Sealed {
    /// The same with every column sealed by the vault's first key; `None` when it is so already.
    pub(super) fn anew(&self, vault: &Vault, tenant: TenantId) -> Result<Option<Self>, Unopened> {
        let mut changed = false;
        let mut one = |column, stored: &str| -> Result<String, Unopened> {
            let place = Place { column, tenant };
            let opened = vault.open(place, stored)?;
            let is_current = vault.current_prefix().is_none_or(|prefix| stored.starts_with(&prefix));
            if is_current || stored == NO_RETIRED {
                return Ok(stored.to_owned());
            }
            changed = true;
            vault.seal(place, &opened).map_err(|_| Unopened::Broken)
        };
        let anew = Self {
            secret: one("secret", &self.secret)?,
            old_secrets: one("old_secrets", &self.old_secrets)?,
            signing_key: self.signing_key.as_deref().map(|text| one("signing_key", text)).transpose()?,
            headers: self.headers.as_deref().map(|text| one("headers", text)).transpose()?,
            auth: self.auth.as_deref().map(|text| one("auth", text)).transpose()?,
            encryption_key: self
                .encryption_key
                .as_deref()
                .map(|text| one("encryption_key", text))
                .transpose()?,
        };
        Ok(changed.then_some(anew))
    }

    /// Whether the secret stands in the row as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.secret.starts_with(SECRET_PREFIX)
    }
}

/// What was opened, read back.
fn read<T>(opened: Option<Secret>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Unopened> {
    opened.map(|text| parse(text.expose()).ok_or(Unopened::Broken)).transpose()
}

fn retired_text(retired: &[Retired]) -> Secret {
    let one = |r: &Retired| {
        let signing_key = r.secrets.signing_key.as_ref().map(Secret::expose);
        json!({"secret": r.secrets.secret.expose(), "signing_key": signing_key, "until": r.until})
    };
    Secret::new(json!(retired.iter().map(one).collect::<Vec<_>>()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretKey;

    const TENANT: TenantId = TenantId(1);

    fn vault(ids: &[&str]) -> Vault {
        let key = |id: &&str| SecretKey { id: (*id).to_owned(), bytes: [id.len().try_into().unwrap(); 32] };
        Vault::new(&ids.iter().map(key).collect::<Vec<_>>()).unwrap()
    }

    fn secrets() -> Secrets {
        let retired = |seconds: i64| Retired {
            secrets: SigningSecrets::generate(seconds == 2).unwrap(),
            until: Timestamp::from_micros(seconds * 1_000_000).unwrap(),
        };
        Secrets {
            retired: vec![retired(1), retired(2)],
            headers: CustomHeaders::parse(&json!({"x-shop": "7"})).unwrap(),
            auth: Authorization::parse(json!({"type": "basic", "username": "a", "password": "b"})).ok(),
            encryption_key: EncryptionKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").ok(),
            ..Secrets::new(SigningSecrets::generate(true).unwrap())
        }
    }

    #[test]
    fn sealed_secrets_open_as_they_were_and_fit_their_columns() {
        let (vault, secrets) = (vault(&[&"k".repeat(32)]), secrets());
        let sealed = secrets.seal(&vault, TENANT).unwrap();
        assert_eq!(Secrets::open(&vault, TENANT, &sealed).unwrap(), secrets);
        assert!(sealed.secret.len() <= 255 && sealed.signing_key.as_ref().unwrap().len() <= 255);
        assert!(sealed.encryption_key.as_ref().unwrap().len() <= 255);
        assert!(Secrets::open(&vault, TenantId(2), &sealed).is_err());
        let longest = Secrets::new(SigningSecrets::brought(encode_secret(&[7; 64])));
        assert!(longest.seal(&vault, TENANT).unwrap().secret.len() <= 255);
        let moved = Sealed { secret: sealed.signing_key.clone().unwrap(), ..sealed };
        assert_eq!(Secrets::open(&vault, TENANT, &moved), Err(Unopened::Broken));
    }

    #[test]
    fn what_an_older_key_or_none_has_sealed_is_sealed_anew_once() {
        let (old, both) = (vault(&["a"]), vault(&["bb", "a"]));
        let secrets = secrets();
        let anew = secrets.seal(&old, TENANT).unwrap().anew(&both, TENANT).unwrap().unwrap();
        assert!(anew.secret.starts_with("sealed:bb:") && anew.old_secrets.starts_with("sealed:bb:"));
        assert_eq!(Secrets::open(&vault(&["bb"]), TENANT, &anew).unwrap(), secrets);
        assert_eq!(anew.anew(&both, TENANT).unwrap(), None);

        let plain = Sealed {
            secret: "whsec_x".into(),
            old_secrets: NO_RETIRED.into(),
            signing_key: None,
            headers: None,
            auth: None,
            encryption_key: None,
        };
        assert!(plain.is_plain() && plain.anew(&vault(&[]), TENANT).unwrap().is_none());
        let anew = plain.anew(&both, TENANT).unwrap().unwrap();
        assert!(!anew.is_plain() && anew.old_secrets == NO_RETIRED);
        assert_eq!(Secrets::open(&both, TENANT, &anew).unwrap().current.secret.expose(), "whsec_x");
    }
}
