//! What a request may say of a template: each field's rule once, for a new one, for a change and for a preview.

use crate::domain::Locale;
use crate::domain::fields::Given;
use crate::domain::{Fields, Result};
use crate::notifications::template::{
    MAX_SOURCE_BYTES, Rendered, Template, TemplateKind, TemplateSource, Variables,
};
use serde_json::Value;

/// A template about to be made.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    pub(super) code: String,
    pub(super) locale: Locale,
    pub(super) name: String,
    pub(super) kind: TemplateKind,
    pub(super) is_active: bool,
    pub(super) source: TemplateSource,
}

impl NewTemplate {
    /// Reads a request's body: `code`, `name`, `title` and `body_text` are required, and `subject` of an e-mail.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let code = code(&mut fields);
        let locale = word(&mut fields, "locale", Locale::parse).unwrap_or_else(Locale::english);
        let kind = word(&mut fields, "type", str::parse).unwrap_or(TemplateKind::InApp);
        let name = fields.string("name", 1, 255);
        let name = fields.required("name", name);
        let is_active = fields.boolean("is_active");
        let is_active = fields.present("is_active", is_active).unwrap_or(true);
        let sent = Sent::read(&mut fields);
        let source = sent.whole(&mut fields);
        check_subject(&mut fields, kind, &source);
        fields.finish()?;
        let (code, name) = (code.unwrap_or_default(), name.unwrap_or_default());
        Ok(Self { code, locale, name, kind, is_active, source })
    }
}

/// Changes to a template; what is not given stays. Code, language and type are what it is, and do not change.
#[derive(Debug, Clone)]
pub struct TemplateChanges {
    pub(super) name: Option<String>,
    pub(super) is_active: Option<bool>,
    sent: Sent,
}

impl TemplateChanges {
    /// Reads a request's body; no field is required.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let (name, is_active) = (fields.string("name", 1, 255), fields.boolean("is_active"));
        let changes = Self {
            name: fields.present("name", name),
            is_active: fields.present("is_active", is_active),
            sent: Sent::read(&mut fields),
        };
        changes.sent.insist_where_given(&mut fields);
        fields.finish()?;
        Ok(changes)
    }

    /// The words after the change; none where they stay as they are.
    pub(super) fn words_after(
        &self,
        kind: TemplateKind,
        present: &TemplateSource,
    ) -> Result<Option<TemplateSource>> {
        let Sent { subject, title, body_text, body_html } = self.sent.clone();
        let after = TemplateSource {
            subject: subject.change().unwrap_or_else(|| present.subject.clone()),
            title: title.value().unwrap_or_else(|| present.title.clone()),
            body_text: body_text.value().unwrap_or_else(|| present.body_text.clone()),
            body_html: body_html.change().unwrap_or_else(|| present.body_html.clone()),
        };
        let mut fields = Fields::of(Value::Object(Variables::new()))?;
        check_subject(&mut fields, kind, &after);
        fields.finish()?;
        Ok((after != *present).then_some(after))
    }
}

/// What a preview is asked of.
#[derive(Debug, Clone)]
pub struct Preview {
    pub(super) variables: Option<Variables>,
    pub(super) version: Option<i32>,
}

impl Preview {
    /// Of a template that is there: `variables`, and `version` unless the newest is meant.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let variables = variables(&mut fields);
        let version = fields.integer("version", 1, i64::from(i32::MAX));
        let version = fields.present("version", version).and_then(|n| i32::try_from(n).ok());
        fields.finish()?;
        Ok(Self { variables, version })
    }

    /// Renders words that are not kept: the texts of a template, and `variables`.
    pub fn of_unsaved(mut fields: Fields) -> Result<Rendered> {
        let variables = variables(&mut fields);
        let sent = Sent::read(&mut fields);
        let source = sent.whole(&mut fields);
        fields.finish()?;
        Ok(Template::compile(&source)?.render(&variables.unwrap_or_default())?)
    }
}

/// The texts that were sent.
#[derive(Debug, Clone)]
struct Sent {
    subject: Given<String>,
    title: Given<String>,
    body_text: Given<String>,
    body_html: Given<String>,
}

impl Sent {
    fn read(fields: &mut Fields) -> Self {
        Self {
            subject: fields.string("subject", 1, MAX_SOURCE_BYTES),
            title: fields.string("title", 1, MAX_SOURCE_BYTES),
            body_text: fields.string("body_text", 1, MAX_SOURCE_BYTES),
            body_html: fields.string("body_html", 1, MAX_SOURCE_BYTES),
        }
    }

    /// All of a template: it has a title and a text.
    fn whole(self, fields: &mut Fields) -> TemplateSource {
        TemplateSource {
            subject: self.subject.value(),
            title: fields.required("title", self.title).unwrap_or_default(),
            body_text: fields.required("body_text", self.body_text).unwrap_or_default(),
            body_html: self.body_html.value(),
        }
    }

    fn insist_where_given(&self, fields: &mut Fields) {
        for (name, given) in [("title", &self.title), ("body_text", &self.body_text)] {
            fields.present(name, given.clone());
        }
    }
}

fn check_subject(fields: &mut Fields, kind: TemplateKind, source: &TemplateSource) {
    if kind == TemplateKind::Email && source.subject.is_none() {
        fields.wrong("subject", "The subject field is required: the template is an e-mail's.");
    }
}

/// The name by which a template is used.
fn code(fields: &mut Fields) -> Option<String> {
    let given = fields.string("code", 1, 100);
    let code = fields.required("code", given)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
    if !code.bytes().all(allowed) {
        fields.wrong(
            "code",
            "The code field may have letters, digits and any of : . _ -, such as order_shipped.",
        );
        return None;
    }
    Some(code)
}

/// A field that `parse` understands, where it is given.
fn word<T>(fields: &mut Fields, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let given = fields.string(name, 1, 100);
    match parse(&fields.present(name, given)?) {
        Ok(value) => Some(value),
        Err(message) => {
            fields.wrong(name, message);
            None
        }
    }
}

/// An object of variables, where it is given.
fn variables(fields: &mut Fields) -> Option<Variables> {
    let given = fields.raw("variables");
    if let Value::Object(variables) = fields.present("variables", given)? {
        return Some(variables);
    }
    fields.wrong("variables", "The variables field must be an object: each variable by its name.");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn new(body: Value) -> Result<NewTemplate> {
        NewTemplate::parse(Fields::of(body).unwrap())
    }

    #[test]
    fn four_fields_make_a_template_and_the_rest_has_defaults() {
        let made =
            new(json!({"code": "hello", "name": "Hello", "title": "Hi", "body_text": "Hi {{ name }}"}));
        let made = made.unwrap();
        assert_eq!((made.locale, made.kind, made.is_active), (Locale::english(), TemplateKind::InApp, true));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = new(json!({
            "code": "a b", "locale": "english", "type": "sms", "name": "", "title": 5, "body_html": "", "version": 2,
        }))
        .unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        assert_eq!(keys, ["body_html", "body_text", "code", "locale", "name", "title", "type", "version"]);
    }

    #[test]
    fn an_email_has_a_subject_also_after_a_change() {
        let email =
            json!({"code": "hello", "type": "email", "name": "Hello", "title": "Hi", "body_text": "Hi"});
        assert!(new(email).unwrap_err().fields().contains_key("subject"));
        let present = TemplateSource { subject: Some("Hi".to_owned()), ..TemplateSource::default() };
        let changes = TemplateChanges::parse(Fields::of(json!({"subject": null})).unwrap()).unwrap();
        assert!(changes.words_after(TemplateKind::Email, &present).is_err());
        let without = changes.words_after(TemplateKind::InApp, &present).unwrap().unwrap();
        assert_eq!(without.subject, None);
    }

    #[test]
    fn the_same_words_are_no_change() {
        let present = TemplateSource { title: "Hi".to_owned(), ..TemplateSource::default() };
        let changes =
            TemplateChanges::parse(Fields::of(json!({"title": "Hi", "name": "x"})).unwrap()).unwrap();
        assert_eq!(changes.words_after(TemplateKind::InApp, &present).unwrap(), None);
    }
}
