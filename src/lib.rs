//! bellwire: a real-time hub in one binary. This page is the map.
//!
//! A folder uses only folders above it on this page; folders of one band never name each other, and meet
//! through `actix::Recipient`s that `app` hands out.
//!
//! | band | folder | holds |
//! |---|---|---|
//! | words | [`domain`] | ids, channel names, events, times, errors; no IO |
//! | ground | [`config`] | settings: file, environment, flags |
//! | | [`telemetry`] | logs and metrics |
//! | | [`storage`] | the two databases behind one `Db`, migrations, the outbox |
//! | rooms | [`auth`] | bearer tokens, channel signatures, who may join which channel |
//! | | [`catalog`] | products, categories, orders, and the events of their changes |
//! | | [`realtime`] | sessions, channels, the registry, the Pusher protocol |
//! | | [`notifications`] | who is told of what, on which channel, when, and in which words |
//! | | [`webhooks`] | endpoints, deliveries, signing, the client that sends them |
//! | doors | [`http`] | routes, extractors, middleware |
//! | roof | [`app`] | the one place that wires the rooms together |
//! | | [`cli`] | the verbs of the command line |
//!
//! One product update, read aloud: `http::routes::products` → `catalog::product` (in a transaction) →
//! `catalog::observer` (event and delivery rows in it, a nudge after the commit) → `realtime::registry` →
//! `realtime::channel` → `realtime::session` → socket; and from the registry → `webhooks::endpoint_actor` →
//! `signing`, `client` → `delivery_log`.

pub mod domain;

pub mod config;
pub mod storage;
pub mod telemetry;

pub mod auth;
pub mod catalog;
pub mod notifications;
pub mod realtime;
pub mod webhooks;

pub mod http;

pub mod app;
pub mod cli;
