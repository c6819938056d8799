//! `EndpointChanges`: what the owner of an endpoint changes of it.

use super::input::{self, Settings};
use crate::config;
use crate::domain::{Error, Fields, Result};
use crate::storage::schema::webhooks;
use crate::webhooks::Strategy;
use crate::webhooks::secret_changes::SecretChanges;
use serde_json::Value;

/// Changes to an endpoint; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChanges {
    pub(super) target: Target,
    pub(super) settings: Settings,
    pub(super) reason: Reason,
    /// How to send from now on, if that changes.
    pub(super) strategy: Option<Strategy>,
    /// What is to be sealed is changed by [`crate::webhooks::rotation::change`].
    pub secrets: SecretChanges,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, diesel::AsChangeset)]
#[diesel(table_name = webhooks)]
pub(super) struct Target {
    name: Option<String>,
    url: Option<String>,
    events: Option<Value>,
    strategy: Option<&'static str>,
}

/// Why it was not active is of no interest once its owner makes it active again.
#[expect(clippy::option_option, reason = "diesel's changeset reads exactly this shape")]
#[derive(Debug, Clone, Default, PartialEq, Eq, diesel::AsChangeset)]
#[diesel(table_name = webhooks)]
pub(super) struct Reason {
    disabled_reason: Option<Option<String>>,
}

impl EndpointChanges {
    /// Reads a request's body; no field is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let name = input::name(&mut fields);
        let name = fields.present("name", name);
        let strategy = input::strategy(&mut fields);
        let url = input::url(&mut fields, strategy);
        let url = fields.present("url", url).map(String::from);
        let events = input::events(&mut fields);
        let events = fields.present("events", events).map(|events| input::column(&events));
        let settings = Settings::read(&mut fields);
        let secrets = SecretChanges::read(&mut fields);
        fields.finish()?;
        let reason = Reason { disabled_reason: (settings.is_active == Some(true)).then_some(None) };
        let target = Target { name, url, events, strategy: strategy.map(Strategy::as_str) };
        Ok(Self { target, settings, reason, strategy, secrets })
    }

    /// Whether the settings allow where it will be posted to, and where a token is got for that.
    pub fn permit(&self, config: &config::Webhooks) -> Result<()> {
        let url = self.target.url.as_deref().map_or(Ok(()), |url| config.permit_url(url));
        url.map_err(|message| Error::field("url", message))?;
        self.secrets.permit(config)
    }

    /// Where it is to be posted to from now on, if that changes.
    pub(super) fn url(&self) -> Option<&str> {
        self.target.url.as_deref()
    }

    /// Only whether it gets events.
    pub fn active(is_active: bool) -> Self {
        let settings = Settings { is_active: Some(is_active), ..Settings::default() };
        Self { settings, reason: Reason { disabled_reason: is_active.then_some(None) }, ..Self::default() }
    }

    /// Whether no column of those that are not sealed changes.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self { secrets: self.secrets.clone(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<EndpointChanges> {
        EndpointChanges::parse(Fields::of(body).unwrap())
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = parse(json!({
            "name": "", "url": "gopher://a.example", "events": ["a b"], "is_active": null, "max_retries": 6,
            "retry_delay": 0, "timeout_ms": 99, "concurrency": 101, "rate_per_minute": 0, "is_ordered": "yes",
            "breaker_threshold": 0, "breaker_open_seconds": 604_801, "strategy": "carrier_pigeon", "secret": "x",
        }))
        .unwrap_err();
        let fields: Vec<&str> = error.fields().keys().map(String::as_str).collect();
        let all = [
            "breaker_open_seconds",
            "breaker_threshold",
            "concurrency",
            "events.0",
            "is_active",
            "is_ordered",
            "max_retries",
            "name",
            "rate_per_minute",
            "retry_delay",
            "secret",
            "strategy",
            "timeout_ms",
            "url",
        ];
        assert_eq!(fields, all);
    }

    #[test]
    fn null_takes_a_bound_away_and_absence_leaves_it() {
        let changes = parse(json!({"concurrency": null, "rate_per_minute": 60})).unwrap().settings;
        assert_eq!((changes.concurrency, changes.rate_per_minute), (Some(None), Some(Some(60))));
        assert_eq!(changes.breaker_threshold, None);
        assert!(parse(json!({})).unwrap().is_empty());
        assert!(!parse(json!({"strategy": "http_post"})).unwrap().is_empty());
    }

    #[test]
    fn making_active_clears_the_reason_of_its_end() {
        assert_eq!(parse(json!({"is_active": true})).unwrap(), EndpointChanges::active(true));
        assert_eq!(EndpointChanges::active(true).reason.disabled_reason, Some(None));
        assert_eq!(EndpointChanges::active(false).reason.disabled_reason, None);
    }
}
