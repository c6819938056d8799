//! The signature of HTTP API requests: three lines: the path, the query, the body. Nothing but a request that
//! was signed is let in, and signing it makes it so.
#![no_main]

use bellwire::auth::api_signature::{Query, verify, verify_body};
use bellwire::config::App;
use bellwire::domain::{Secret, Timestamp};
use libfuzzer_sys::fuzz_target;

const SIGNED: &str = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (path, query, body) =
        (lines.next(), lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let path = path.unwrap_or_default();
    let app = App::new("3", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"));
    let Some(now) = Timestamp::from_micros(1_353_088_179_000_000) else { return };
    let query = Query::parse(query);
    if verify(&app, "POST", path, &query, now).is_ok() {
        // The one signature of this secret that the fuzzer knows is that of the documentation's example.
        assert!(query.get("auth_signature").is_some_and(|signature| signature == SIGNED));
        assert_eq!(path, "/apps/3/events");
        assert_eq!(query.get("body_md5"), Some("ec365a775a4cd0599faeb73354201b6f"));
    }
    if verify_body(&query, body.as_bytes()).is_ok() {
        assert_eq!(
            body.is_empty(),
            query.get("body_md5").is_none_or(|md5| md5 == "d41d8cd98f00b204e9800998ecf8427e")
        );
    }
});
