//! `Draft`: what a request says a notification shall be, whoever it is for and whenever it goes.

use super::best_time::{Timing, Window};
use super::dispatch::{Action, Content, Extras, Message, Wordings};
use super::readers::Readers;
use super::template::{MAX_BODY_CHARS, Variables};
use super::templates::Shelf;
use super::{Channel, NotificationType, Priority};
use crate::domain::fields::Given;
use crate::domain::{Error, Fields, Result, TenantId, Timestamp};
use crate::storage::Conn;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What `data` may be long, as JSON text.
const MAX_DATA_BYTES: usize = 8_192;

/// What `variables` may be long, as JSON text.
const MAX_VARIABLES_BYTES: usize = 65_536;

/// A notification as it was asked for. It can be kept and sent later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What it is about.
    pub kind: NotificationType,
    /// How much it matters.
    pub priority: Priority,
    /// Its words.
    pub words: Words,
    /// What belongs to it beside the words.
    pub extras: Extras,
    /// Where it goes; none said: where its recipients want it.
    pub channels: Option<BTreeSet<Channel>>,
    /// It goes to each at the best time of this window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// Words as they are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// As they are.
    Plain {
        /// One line.
        title: String,
        /// Text.
        body: String,
    },
    /// Of the template of this code that each recipient gets.
    Template {
        /// The code.
        template: String,
        /// What it is rendered with.
        #[serde(default)]
        variables: Variables,
    },
}

impl Draft {
    /// Reads the fields of a notification; none when any of them is wrong, which `fields` then tells.
    pub fn read(fields: &mut Fields) -> Option<Self> {
        let kind = read_kind(fields);
        let priority = read_priority(fields);
        let words = read_words(fields);
        let channels = read_channels(fields);
        let action = read_action(fields);
        let icon = fields.string("icon", 1, 50);
        let data = read_object(fields, "data", MAX_DATA_BYTES);
        let expires_at = fields.timestamp("expires_at");
        let window = Timing::read(fields).window();
        let extras = Extras {
            action: action.value(),
            icon: icon.value(),
            data: data.value(),
            expires_at: expires_at.value(),
        };
        Some(Self {
            kind: kind?,
            priority: priority?,
            words: words?,
            extras,
            channels: channels.value(),
            window,
        })
    }

    /// Records that it has expired before it is sent at `at`.
    pub fn check_expiry(&self, fields: &mut Fields, at: Timestamp) {
        if self.extras.expires_at.is_some_and(|expires_at| expires_at <= at) {
            fields.wrong("expires_at", format!("The expires_at field must be after {at}, when it is sent."));
        }
    }

    /// The message that this comes to. A template that is not there, and a variable that is missing in the words of any of
    /// its readers, are fields that are wrong.
    pub async fn message(&self, conn: &mut Conn, tenant: TenantId, readers: Readers<'_>) -> Result<Message> {
        let content = match &self.words {
            Words::Plain { title, body } => Content::Words { title: title.clone(), body: body.clone() },
            Words::Template { template, variables } => {
                let wordings = Wordings::of_code(conn, tenant, template).await?;
                let there = wordings.shelf().map(Shelf::locales).unwrap_or_default();
                wordings.check(variables, &readers.chains(conn, tenant, there).await?)?;
                Content::Template { wordings: Arc::new(wordings), variables: variables.clone() }
            }
        };
        Ok(self.message_of(content))
    }

    /// The same in words that were picked, and found good, before.
    pub async fn message_from(&self, conn: &mut Conn, kept: Option<Shelf>) -> Result<Message> {
        let content = match &self.words {
            Words::Plain { title, body } => Content::Words { title: title.clone(), body: body.clone() },
            Words::Template { template, variables } => {
                let wordings = Wordings::of_shelf(conn, self.shelf_of(kept)?, template).await?;
                Content::Template { wordings: Arc::new(wordings), variables: variables.clone() }
            }
        };
        Ok(self.message_of(content))
    }

    /// The shelf that was kept for its words: an empty one where they are no template's.
    pub(super) fn shelf_of(&self, kept: Option<Shelf>) -> Result<Shelf> {
        match (&self.words, kept) {
            (_, Some(kept)) => Ok(kept),
            (Words::Plain { .. }, None) => Ok(Shelf::default()),
            (Words::Template { .. }, None) => {
                Err(Error::field("template", "The template is not there any more."))
            }
        }
    }

    fn message_of(&self, content: Content) -> Message {
        Message {
            kind: self.kind.clone(),
            priority: self.priority,
            content,
            extras: self.extras.clone(),
            channels: self.channels.clone(),
        }
    }
}

fn read_kind(fields: &mut Fields) -> Option<NotificationType> {
    let given = fields.string("type", 1, 100);
    let text = fields.required("type", given)?;
    NotificationType::parse(&text).map_err(|message| fields.wrong("type", message)).ok()
}

fn read_priority(fields: &mut Fields) -> Option<Priority> {
    let given = fields.string("priority", 1, 20);
    if matches!(given, Given::Wrong | Given::Null) {
        fields.present("priority", given);
        return None;
    }
    match given.value() {
        None => Some(Priority::Normal),
        Some(word) => word.parse().map_err(|message: String| fields.wrong("priority", message)).ok(),
    }
}

fn read_words(fields: &mut Fields) -> Option<Words> {
    let title = fields.string("title", 1, 255);
    let body = fields.string("body", 1, MAX_BODY_CHARS);
    let template = fields.string("template", 1, 100);
    let variables = read_object(fields, "variables", MAX_VARIABLES_BYTES);
    if !matches!(template, Given::Absent | Given::Null) {
        for (name, given) in [("title", &title), ("body", &body)] {
            if !matches!(given, Given::Absent | Given::Null) {
                fields
                    .wrong(name, format!("The {name} field comes from the template: leave one of them out."));
            }
        }
        return Some(Words::Template {
            template: template.value()?,
            variables: variables.value().unwrap_or_default(),
        });
    }
    if matches!(variables, Given::Value(_)) {
        fields.wrong("variables", "The variables field is for a template, and none is named.");
    }
    let title = fields.required("title", title);
    let body = fields.required("body", body);
    Some(Words::Plain { title: title?, body: body? })
}

/// `channels`, each once.
pub fn read_channels(fields: &mut Fields) -> Given<BTreeSet<Channel>> {
    let listed = match fields.array("channels") {
        Given::Value(listed) => listed,
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Wrong => return Given::Wrong,
    };
    let mut channels = BTreeSet::new();
    for (number, one) in listed.iter().enumerate() {
        match serde_json::from_value::<Channel>(one.clone()) {
            Ok(channel) => drop(channels.insert(channel)),
            Err(error) => fields.wrong(&format!("channels.{number}"), error.to_string()),
        }
    }
    if listed.is_empty() {
        let words = Channel::ALL.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ");
        fields.wrong("channels", format!("The channels field must have at least one of {words}."));
        return Given::Wrong;
    }
    if channels.is_empty() { Given::Wrong } else { Given::Value(channels) }
}

/// `action`: `url`, and perhaps `label`.
fn read_action(fields: &mut Fields) -> Given<Action> {
    let object = match fields.raw("action") {
        Given::Value(Value::Object(object)) => object,
        Given::Absent | Given::Null => return Given::Absent,
        Given::Value(_) | Given::Wrong => {
            fields.wrong("action", "The action field must be an object with url and label.");
            return Given::Wrong;
        }
    };
    let mut inner = Fields::nested(object, "action.".to_owned());
    let url = inner.string("url", 1, 2_048);
    let url = inner.required("url", url);
    if url.as_deref().is_some_and(|url| !is_link(url)) {
        let message = "The url field must begin with https://, http:// or, on the same site, with one /.";
        inner.wrong("url", message);
    }
    let label = inner.string("label", 1, 100).value();
    fields.absorb(inner.into_errors());
    url.map_or(Given::Wrong, |url| Given::Value(Action { url, label }))
}

/// What a page may put into a link without looking: no scripts, and no other site in disguise.
fn is_link(url: &str) -> bool {
    let is_clean = !url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let is_web = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_clean && (is_path || is_web)
}

/// An object of so many bytes at most, as JSON text.
pub fn read_object(fields: &mut Fields, name: &'static str, most: usize) -> Given<Variables> {
    match fields.raw(name) {
        Given::Absent | Given::Null => Given::Absent,
        Given::Value(Value::Object(object)) => {
            let text = Value::Object(object);
            if text.to_string().len() > most {
                fields.wrong(name, format!("The {name} field must not have more than {most} bytes of JSON."));
                return Given::Wrong;
            }
            let Value::Object(object) = text else { return Given::Wrong };
            Given::Value(object)
        }
        Given::Value(_) | Given::Wrong => {
            fields.wrong(name, format!("The {name} field must be an object."));
            Given::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draft(body: Value) -> Result<Draft> {
        let mut fields = Fields::of(body).unwrap();
        let draft = Draft::read(&mut fields);
        fields.finish()?;
        Ok(draft.unwrap())
    }

    #[test]
    fn three_fields_make_a_notification() {
        let draft =
            draft(json!({"type": "order:shipped", "title": "Shipped", "body": "On its way."})).unwrap();
        assert_eq!(
            (draft.priority, draft.channels, draft.extras),
            (Priority::Normal, None, Extras::default())
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = draft(json!({
            "type": "no spaces", "title": "", "priority": "urgent", "channels": ["sms", "email"],
            "action": {"url": "javascript:alert(1)", "lable": "x"}, "icon": 7, "data": [], "expires_at": "soon",
            "colour": "red",
        }))
        .unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        let expected = [
            "action.lable",
            "action.url",
            "body",
            "channels.0",
            "colour",
            "data",
            "expires_at",
            "icon",
            "priority",
            "title",
            "type",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_link_is_of_the_web_or_of_the_same_site() {
        for good in ["https://shop.example/a?b=c", "http://shop.example", "/orders/7"] {
            assert!(is_link(good), "{good}");
        }
        for bad in
            ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", "orders", "/a b"]
        {
            assert!(!is_link(bad), "{bad}");
        }
    }

    #[test]
    fn a_draft_is_kept_as_it_was() {
        let body = json!({
            "type": "promo", "title": "New", "body": "Look", "channels": ["email"], "priority": "low",
            "action": {"url": "/new"}, "data": {"a": [1]}, "expires_at": "2027-01-01T00:00:00Z",
        });
        let draft = draft(body).unwrap();
        let kept = serde_json::to_string(&draft).unwrap();
        assert_eq!(serde_json::from_str::<Draft>(&kept).unwrap(), draft);
    }
}
