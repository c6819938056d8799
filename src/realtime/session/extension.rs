//! `Agreement`: what a client and we agree on of permessage-deflate (RFC 7692 §7.1). Pure.
//!
//! Both sides begin each message anew (`no_context_takeover`), so that a connection holds no window: we save
//! memory, and compress a broadcast once for all who get it.

/// Largest window of deflate, as a power of two.
pub const MAX_WINDOW_BITS: u8 = 15;

/// Messages may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The window that the client can take, as a power of two.
    pub window_bits: u8,
}

impl Agreement {
    /// The first that can be met of the offers in several headers.
    pub fn among<'a>(mut headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers.find_map(Self::reach)
    }

    /// The first offer of a `Sec-WebSocket-Extensions` header that we can meet.
    pub fn reach(offers: &str) -> Option<Self> {
        offers.split(',').find_map(Self::meet)
    }

    fn meet(offer: &str) -> Option<Self> {
        let mut parameters = offer.split(';').map(str::trim);
        if parameters.next() != Some("permessage-deflate") {
            return None;
        }
        let (mut seen, mut window_bits) = (Vec::new(), MAX_WINDOW_BITS);
        for parameter in parameters {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
                None => (parameter, None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                // The first two we do anyway, and we can take any window.
                (
                    "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(value)) => drop(bits(value)?),
                // The smallest is one that our deflate cannot keep to.
                ("server_max_window_bits", Some(value)) => {
                    window_bits = bits(value).filter(|bits| *bits > 8)?;
                }
                _ => return None,
            }
        }
        Some(Self { window_bits })
    }

    /// The header that tells the client.
    pub fn header(self) -> String {
        let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        match self.window_bits {
            MAX_WINDOW_BITS => always.to_owned(),
            bits => format!("{always}; server_max_window_bits={bits}"),
        }
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// 8 to 15, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let canonical = !value.starts_with('0') && value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|bits| canonical && (8..=MAX_WINDOW_BITS).contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offer_that_can_be_met_is_taken() {
        let table = [
            ("permessage-deflate; client_max_window_bits", Some(15)),
            ("permessage-deflate", Some(15)),
            ("permessage-deflate;server_no_context_takeover ; client_no_context_takeover", Some(15)),
            ("permessage-deflate; server_max_window_bits=10", Some(10)),
            ("permessage-deflate; server_max_window_bits=\"9\"; client_max_window_bits=8", Some(9)),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some(15)),
            ("x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=12", Some(12)),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=016", None),
            ("permessage-deflate; client_max_window_bits=16", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate; unheard_of", None),
            ("permessage-bzip2", None),
            ("", None),
        ];
        for (offers, expected) in table {
            assert_eq!(Agreement::reach(offers).map(|a| a.window_bits), expected, "{offers}");
        }
    }

    #[test]
    fn the_answer_says_that_no_side_keeps_a_window() {
        let header = Agreement { window_bits: 10 }.header();
        assert!(header.contains("server_no_context_takeover; client_no_context_takeover"));
        assert!(header.ends_with("server_max_window_bits=10"));
        assert_eq!(Agreement::reach(&header), Some(Agreement { window_bits: 10 }));
    }
}
