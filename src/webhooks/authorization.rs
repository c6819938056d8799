//! `Authorization`: how a delivery proves itself to a receiver beyond its signature, as the endpoint's owner says.

use super::custom_headers::{parse_name, parse_value};
use crate::config;
use crate::domain::{Error, Fields, Result, Secret, parse_hook_url};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::Url;

const MAX_CREDENTIAL: usize = 1_024;

/// One of three schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// A key in a header.
    ApiKey {
        /// The header's name, in lower case.
        header: String,
        /// The key.
        value: Secret,
    },
    /// User name and password (RFC 7617).
    Basic {
        /// The name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// A bearer token that is got from a token endpoint with the client's own credentials (RFC 6749, 4.4).
    OAuth2(ClientCredentials),
}

/// What a token is asked for with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where tokens are given.
    pub token_url: Url,
    /// Who asks.
    pub client_id: Secret,
    /// Its secret.
    pub client_secret: Secret,
    /// What for, if the receiver wants to know.
    pub scope: Option<String>,
}

impl Authorization {
    /// Reads `{"type": "api_key" | "basic" | "oauth2", …}`, whose errors stand under `auth.`.
    pub fn parse(value: Value) -> Result<Self> {
        let object = if let Value::Object(object) = value { object } else { serde_json::Map::new() };
        let mut fields = Fields::nested(object, "auth.".to_owned());
        let kind = fields.string("type", 1, 20);
        let read = match fields.required("type", kind).as_deref() {
            Some("api_key") => api_key(&mut fields),
            Some("basic") => basic(&mut fields),
            Some("oauth2") => oauth2(&mut fields),
            Some(_) => {
                fields.wrong("type", "The type field must be api_key, basic or oauth2.");
                None
            }
            None => None,
        };
        fields.finish()?;
        read.ok_or_else(|| Error::field("auth", "The auth field cannot be read."))
    }

    /// Whether the settings allow what it names: a token endpoint is dialled as an endpoint is.
    pub fn permit(&self, config: &config::Webhooks) -> Result<()> {
        match self {
            Self::OAuth2(client) => config
                .permit_url(client.token_url.as_str())
                .map_err(|message| Error::field("auth.token_url", message)),
            _ => Ok(()),
        }
    }

    /// What may be shown: the scheme, and a header's name.
    pub fn shown(&self) -> Value {
        match self {
            Self::ApiKey { header, .. } => json!({"type": "api_key", "header": header}),
            Self::Basic { .. } => json!({"type": "basic"}),
            Self::OAuth2(client) => {
                json!({"type": "oauth2", "token_url": client.token_url.as_str(), "scope": client.scope})
            }
        }
    }

    /// What is sealed, and what [`Self::parse`] reads.
    pub(super) fn text(&self) -> Secret {
        let mut value = self.shown();
        let secrets: &[(&str, &Secret)] = match self {
            Self::ApiKey { value, .. } => &[("value", value)],
            Self::Basic { username, password } => &[("username", username), ("password", password)],
            Self::OAuth2(client) => {
                &[("client_id", &client.client_id), ("client_secret", &client.client_secret)]
            }
        };
        for (name, secret) in secrets {
            value[*name] = json!(secret.expose());
        }
        Secret::new(value.to_string())
    }

    /// The header that carries it, unless a token has to be got first.
    pub(super) fn header(&self) -> Option<(String, Secret)> {
        match self {
            Self::ApiKey { header, value } => Some((header.clone(), value.clone())),
            Self::Basic { username, password } => {
                Some(("authorization".to_owned(), basic_value(username.expose(), password.expose())))
            }
            Self::OAuth2(_) => None,
        }
    }
}

/// `Basic` and the base64 of both.
pub(super) fn basic_value(username: &str, password: &str) -> Secret {
    let both = Secret::new(format!("{username}:{password}"));
    Secret::new(format!("Basic {}", STANDARD.encode(both.expose())))
}

fn api_key(fields: &mut Fields) -> Option<Authorization> {
    let (header, value) = (fields.string("header", 1, 128), fields.string("value", 1, 4_096));
    let (header, value) = (fields.required("header", header), fields.required("value", value));
    let header = header.and_then(|name| good(fields, "header", parse_name(&name)));
    let value = value.and_then(|value| good(fields, "value", parse_value("api_key", &value)));
    Some(Authorization::ApiKey { header: header?, value: Secret::new(value?) })
}

fn basic(fields: &mut Fields) -> Option<Authorization> {
    let (username, password) = (credential(fields, "username"), credential(fields, "password"));
    if username.as_ref().is_some_and(|name| name.expose().contains(':')) {
        fields.wrong("username", "The username field must not contain a colon.");
    }
    Some(Authorization::Basic { username: username?, password: password? })
}

fn oauth2(fields: &mut Fields) -> Option<Authorization> {
    let (client_id, client_secret) = (credential(fields, "client_id"), credential(fields, "client_secret"));
    let url = fields.string("token_url", 1, 2_048);
    let url = fields.required("token_url", url);
    let token_url = url.and_then(|url| good(fields, "token_url", parse_hook_url(&url)));
    let scope = fields.string("scope", 1, MAX_CREDENTIAL).value();
    let client = ClientCredentials {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
    };
    Some(Authorization::OAuth2(client))
}

/// Text of any language that fits into one line.
fn credential(fields: &mut Fields, name: &'static str) -> Option<Secret> {
    let given = fields.string(name, 1, MAX_CREDENTIAL);
    let text = fields.required(name, given)?;
    if text.chars().any(char::is_control) {
        fields.wrong(name, format!("The {name} field must not contain control characters."));
        return None;
    }
    Some(Secret::new(text))
}

fn good<T>(fields: &mut Fields, name: &str, parsed: Result<T, String>) -> Option<T> {
    parsed.map_err(|message| fields.wrong(name, message)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemes() -> [Value; 4] {
        [
            json!({"type": "api_key", "header": "X-Api-Key", "value": "canary"}),
            json!({"type": "basic", "username": "Ana", "password": "canary: ä"}),
            json!({"type": "oauth2", "token_url": "https://id.example/token", "client_id": "shop",
                "client_secret": "canary"}),
            json!({"type": "oauth2", "token_url": "https://id.example/token", "client_id": "shop",
                "client_secret": "canary", "scope": "hooks write"}),
        ]
    }

    fn wrong(value: Value) -> Vec<String> {
        Authorization::parse(value).unwrap_err().fields().keys().cloned().collect()
    }

    #[test]
    fn each_scheme_reads_back_what_it_writes_and_shows_no_secret() {
        for value in schemes() {
            let auth = Authorization::parse(value).unwrap();
            let read = Authorization::parse(serde_json::from_str(auth.text().expose()).unwrap()).unwrap();
            assert_eq!(read, auth);
            assert!(!format!("{auth:?} {}", auth.shown()).contains("canary"), "{auth:?}");
        }
    }

    #[test]
    fn a_scheme_becomes_a_header() {
        let [api_key, basic, oauth2, _] =
            schemes().map(|value| Authorization::parse(value).unwrap().header());
        assert_eq!(api_key, Some(("x-api-key".to_owned(), Secret::new("canary"))));
        let vector = basic_value("Aladdin", "open sesame");
        assert_eq!(vector.expose(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "RFC 7617, section 2");
        assert_eq!(basic.unwrap().0, "authorization");
        assert_eq!(oauth2, None);
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(wrong(json!("basic")), ["auth.type"]);
        assert_eq!(wrong(json!({"type": "digest"})), ["auth.type"]);
        assert_eq!(
            wrong(json!({"type": "basic", "user": "x"})),
            ["auth.password", "auth.user", "auth.username"]
        );
        assert_eq!(wrong(json!({"type": "basic", "username": "a:b", "password": "a\nb"})).len(), 2);
        let api_key = json!({"type": "api_key", "header": "webhook-id", "value": "a\r\nb"});
        assert_eq!(wrong(api_key), ["auth.header", "auth.value"]);
        let token_url = json!({"type": "oauth2", "token_url": "https://u:p@id.example/", "client_id": "a",
            "client_secret": "b"});
        assert_eq!(wrong(token_url), ["auth.token_url"]);
    }
}
