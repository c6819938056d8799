//! What a request may say about preferences: the clock, the language, and choices by channel and type.

use crate::domain::fields::Given;
use crate::domain::{EventFilter, Fields, Locale, Result, Zone};
use crate::notifications::digest::DigestFrequency;
use crate::notifications::preferences::DigestMode;
use crate::notifications::{Channel, QuietHours};
use serde_json::Value;

/// Choices of one request.
const MOST: usize = 100;

/// What one choice is about: one channel or all, some types or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// None: all.
    pub channel: Option<Channel>,
    /// A name or a prefix; none: all.
    pub types: Option<EventFilter>,
}

/// A change to one choice. `None` leaves a field as it is, `Some(None)` takes back what was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it is about.
    pub scope: Scope,
    /// On or off.
    pub enabled: Option<Option<bool>>,
    /// Gathered or not.
    pub digest: Option<Option<DigestMode>>,
    /// Quiet hours, which may be none at all.
    pub quiet_hours: Option<Option<QuietHours>>,
}

impl Choice {
    /// Whether it changes anything.
    fn says_nothing(&self) -> bool {
        self.enabled.is_none() && self.digest.is_none() && self.quiet_hours.is_none()
    }
}

/// A request's changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The clock; `Some(None)`: as the tenant's.
    pub timezone: Option<Option<String>>,
    /// The language; `Some(None)`: as the tenant's.
    pub locale: Option<Option<String>>,
    /// Choices, each scope once.
    pub choices: Vec<Choice>,
}

impl Changes {
    /// Reads a request's body. `enabled`, `digest` and `quiet_hours` beside `timezone` are for all channels and types;
    /// `channels` has them by channel, `preferences` by `channel` and `type`.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let timezone = read_text(&mut fields, "timezone", |name| Ok(Zone::parse(name)?.name().to_owned()));
        let locale = read_text(&mut fields, "locale", |tag| Ok(Locale::parse(tag)?.as_str().to_owned()));
        let all = Scope { channel: None, types: None };
        let mut choices = vec![read_choice(&mut fields, all)];
        read_channels(&mut fields, &mut choices);
        read_list(&mut fields, &mut choices);
        choices.retain(|choice| !choice.says_nothing());
        for (number, choice) in choices.iter().enumerate() {
            if choices.iter().take(number).any(|other| other.scope == choice.scope) {
                fields.wrong("preferences", "A channel and type may be chosen for once only.");
                break;
            }
        }
        fields.finish()?;
        Ok(Self { timezone: timezone.change(), locale: locale.change(), choices })
    }
}

fn read_text(
    fields: &mut Fields,
    name: &'static str,
    parse: impl Fn(&str) -> std::result::Result<String, String>,
) -> Given<String> {
    let given = fields.string(name, 1, 64);
    let Given::Value(text) = given else { return given };
    parse(&text).map_or_else(
        |message| {
            fields.wrong(name, message);
            Given::Wrong
        },
        Given::Value,
    )
}

fn read_choice(fields: &mut Fields, scope: Scope) -> Choice {
    let enabled = fields.boolean("enabled").change();
    let digest = read_digest(fields).change();
    let quiet_hours = read_quiet_hours(fields).change();
    Choice { scope, enabled, digest, quiet_hours }
}

fn read_digest(fields: &mut Fields) -> Given<DigestMode> {
    let word = match fields.string("digest", 1, 20) {
        Given::Value(word) => word,
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Wrong => return Given::Wrong,
    };
    if word == "off" {
        return Given::Value(DigestMode::Off);
    }
    if let Ok(frequency) = word.parse::<DigestFrequency>() {
        return Given::Value(DigestMode::Every(frequency));
    }
    fields.wrong("digest", "The digest field must be off, hourly, daily or weekly.");
    Given::Wrong
}

/// `{"start": "22:00", "end": "07:00"}`; `false` for none at all.
fn read_quiet_hours(fields: &mut Fields) -> Given<QuietHours> {
    let value = match fields.raw("quiet_hours") {
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Wrong => return Given::Wrong,
        Given::Value(Value::Bool(false)) => return Given::Value(QuietHours::OFF),
        Given::Value(value) => value,
    };
    let hours = serde_json::from_value::<QuietHours>(value).map_err(|error| error.to_string());
    let whole_minutes = |hours: QuietHours| {
        let seconds = "Quiet hours begin and end at whole minutes.".to_owned();
        if hours.minutes().is_some() { Ok(hours) } else { Err(seconds) }
    };
    hours.and_then(whole_minutes).map_or_else(
        |message| {
            let shape =
                "The quiet_hours field must be {\"start\": \"22:00\", \"end\": \"07:00\"}, false or null";
            fields.wrong("quiet_hours", format!("{shape}: {message}"));
            Given::Wrong
        },
        Given::Value,
    )
}

/// `channels`: an object with a choice for each channel named.
fn read_channels(fields: &mut Fields, choices: &mut Vec<Choice>) {
    let by_channel = match fields.raw("channels") {
        Given::Value(Value::Object(by_channel)) => by_channel,
        Given::Absent | Given::Null => return,
        _ => return fields.wrong("channels", "The channels field must be an object: {\"email\": {…}}."),
    };
    for (name, choice) in by_channel {
        let key = format!("channels.{name}");
        match (name.parse::<Channel>(), choice) {
            (Ok(channel), Value::Object(object)) => {
                let mut inner = Fields::nested(object, format!("{key}."));
                choices.push(read_choice(&mut inner, Scope { channel: Some(channel), types: None }));
                fields.absorb(inner.into_errors());
            }
            (Ok(_), _) => fields.wrong(&key, format!("The {key} field must be an object.")),
            (Err(message), _) => fields.wrong(&key, message),
        }
    }
}

/// `preferences`: a list of choices, each for a `channel`, a `type` or both.
fn read_list(fields: &mut Fields, choices: &mut Vec<Choice>) {
    let Given::Value(listed) = fields.array("preferences") else { return };
    if listed.len() > MOST {
        fields.wrong("preferences", format!("The preferences field must not have more than {MOST}."));
        return;
    }
    for (number, one) in listed.into_iter().enumerate() {
        let key = format!("preferences.{number}");
        let Value::Object(object) = one else {
            fields.wrong(&key, format!("The {key} field must be an object."));
            continue;
        };
        let mut inner = Fields::nested(object, format!("{key}."));
        let scope = read_scope(&mut inner);
        let choice = read_choice(&mut inner, scope.clone().unwrap_or(Scope { channel: None, types: None }));
        fields.absorb(inner.into_errors());
        choices.extend(scope.map(|_| choice));
    }
}

fn read_scope(fields: &mut Fields) -> Option<Scope> {
    let channel = fields.string("channel", 1, 20).value();
    let channel = channel.map(|word| word.parse::<Channel>()).transpose();
    let types = fields.string("type", 1, 100).value();
    let types = types.map(|pattern| EventFilter::parse(&pattern)).transpose();
    match (channel, types) {
        (Ok(channel), Ok(types)) => Some(Scope { channel, types }),
        (channel, types) => {
            if let Err(message) = channel {
                fields.wrong("channel", message);
            }
            if let Err(message) = types {
                fields.wrong("type", message);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<Changes> {
        Changes::parse(Fields::of(body).unwrap())
    }

    #[test]
    fn choices_are_for_all_by_channel_or_by_both() {
        let changes = parse(json!({
            "timezone": "asia/manila", "locale": null, "quiet_hours": {"start": "21:00", "end": "07:30"},
            "channels": {"email": {"enabled": false}},
            "preferences": [{"channel": "in_app", "type": "order:*", "digest": "daily"}, {"type": "promo"}],
        }))
        .unwrap();
        assert_eq!((changes.timezone, changes.locale), (Some(Some("Asia/Manila".to_owned())), Some(None)));
        let [all, email, orders] = changes.choices.as_slice() else { panic!("{:?}", changes.choices) };
        assert_eq!(all.quiet_hours.unwrap().unwrap().minutes(), Some((21 * 60, 7 * 60 + 30)));
        assert_eq!((email.scope.channel, email.enabled), (Some(Channel::Email), Some(Some(false))));
        assert_eq!(orders.digest, Some(Some(DigestMode::Every(DigestFrequency::Daily))));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = parse(json!({
            "timezone": "+02:00", "locale": "english", "digest": "yearly", "quiet_hours": {"start": "22"},
            "channels": {"sms": {}, "email": {"enabled": "no"}},
            "preferences": [{"channel": "fax"}, 7, {"type": "a b"}, {"colour": 1}],
        }))
        .unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        let expected = [
            "channels.email.enabled",
            "channels.sms",
            "digest",
            "locale",
            "preferences.0.channel",
            "preferences.1",
            "preferences.2.type",
            "preferences.3.colour",
            "quiet_hours",
            "timezone",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn one_scope_is_chosen_for_once() {
        let twice = json!({"enabled": true, "preferences": [{"enabled": false}]});
        assert!(parse(twice).unwrap_err().fields().contains_key("preferences"));
        let seconds = json!({"quiet_hours": {"start": "22:00:30", "end": "07:00"}});
        assert!(parse(seconds).unwrap_err().fields().contains_key("quiet_hours"));
    }
}
