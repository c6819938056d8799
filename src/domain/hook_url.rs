//! `parse_hook_url`: the one reading of the URLs that webhooks are posted to, from whoever names them.

use url::Url;

const MAX_URL: usize = 2_048;

/// Parses an `http` or `https` URL of at most 2,048 characters without a user name or password; the error is a
/// sentence that says which rule broke. The `url` crate brings every spelling of a host (`127.1`, `0x7f000001`,
/// `EXAMPLE.com`) to one; a fragment is left out.
pub fn parse_hook_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|e| format!("The url is not a URL: {e}."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("The url must begin with https:// or http://.".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("The url must not carry a user name or password.".to_owned());
    }
    url.set_fragment(None);
    if url.as_str().len() > MAX_URL {
        return Err(format!("The url must not be longer than {MAX_URL} characters."));
    }
    // What is sent is parsed by the client's own rules, which are narrower for odd characters.
    match url.as_str().parse::<actix_web::http::Uri>() {
        Ok(_) if url.port() != Some(0) => Ok(url),
        _ => Err("The url has a port or characters that no request can carry.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(url: &str) -> Option<String> {
        parse_hook_url(url).ok().map(String::from)
    }

    #[test]
    fn a_host_has_one_spelling() {
        for url in ["http://127.1/h", "http://0x7f000001/h", "http://2130706433/h", "http://0177.0.0.1/h"] {
            assert_eq!(url_of(url).as_deref(), Some("http://127.0.0.1/h"), "{url}");
        }
        assert_eq!(url_of("https://EXAMPLE.com:443#x").as_deref(), Some("https://example.com/"));
        assert_eq!(
            url_of("https://bücher.example/a b").as_deref(),
            Some("https://xn--bcher-kva.example/a%20b")
        );
        assert_eq!(url_of("http://[::ffff:127.0.0.1]/").as_deref(), Some("http://[::ffff:7f00:1]/"));
    }

    #[test]
    fn a_url_that_is_not_plain_http_is_refused() {
        for url in [
            "",
            "example.com/hook",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://",
            "http://:80/",
            "http://user@example.com/",
            "http://user:pass@example.com/",
            "http://:pass@example.com/",
            "http://example.com:0/",
            "http://example.com:65536/",
            "http://exa mple.com/",
            "http://[::1%25lo]/",
        ] {
            assert_eq!(url_of(url), None, "{url}");
        }
        assert_eq!(url_of(&format!("http://example.com/{}", "a".repeat(MAX_URL))), None);
    }
}
