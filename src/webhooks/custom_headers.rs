//! `CustomHeaders`: what an endpoint's owner wants in the head of each delivery, beside what we put there.

use crate::domain::Secret;
use serde_json::{Map, Value};

const MAX_HEADERS: usize = 20;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 4_096;

/// What frames the request, what belongs to one hop, and what we sign and say of ourselves.
const FORBIDDEN: [&str; 11] = [
    "connection",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

const FORBIDDEN_PREFIXES: [&str; 5] = ["content-", "proxy-", "sec-", "webhook-", "x-webhook-"];

/// Names in lower case, each once, and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(String, Secret)>);

impl CustomHeaders {
    /// Reads `{"X-Name": "value", …}`; the errors are sentences that do not repeat a value.
    pub fn parse(value: &Value) -> Result<Self, Vec<String>> {
        let Value::Object(object) = value else {
            return Err(vec!["The headers field must be an object of names and values.".to_owned()]);
        };
        if object.len() > MAX_HEADERS {
            return Err(vec![format!("The headers field must not have more than {MAX_HEADERS} headers.")]);
        }
        let (mut headers, mut errors): (Vec<(String, Secret)>, Vec<String>) = (Vec::new(), Vec::new());
        for (name, value) in object {
            match parse_one(name, value) {
                Ok((name, _)) if headers.iter().any(|(other, _)| *other == name) => {
                    errors.push(format!("The header {name} stands twice."));
                }
                Ok(header) => headers.push(header),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(headers)) } else { Err(errors) }
    }

    /// The names, for whoever asks: values are never shown again.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values, for the request.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (String, Secret)> {
        self.0.iter().cloned()
    }

    /// What is sealed, and what [`Self::parse`] reads.
    pub(super) fn text(&self) -> Secret {
        let pair = |(name, value): &(String, Secret)| (name.clone(), Value::from(value.expose()));
        Secret::new(Value::Object(self.0.iter().map(pair).collect::<Map<_, _>>()).to_string())
    }
}

fn parse_one(name: &str, value: &Value) -> Result<(String, Secret), String> {
    let name = parse_name(name)?;
    let value = value.as_str().ok_or_else(|| format!("The header {name} must have a string for a value."))?;
    Ok((name.clone(), Secret::new(parse_value(&name, value)?)))
}

/// A name in lower case that may be set.
pub(super) fn parse_name(name: &str) -> Result<String, String> {
    let of_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(of_token) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(format!("\"{shown}\" is not the name of a header."));
    }
    let name = name.to_ascii_lowercase();
    if FORBIDDEN.contains(&name.as_str()) || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    {
        return Err(format!("The header {name} is not yours to set."));
    }
    Ok(name)
}

/// A value that fits into one line, without spaces around it.
pub(super) fn parse_value(name: &str, value: &str) -> Result<String, String> {
    let value = value.trim_matches([' ', '\t']);
    if value.len() > MAX_VALUE {
        return Err(format!("The value of the header {name} must not be longer than {MAX_VALUE} bytes."));
    }
    if value.is_empty() || !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
        return Err(format!("The value of the header {name} must be printable ASCII on one line."));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(value: &Value) -> Vec<String> {
        CustomHeaders::parse(value).unwrap_err()
    }

    #[test]
    fn headers_read_back_what_they_write() {
        let headers =
            CustomHeaders::parse(&json!({"X-Shop": " 7 ", "Authorization": "Bearer canary"})).unwrap();
        assert_eq!(headers.names().collect::<Vec<_>>(), ["authorization", "x-shop"]);
        let read = CustomHeaders::parse(&serde_json::from_str(headers.text().expose()).unwrap()).unwrap();
        assert_eq!(read, headers);
        assert!(!format!("{headers:?}").contains("canary"));
        assert_eq!(headers.pairs().last().unwrap().1.expose(), "7");
    }

    #[test]
    fn what_is_not_the_owners_to_set_is_refused() {
        for name in [
            "Host",
            "Content-Type",
            "content-length",
            "Content-Encoding",
            "User-Agent",
            "Transfer-Encoding",
            "TE",
            "Trailer",
            "Upgrade",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Cookie",
            "Expect",
            "X-Webhook-Signature",
            "webhook-id",
            "WEBHOOK-SIGNATURE",
            "Sec-Fetch-Site",
        ] {
            assert!(errors(&json!({name: "x"}))[0].contains("not yours"), "{name}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        for name in ["", "a b", "a:b", "a\r\nb", "ä", &"a".repeat(129)] {
            assert!(errors(&json!({name: "x"}))[0].contains("not the name"), "{name:?}");
        }
        for value in ["a\r\nHost: x", "a\nb", "a\rb", "a\0b", "ä", "", " "] {
            let error = errors(&json!({"X-A": value})).remove(0);
            assert!(error.contains("one line"), "{value:?}");
        }
        assert!(errors(&json!({"X-A": "x".repeat(4_097)}))[0].contains("4096"));
        assert!(errors(&json!({"X-A": 7}))[0].contains("a string"));
        assert_eq!(errors(&json!({"X-A": 7, "host": "x", "X-B": "x"})).len(), 2);
        assert!(errors(&json!({"X-A": "1", "x-a": "2"}))[0].contains("twice"));
        assert!(errors(&json!([]))[0].contains("an object"));
        let many: Map<String, Value> = (0..21).map(|n| (format!("X-{n}"), json!("x"))).collect();
        assert!(errors(&Value::Object(many))[0].contains("20"));
    }
}
