//! `Secrets`: what of an endpoint only its owner and the sender may know, and `Sealed`, its columns as they stand in
//! the row.

use super::signing::{SECRET_PREFIX, Signer, encode_secret};
use super::signing_key::SigningKey;
use super::vault::{Place, Unopened, Vault, random};
use crate::domain::{Result, Secret, TenantId, Timestamp};
use crate::storage::schema::webhooks;
use diesel::prelude::*;
use serde::Deserialize;
use serde_json::json;
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
        Self { current, retired: Vec::new() }
    }

    /// Seals them for the tenant's row.
    pub fn seal(&self, vault: &Vault, tenant: TenantId) -> Result<Sealed> {
        let put = |column, value: &Secret| vault.seal(Place { column, tenant }, value);
        let retired = match self.retired.as_slice() {
            [] => NO_RETIRED.to_owned(),
            some => put("old_secrets", &retired_text(some))?,
        };
        Ok(Sealed {
            secret: put("secret", &self.current.secret)?,
            old_secrets: retired,
            signing_key: self.current.signing_key.as_ref().map(|key| put("signing_key", key)).transpose()?,
        })
    }

    /// Opens what stands in the tenant's row.
    pub fn open(vault: &Vault, tenant: TenantId, sealed: &Sealed) -> Result<Self, Unopened> {
        let take = |column, stored: &String| vault.open(Place { column, tenant }, stored);
        let retired = take("old_secrets", &sealed.old_secrets)?;
        Ok(Self {
            current: SigningSecrets {
                secret: take("secret", &sealed.secret)?,
                signing_key: sealed.signing_key.as_ref().map(|key| take("signing_key", key)).transpose()?,
            },
            retired: serde_json::from_str(retired.expose()).map_err(|_| Unopened::Broken)?,
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
        };
        Ok(changed.then_some(anew))
    }

    /// Whether the secret stands in the row as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.secret.starts_with(SECRET_PREFIX)
    }
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
            ..Secrets::new(SigningSecrets::generate(true).unwrap())
        }
    }

    #[test]
    fn sealed_secrets_open_as_they_were_and_fit_their_columns() {
        let (vault, secrets) = (vault(&[&"k".repeat(32)]), secrets());
        let sealed = secrets.seal(&vault, TENANT).unwrap();
        assert_eq!(Secrets::open(&vault, TENANT, &sealed).unwrap(), secrets);
        assert!(sealed.secret.len() <= 255 && sealed.signing_key.as_ref().unwrap().len() <= 255);
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

        let plain = Sealed { secret: "whsec_x".into(), old_secrets: NO_RETIRED.into(), signing_key: None };
        assert!(plain.is_plain() && plain.anew(&vault(&[]), TENANT).unwrap().is_none());
        let anew = plain.anew(&both, TENANT).unwrap().unwrap();
        assert!(!anew.is_plain() && anew.old_secrets == NO_RETIRED);
        assert_eq!(Secrets::open(&both, TENANT, &anew).unwrap().current.secret.expose(), "whsec_x");
    }
}
