//! `NewEndpoint`: an endpoint about to be made, from a request's body or the command line's flags.

use super::destination::refusal;
use super::input::{self, Settings};
use crate::config;
use crate::domain::fields::Given;
use crate::domain::{Error, EventFilter, Fields, Result, Secret, TenantId};
use crate::webhooks::Strategy;
use crate::webhooks::backoff::{Backoff, MAX_RETRIES};
use crate::webhooks::secret_changes::SecretChanges;
use crate::webhooks::secrets::{Secrets, SigningSecrets};
use crate::webhooks::signing::Signer;
use serde_json::json;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What somebody says about an endpoint they want, before anything of it is believed.
#[derive(Debug, Clone)]
pub struct EndpointDraft {
    /// Whose events it shall get.
    pub tenant_id: TenantId,
    /// What to call it; the URL's host if nothing is said.
    pub name: Option<String>,
    /// Where to post.
    pub url: String,
    /// Event filters as written.
    pub events: Vec<String>,
    /// A secret that its owner brings; a new one is made if nothing is said.
    pub secret: Option<Secret>,
}

/// An endpoint that may be made: every part of it has been checked.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    pub(super) tenant_id: TenantId,
    pub(super) name: String,
    pub(super) url: String,
    /// What signs its deliveries, and what else of it is secret.
    pub secrets: Secrets,
    pub(super) events: Vec<EventFilter>,
    /// How it is sent to; a POST each unless said.
    pub strategy: Strategy,
    /// Whether it gets events from the beginning; it does unless changed.
    pub is_active: bool,
    /// When failed deliveries are tried again; the full schedule unless changed.
    pub backoff: Backoff,
    /// From connecting to the end of the answer's body; 5 s unless changed, 0.1 to 30 s.
    pub timeout: Duration,
    /// Requests in flight to it, 1 to 100; the configuration's unless said.
    pub concurrency: Option<usize>,
    /// Requests a minute, 1 to 600,000; no bound unless said.
    pub rate_per_minute: Option<u32>,
    /// Whether each delivery waits for the one before it to end.
    pub is_ordered: bool,
    /// Failures in a row that open its breaker, 1 to 1,000; the configuration's unless said.
    pub breaker_threshold: Option<u32>,
    /// How long its breaker stays open, 1 s to a week; the configuration's unless said.
    pub breaker_open: Option<Duration>,
}

impl NewEndpoint {
    /// Whether the settings allow where it will be sent to, and where a token is got for that, and the strategy what
    /// it is to be sent with.
    pub fn permit(&self, config: &config::Webhooks) -> Result<()> {
        self.strategy.suits(Some(&self.secrets.headers), self.secrets.auth.as_ref())?;
        config.permit_url(&self.url).map_err(|message| Error::field("url", message))?;
        self.secrets.auth.iter().try_for_each(|auth| auth.permit(config))
    }

    /// Checks a draft; every error is named by its field.
    pub fn parse(draft: EndpointDraft) -> Result<Self> {
        let mut body = json!({"url": draft.url, "events": draft.events});
        if let Some(name) = draft.name {
            body["name"] = name.into();
        }
        if let Some(secret) = draft.secret {
            body["secret"] = secret.expose().into();
        }
        Self::read(draft.tenant_id, Fields::of(body)?)
    }

    /// Reads a request's body: `url` and `events` are required.
    pub fn read(tenant_id: TenantId, mut fields: Fields) -> Result<Self> {
        let name = input::name(&mut fields);
        let name = fields.present("name", name);
        let said = input::strategy(&mut fields);
        let url = input::url(&mut fields, said);
        let url = fields.required("url", url);
        let strategy = said.unwrap_or_default();
        if url.as_ref().is_some_and(|url| !strategy.takes(url.as_str())) {
            fields.wrong("url", refusal(strategy));
        }
        let events = input::events(&mut fields);
        let events = fields.required("events", events);
        let settings = Settings::read(&mut fields);
        let secrets = read_secrets(&mut fields);
        fields.finish()?;
        let (Some(url), Some(events), Some(secrets)) = (url, events, secrets) else {
            // Each of them that is not there has left its error.
            return Err(Error::field("url", "The url, events and secret fields cannot be read."));
        };
        // A host may be longer than a name.
        let name = name.unwrap_or_else(|| url.host_str().unwrap_or_default().chars().take(255).collect());
        let new = Self::with(&settings, tenant_id, (name, url.into(), secrets, events));
        Ok(Self { strategy, ..new })
    }

    fn with(
        settings: &Settings,
        tenant_id: TenantId,
        (name, url, secrets, events): (String, String, Secrets, Vec<EventFilter>),
    ) -> Self {
        let number = |given: Option<i32>| given.map(i32::unsigned_abs);
        let seconds = number(settings.breaker_open_seconds.flatten());
        Self {
            tenant_id,
            name,
            url,
            secrets,
            events,
            strategy: Strategy::default(),
            is_active: settings.is_active.unwrap_or(true),
            backoff: Backoff {
                max_retries: number(settings.max_retries).unwrap_or(MAX_RETRIES),
                delay_percent: number(settings.retry_delay).unwrap_or(100),
            },
            timeout: number(settings.timeout_ms)
                .map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into())),
            concurrency: settings.concurrency.flatten().and_then(|n| usize::try_from(n).ok()),
            rate_per_minute: number(settings.rate_per_minute.flatten()),
            is_ordered: settings.is_ordered.unwrap_or(false),
            breaker_threshold: number(settings.breaker_threshold.flatten()),
            breaker_open: seconds.map(|s| Duration::from_secs(s.into())),
        }
    }
}

/// The secret that the owner brings, or a new one, and what else is said of secrets.
fn read_secrets(fields: &mut Fields) -> Option<Secrets> {
    let changes = SecretChanges::read(fields);
    let given = fields.string("secret", 1, 255);
    let current = match given {
        Given::Wrong => return None,
        Given::Value(text) => check_secret(Secret::new(text)),
        Given::Absent | Given::Null => SigningSecrets::generate(false).map_err(|e| e.message().to_owned()),
    };
    let complete = |current| {
        let mut secrets = Secrets::new(current);
        changes.apply(&mut secrets).map(|()| secrets).map_err(|e| e.message().to_owned())
    };
    current.and_then(complete).map_err(|message| fields.wrong("secret", message)).ok()
}

fn check_secret(secret: Secret) -> Result<SigningSecrets, String> {
    let checked = Signer::new(secret.clone()).map(|_| SigningSecrets::brought(secret));
    checked.map_err(|e| e.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(url: &str) -> EndpointDraft {
        EndpointDraft {
            tenant_id: TenantId(1),
            name: None,
            url: url.to_owned(),
            events: vec!["product:*".to_owned()],
            secret: None,
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = NewEndpoint::parse(EndpointDraft {
            name: Some(String::new()),
            events: vec!["*".to_owned(), "a b".to_owned()],
            secret: Some(Secret::new("hunter2")),
            ..draft("gopher://example.com")
        })
        .unwrap_err();
        let fields: Vec<&str> = error.fields().keys().map(String::as_str).collect();
        assert_eq!(fields, ["events.1", "name", "secret", "url"]);
        let error = NewEndpoint::parse(EndpointDraft { events: Vec::new(), ..draft("http://a.example") });
        assert!(error.unwrap_err().fields().contains_key("events"));
    }

    #[test]
    fn a_url_and_a_strategy_belong_together() {
        let read = |body| NewEndpoint::read(TenantId(1), Fields::of(body).unwrap());
        let wrong = |url: &str, strategy: Option<&str>| {
            let mut body = json!({"url": url, "events": ["*"]});
            if let Some(strategy) = strategy {
                body["strategy"] = strategy.into();
            }
            read(body).err().map(|error| error.fields().keys().cloned().collect::<Vec<_>>())
        };
        let (http, redis) = ("https://a.example/", "redis://a.example?stream=s");
        assert_eq!(wrong(http, None), None);
        assert_eq!(wrong(http, Some("pusher_batch")), None);
        assert_eq!(wrong(redis, Some("redis_stream")), None);
        for (url, strategy) in [(redis, None), (redis, Some("http_post")), (http, Some("redis_stream"))] {
            assert_eq!(wrong(url, strategy).unwrap(), ["url"], "{url} {strategy:?}");
        }
        assert_eq!(wrong(redis, Some("smoke")).unwrap(), ["strategy", "url"]);
        let new = read(json!({"url": redis, "events": ["*"], "strategy": "redis_stream"})).unwrap();
        assert_eq!((new.name.as_str(), new.strategy), ("a.example", Strategy::RedisStream));
    }

    #[test]
    fn a_secret_is_made_when_none_is_brought() {
        let (one, two) =
            (NewEndpoint::parse(draft("http://a.example")), NewEndpoint::parse(draft("http://a.example")));
        let [one, two] = [one, two].map(|new| new.unwrap().secrets.current.secret);
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), 6 + 44);
        assert!(Signer::new(one).is_ok());
    }
}
