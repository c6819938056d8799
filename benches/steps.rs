//! What the steps on an event's way cost, each by itself: `cargo bench --bench steps`.

use bellwire::auth::channel_signature;
use bellwire::config::App;
use bellwire::domain::{ChannelName, EventFilter, Secret, SocketId, Timestamp};
use bellwire::realtime::ChannelTable;
use bellwire::realtime::protocol::pusher;
use bellwire::webhooks::breaker::{Breaker, BreakerRule, Sign};
use bellwire::webhooks::signing::Signer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const PRODUCT: &str = r#"{"id":4711,"category_id":3,"name":"Barako beans, \"whole\", 250 g","sku":"COF-BAR-250","price":38000,"stock":24,"min_stock":5,"is_active":true,"updated_at":"2026-03-01T08:00:00.500000Z"}"#;

fn codecs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let channel = ChannelName::tenant(bellwire::domain::TenantId(1));
    let subscribe = r#"{"event":"pusher:subscribe","data":{"auth":"key:4f1d6c0a6f2f1a7b0c3d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70819203","channel":"private-tenant.1"}}"#;
    group.bench_function("decode pusher:subscribe", |b| b.iter(|| pusher::decode(black_box(subscribe))));
    let data = PRODUCT.replace('\\', "\\\\").replace('"', "\\\"");
    let client_event = format!(r#"{{"event":"client-moved","channel":"private-tenant.1","data":"{data}"}}"#);
    group.throughput(Throughput::Bytes(client_event.len() as u64));
    group.bench_function("decode a client event", |b| b.iter(|| pusher::decode(black_box(&client_event))));
    group.throughput(Throughput::Bytes(PRODUCT.len() as u64));
    group.bench_function("encode an event", |b| {
        b.iter(|| pusher::event(&channel, "product:updated", black_box(PRODUCT), None));
    });
    group.finish();
}

fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    group.bench_function("parse a channel's name", |b| {
        b.iter(|| ChannelName::parse(black_box("private-tenant.1")));
    });
    let filters: Vec<EventFilter> = ["order:*", "product:created", "stock:updated", "*"]
        .iter()
        .filter_map(|text| EventFilter::parse(text).ok())
        .collect();
    group.bench_function("four filters of an endpoint", |b| {
        b.iter(|| filters.iter().filter(|filter| filter.accepts(black_box("product:updated"))).count());
    });
    let app = Arc::new(App::new("app", "key", Secret::new("secret")));
    let table = ChannelTable::new(std::slice::from_ref(&app));
    let names: Vec<ChannelName> =
        (1..=10_000).map(|tenant| ChannelName::tenant(bellwire::domain::TenantId(tenant))).collect();
    let _held: Vec<_> = names.iter().map(|name| table.enter(&app.id, name)).collect();
    group.bench_function("look up one of 10,000 channels", |b| {
        let mut names = names.iter().cycle();
        b.iter(|| names.next().map(|name| table.counts(&app.id, name)));
    });
    group.finish();
}

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing");
    let app = App::new("app", "key", Secret::new("a secret of some length"));
    let channel = ChannelName::tenant(bellwire::domain::TenantId(1));
    if let Ok(socket) = "123.456".parse::<SocketId>() {
        let auth = channel_signature::sign(&app, socket, &channel, None);
        group.bench_function("verify a subscription", |b| {
            b.iter(|| channel_signature::verify(&app, black_box(&auth), socket, &channel, None));
        });
    }
    if let (Ok(signer), Some(at)) =
        (Signer::new(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")), time(0))
    {
        group.bench_function("sign a webhook, both ways", |b| {
            b.iter(|| signer.sign("msg_1", at, black_box(PRODUCT.as_bytes())));
        });
    }
    group.finish();
}

fn time(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000)
}

fn breaker(criterion: &mut Criterion) {
    let rule = BreakerRule { threshold: 5, open_for: Duration::from_hours(1) };
    let (Some(now), Some(lease)) = (time(0), time(60)) else { return };
    criterion.bench_function("breaker/ask, and count a failure and a success", |b| {
        let mut breaker = Breaker::default();
        b.iter(|| {
            let admission = black_box(&breaker).admits(now);
            breaker.record(Sign::Bad, lease, rule, now);
            breaker.record(Sign::Good, lease, rule, now);
            admission
        });
    });
}

criterion_group!(benches, codecs, routing, signing, breaker);
criterion_main!(benches);
