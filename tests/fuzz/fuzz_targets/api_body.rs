//! What back ends publish: an event in a body or a query (two lines), a batch of them.
#![no_main]

use bellwire::auth::api_signature::Query;
use bellwire::config::App;
use bellwire::domain::{ChannelKind, Secret};
use bellwire::http::routes::pusher_api::batch;
use bellwire::http::routes::pusher_api::event::{Event, Raw};
use libfuzzer_sys::fuzz_target;
use std::time::Instant;

fuzz_target!(|text: &str| {
    let app = App::new("3", "key", Secret::new("secret"));
    let now = Instant::now();
    let (body, query) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(event) = Raw::read(body.as_bytes(), &Query::parse(query)).and_then(|raw| raw.check(&app, now)) {
        check(&event, &app);
    }
    if let Ok(events) = batch::parse(text.as_bytes(), &app, now) {
        assert!((1..=10).contains(&events.len()));
        for event in events {
            check(&event, &app);
            assert_eq!(event.channels.len(), 1);
        }
    }
});

fn check(event: &Event, app: &App) {
    assert!((1..=100).contains(&event.channels.len()));
    assert!(event.channels.len() == 1 || event.channels.iter().all(|c| c.kind() != ChannelKind::Encrypted));
    assert!((1..=200).contains(&event.publication.name.chars().count()));
    assert!(event.publication.data.len() <= app.max_data_bytes);
}
