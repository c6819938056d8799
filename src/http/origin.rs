//! Which web pages may connect: an app's allow-list against the `Origin` header (RFC 6454). Pure.

use actix_web::http::header::{HeaderMap, ORIGIN};

/// The `Origin` of a request. Browsers send one at most; several, or one that is no text, are none that a list
/// could name.
pub fn of(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(ORIGIN);
    let first = all.next()?;
    Some(if all.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
}

/// Whether a request with this `Origin` may connect. An empty list allows all. A client that sends none is
/// no browser: nobody's cookies or pages stand behind it.
pub fn is_allowed(allowed: &[String], origin: Option<&str>) -> bool {
    match origin {
        _ if allowed.is_empty() => true,
        None => true,
        Some(origin) => allowed.iter().any(|pattern| matches(pattern, origin)),
    }
}

/// `https://shop.example`, or `https://*.shop.example` for its subdomains (not for itself), or `*` for all.
fn matches(pattern: &str, origin: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once("*.") {
        None => pattern.eq_ignore_ascii_case(origin),
        Some((scheme, domain)) => {
            let (origin, domain) = (origin.to_ascii_lowercase(), format!(".{}", domain.to_ascii_lowercase()));
            let host = origin.strip_prefix(&scheme.to_ascii_lowercase());
            host.and_then(|h| h.strip_suffix(&domain)).is_some_and(|sub| {
                !sub.is_empty() && sub.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_decides_over_browsers() {
        let list = ["https://shop.example".to_owned(), "https://*.shop.example".to_owned()];
        let table = [
            (Some("https://shop.example"), true),
            (Some("https://SHOP.example"), true),
            (Some("https://admin.shop.example"), true),
            (Some("http://shop.example"), false),
            (Some("https://shop.example.evil"), false),
            (Some("https://evilshop.example"), false),
            (Some("https://evil/.shop.example"), false),
            (Some("https://.shop.example"), false),
            (Some("https://shop.example:8443"), false),
            (Some("null"), false),
            (Some(""), false),
            (None, true),
        ];
        for (origin, expected) in table {
            assert_eq!(is_allowed(&list, origin), expected, "{origin:?}");
        }
        assert!(is_allowed(&[], Some("https://anything")));
    }
}
