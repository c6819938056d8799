//! The signature of a Pusher HTTP API request.
//! <https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication>
//!
//! `METHOD\n/path\n` and all query parameters but the signature, keys in lower case, sorted, `k=v` joined by
//! `&`, not URL-encoded. The body is signed through its MD5 in the query, so a request's head can be judged
//! before its body is read. There is no nonce: two equal events within a second carry equal signatures, and
//! both are good; the timestamp's window bounds how long a copied request can be sent again.

use super::channel_signature::hmac_hex_of;
use crate::config::App;
use crate::domain::{Code, Error, Result, Timestamp};
use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// How far a request's timestamp may be from ours, either way.
const WINDOW_SECONDS: u64 = 600;

/// The parameters of a request's query: values decoded, keys in lower case and in their order; parameters of
/// one key (`channels[]`) in the order they were sent in.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads what stands behind the question mark. Nothing is wrong with any text: what is not a parameter of
    /// ours is signed all the same.
    pub fn parse(text: &'a str) -> Self {
        let lower = |key: Cow<'a, str>| {
            if key.bytes().any(|b| b.is_ascii_uppercase()) { key.to_ascii_lowercase().into() } else { key }
        };
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        let mut pairs: Vec<_> = pairs.map(|(key, value)| (lower(key), value)).collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(pairs)
    }

    /// The value of a parameter; of several, the first.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// The values of a parameter.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| &**value)
    }

    fn require(&self, key: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| denied(format!("The query needs {key}.")))
    }
}

/// Whether a request was signed with the app's secret, lately: `method` in capitals, `path` with its leading
/// slash. What it says of its body is for [`verify_body`]. The error says which check failed, in words for the
/// back end's developer.
pub fn verify(app: &App, method: &str, path: &str, query: &Query<'_>, now: Timestamp) -> Result<()> {
    if !same(query.require("auth_key")?, &app.key) {
        return Err(denied("auth_key is not the key of this app."));
    }
    if query.require("auth_version")? != "1.0" {
        return Err(denied("auth_version must be 1.0."));
    }
    let timestamp: i64 = query
        .require("auth_timestamp")?
        .parse()
        .map_err(|_| denied("auth_timestamp must be seconds since 1970."))?;
    let signature = query.require("auth_signature")?;
    if !same(&expected(app, method, path, query), signature)
        && !decoded(path).is_some_and(|path| same(&expected(app, method, &path, query), signature))
    {
        return Err(denied("auth_signature does not fit the request."));
    }
    if now.unix_seconds().abs_diff(timestamp) > WINDOW_SECONDS {
        return Err(denied("auth_timestamp is more than 600 seconds away from the server's clock."));
    }
    Ok(())
}

/// Whether the body is the one that the signed query speaks of.
pub fn verify_body(query: &Query<'_>, body: &[u8]) -> Result<()> {
    match query.get("body_md5") {
        None if body.is_empty() => Ok(()),
        None => Err(denied("The query needs body_md5, as there is a body.")),
        Some(given) if same(&hex::encode(Md5::digest(body)), given) => Ok(()),
        Some(_) => Err(denied("body_md5 does not fit the body.")),
    }
}

fn expected(app: &App, method: &str, path: &str, query: &Query<'_>) -> String {
    let signed = query.0.iter().filter(|(key, _)| key != "auth_signature");
    let pairs = signed.enumerate().flat_map(|(nth, (key, value))| {
        let joint = if nth == 0 { "" } else { "&" };
        [joint, &**key, "=", &**value]
    });
    hmac_hex_of(app.secret.expose(), [method, "\n", path, "\n"].into_iter().chain(pairs))
}

/// The path as a library may have signed it before its HTTP client escaped it (`/users/ann lee/…`). Not with
/// control characters in it: a line break would let one signed text be read as two requests.
fn decoded(path: &str) -> Option<String> {
    if !path.contains('%') {
        return None;
    }
    let text = percent_decode_str(path).decode_utf8().ok()?;
    (!text.chars().any(char::is_control)).then_some(text.into_owned())
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
    use proptest::prelude::*;

    const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    const SIGNED: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
                          &body_md5=ec365a775a4cd0599faeb73354201b6f\
                          &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
    const AT: i64 = 1_353_088_179;

    fn app() -> App {
        App::new("3", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"))
    }

    fn check(query: &str, body: &str, seconds: i64) -> Result<()> {
        let query = Query::parse(query);
        let now = Timestamp::from_micros(seconds * 1_000_000).unwrap();
        verify(&app(), "POST", "/apps/3/events", &query, now)?;
        verify_body(&query, body.as_bytes())
    }

    /// The query of a GET with these parameters, signed as the documentation says, apart from the code above.
    fn signed(path: &str, parameters: &[(&str, &str)]) -> String {
        let mut pairs = vec![("auth_key", "278d425bdf160c739803"), ("auth_timestamp", "1353088179")];
        pairs.push(("auth_version", "1.0"));
        pairs.extend(parameters);
        pairs.sort_by_key(|(key, _)| key.to_lowercase());
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={v}", k.to_lowercase())).collect();
        let text = format!("GET\n{path}\n{}", text.join("&"));
        pairs.push(("auth_signature", ""));
        let signature = super::super::channel_signature::hmac_hex("7ad3773142a6692b25b8", &text);
        pairs.last_mut().unwrap().1 = &signature;
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    fn get(path: &str, query: &str) -> Result<()> {
        verify(&app(), "GET", path, &Query::parse(query), Timestamp::from_micros(AT * 1_000_000).unwrap())
    }

    /// The vector of the documentation.
    #[test]
    fn the_documented_request_verifies() {
        check(SIGNED, BODY, AT).unwrap();
    }

    #[test]
    fn a_request_is_good_for_ten_minutes_either_way() {
        for (offset, good) in [(600, true), (-600, true), (601, false), (-601, false)] {
            assert_eq!(check(SIGNED, BODY, AT + offset).is_ok(), good, "{offset}");
        }
    }

    #[test]
    fn whatever_is_changed_or_left_out_is_noticed() {
        assert!(check(SIGNED, &BODY.replace("foo", "bar"), AT).is_err());
        assert!(check(SIGNED, "", AT).is_err(), "the body was taken away");
        let parts: Vec<&str> = SIGNED.split('&').collect();
        for nth in 0..parts.len() {
            let without: Vec<&str> =
                parts.iter().enumerate().filter(|(n, _)| *n != nth).map(|p| *p.1).collect();
            assert!(check(&without.join("&"), BODY, AT).is_err(), "without {}", parts[nth]);
            let changed = format!("{}0&{}", parts[nth], without.join("&"));
            assert!(check(&changed, BODY, AT).is_err(), "{changed}");
        }
        assert!(check(&format!("{SIGNED}&info=x"), BODY, AT).is_err());
        assert!(check(&SIGNED.to_uppercase(), BODY, AT).is_err());
    }

    #[test]
    fn the_order_and_the_case_of_keys_do_not_matter_and_those_of_values_do() {
        let mut parts: Vec<&str> = SIGNED.split('&').collect();
        parts.reverse();
        check(&parts.join("&"), BODY, AT).unwrap();
        check(&SIGNED.replace("auth_version", "AUTH_Version"), BODY, AT).unwrap();
        let path = "/apps/3/channels";
        let query = signed(path, &[("Info", "user_count"), ("filter_by_prefix", "presence-ä &=+%")]);
        get(path, &query).unwrap();
        let two = signed(path, &[("channels[]", "b"), ("channels[]", "a")]);
        get(path, &two).unwrap();
        let (one, other) = ("channels%5B%5D=b", "channels%5B%5D=a");
        let swapped = two.replace(one, "x").replace(other, one).replace('x', other);
        assert!(two != swapped && get(path, &swapped).is_err(), "{swapped}");
    }

    #[test]
    fn a_path_may_be_signed_as_it_was_before_it_was_escaped() {
        let query = signed("/apps/3/users/ann lee/x", &[]);
        get("/apps/3/users/ann%20lee/x", &query).unwrap();
        get("/apps/3/users/ann%20lee/x", &signed("/apps/3/users/ann%20lee/x", &[])).unwrap();
        assert!(get("/apps/3/users/ann%20leo/x", &query).is_err());
        let broken = signed("/apps/3/users/a\nb/x", &[]);
        assert!(get("/apps/3/users/a%0Ab/x", &broken).is_err());
    }

    #[test]
    fn no_body_needs_no_md5_and_may_have_one() {
        let (path, empty) = ("/apps/3/channels", "d41d8cd98f00b204e9800998ecf8427e");
        for (parameters, good) in
            [(vec![], true), (vec![("body_md5", empty)], true), (vec![("body_md5", "0")], false)]
        {
            let text = signed(path, &parameters);
            let query = Query::parse(&text);
            get(path, &text).unwrap();
            assert_eq!(verify_body(&query, b"").is_ok(), good, "{parameters:?}");
            assert!(verify_body(&query, b"x").is_err());
        }
    }

    proptest! {
        #[test]
        fn no_query_panics_and_none_is_good_without_the_secret(text in ".{0,300}") {
            prop_assert!(get("/apps/3/channels", &text).is_err());
        }
    }
}
