//! The signature of a Pusher HTTP API request.
//! <https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication>
//!
//! `METHOD\n/path\n` and all query parameters but the signature, keys in lower case, sorted, `k=v` joined by
//! `&`, not URL-encoded. There is no nonce: two equal events within a second carry equal signatures, and both
//! are good; the timestamp's window bounds how long a copied request can be sent again.

use super::channel_signature::hmac_hex;
use crate::config::App;
use crate::domain::{Code, Error, Result, Timestamp};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// How far a request's timestamp may be from ours, either way.
const WINDOW_SECONDS: i64 = 600;

/// What of a request is signed.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// `POST`, `GET`.
    pub method: &'a str,
    /// As sent, with its leading slash.
    pub path: &'a str,
    /// The parsed query, values decoded.
    pub query: &'a [(String, String)],
    /// As sent.
    pub body: &'a [u8],
}

/// Whether the request was signed with the app's secret, lately, over this body. The error says which check
/// failed, in words for the back end's developer.
pub fn verify(app: &App, request: &SignedRequest<'_>, now: Timestamp) -> Result<()> {
    let key = request.require("auth_key")?;
    if !same(key, &app.key) {
        return Err(denied("auth_key is not the key of this app."));
    }
    if request.require("auth_version")? != "1.0" {
        return Err(denied("auth_version must be 1.0."));
    }
    let timestamp: i64 = request
        .require("auth_timestamp")?
        .parse()
        .map_err(|_| denied("auth_timestamp must be seconds since 1970."))?;
    if !same(&expected(app, request), request.require("auth_signature")?) {
        return Err(denied("auth_signature does not fit the request."));
    }
    if now.unix_seconds().abs_diff(timestamp) > WINDOW_SECONDS.unsigned_abs() {
        return Err(denied("auth_timestamp is more than 600 seconds away from the server's clock."));
    }
    if request.body.is_empty() || same(&hex::encode(Md5::digest(request.body)), request.require("body_md5")?)
    {
        Ok(())
    } else {
        Err(denied("body_md5 does not fit the body."))
    }
}

fn expected(app: &App, request: &SignedRequest<'_>) -> String {
    let mut pairs: Vec<(String, &str)> = request
        .query
        .iter()
        .map(|(key, value)| (key.to_lowercase(), value.as_str()))
        .filter(|(key, _)| key != "auth_signature")
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    hmac_hex(app.secret.expose(), &format!("{}\n{}\n{}", request.method, request.path, query.join("&")))
}

impl SignedRequest<'_> {
    fn require(&self, name: &str) -> Result<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| denied(format!("The query needs {name}.")))
    }
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(Code::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;

    fn app() -> App {
        App::new("3", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"))
    }

    fn query() -> Vec<(String, String)> {
        [
            ("auth_key", "278d425bdf160c739803"),
            ("auth_timestamp", "1353088179"),
            ("auth_version", "1.0"),
            ("body_md5", "ec365a775a4cd0599faeb73354201b6f"),
            ("auth_signature", "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .to_vec()
    }

    fn check(query: &[(String, String)], body: &str, seconds: i64) -> Result<()> {
        let request = SignedRequest { method: "POST", path: "/apps/3/events", query, body: body.as_bytes() };
        verify(&app(), &request, Timestamp::from_micros(seconds * 1_000_000).unwrap())
    }

    /// The vector of the documentation.
    #[test]
    fn the_documented_request_verifies() {
        check(&query(), BODY, 1_353_088_179).unwrap();
    }

    #[test]
    fn a_request_is_good_for_ten_minutes_either_way() {
        for (offset, good) in [(600, true), (-600, true), (601, false), (-601, false)] {
            assert_eq!(check(&query(), BODY, 1_353_088_179 + offset).is_ok(), good, "{offset}");
        }
    }

    #[test]
    fn whatever_is_changed_or_left_out_is_noticed() {
        assert!(check(&query(), &BODY.replace("foo", "bar"), 1_353_088_179).is_err());
        for index in 0..5 {
            let mut changed = query();
            changed[index].1.push('0');
            assert!(check(&changed, BODY, 1_353_088_179).is_err(), "{:?}", changed[index]);
            changed.remove(index);
            assert!(check(&changed, BODY, 1_353_088_179).is_err(), "without {index}");
        }
        let mut more = query();
        more.push(("info".into(), "x".into()));
        assert!(check(&more, BODY, 1_353_088_179).is_err());
    }
}
