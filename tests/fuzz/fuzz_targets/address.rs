//! `X-Forwarded-For` and `Origin`: three lines: the peer, the forwarded addresses, the origin.
#![no_main]

use actix_web::test::TestRequest;
use bellwire::http::client_address::client_address;
use bellwire::http::origin;
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let peer: IpAddr = lines.next().and_then(|line| line.parse().ok()).unwrap_or([10, 0, 0, 1].into());
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let is_trusted =
        |address: IpAddr| trusted.iter().any(|net: &ipnet::IpNet| net.contains(&address.to_canonical()));
    if let Some(forwarded) = lines.next()
        && let Ok(value) = actix_web::http::header::HeaderValue::from_str(forwarded)
    {
        let request =
            TestRequest::default().peer_addr((peer, 1).into()).insert_header(("x-forwarded-for", value));
        let client = client_address(&request.to_http_request(), &trusted);
        // Either the peer itself, or an address that it vouches for and that stands in the header.
        if client != peer.to_canonical() {
            assert!(is_trusted(peer));
            let named =
                |entry: &str| entry.trim().parse::<IpAddr>().is_ok_and(|a| a.to_canonical() == client);
            assert!(forwarded.split(',').any(named));
        }
    }
    if let Some(from) = lines.next() {
        let list = ["https://shop.example".to_owned(), "https://*.shop.example".to_owned()];
        if origin::is_allowed(&list, Some(from)) {
            let from = from.to_ascii_lowercase();
            assert!(
                from == "https://shop.example"
                    || (from.starts_with("https://") && from.ends_with(".shop.example"))
            );
            assert!(!from["https://".len()..].contains(['/', '@', ':', '?', '#']));
        }
    }
});
