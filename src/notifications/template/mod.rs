//! `Template`: the words of a notification, with variables. Pure.
//!
//! A part of the Jinja language (what `syntax` says), strict: a variable that is used and not given is an error
//! that names it. HTML bodies are escaped, always; subject, title and text are not HTML and are not. Tenants write
//! templates, so size, steps and output are bounded, and nothing outside a template can be reached from it.

mod absent;
pub mod catalogue;
mod engine;
mod filters;
mod syntax;
#[cfg(test)]
mod tests;

pub use engine::{MAX_BODY_CHARS, MAX_HTML_BYTES, MAX_LINE_CHARS, MAX_SOURCE_BYTES};

use super::words::words;
use crate::domain::Error;
use crate::domain::error::FieldErrors;
use absent::Needed;
use engine::Fault;
use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

words! {
    /// What a template is for.
    TemplateKind ("template type") {
        /// An e-mail: it has a subject.
        Email = "email",
        /// An inbox.
        InApp = "in_app",
        /// A webhook.
        Webhook = "webhook",
    }
}

/// Variables by name.
pub type Variables = Map<String, Value>;

/// A template as it is written and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSource {
    /// Of an e-mail; one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// One line.
    pub title: String,
    /// Text.
    pub body_text: String,
    /// HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_html: Option<String>,
}

/// What a template came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rendered {
    /// One line, if the template has one.
    pub subject: Option<String>,
    /// One line.
    pub title: String,
    /// Text.
    pub body_text: String,
    /// HTML, if the template has it.
    pub body_html: Option<String>,
}

/// One of the texts of a template; errors name it as the field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `subject`
    Subject,
    /// `title`
    Title,
    /// `body_text`
    BodyText,
    /// `body_html`
    BodyHtml,
}

impl Part {
    const ALL: [Self; 4] = [Self::Subject, Self::Title, Self::BodyText, Self::BodyHtml];

    /// The name of the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Title => "title",
            Self::BodyText => "body_text",
            Self::BodyHtml => "body_html",
        }
    }
}

/// What is wrong with a template, or with what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A part cannot be read, or not be rendered with these variables.
    Part {
        /// Which part.
        part: Part,
        /// The line, where one is to blame.
        line: Option<usize>,
        /// What is wrong there, in a sentence.
        message: String,
    },
    /// Variables that are used and were not given.
    Missing(Vec<String>),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part { part, line: Some(line), message } => {
                write!(f, "The {} field, line {line}: {message}", part.as_str())
            }
            Self::Part { part, line: None, message } => write!(f, "The {} field: {message}", part.as_str()),
            Self::Missing(names) => write!(f, "The template needs these variables: {}.", names.join(", ")),
        }
    }
}

impl std::error::Error for TemplateError {}

impl From<TemplateError> for Error {
    /// A part is a field by its name; what is missing, a field of `variables`.
    fn from(error: TemplateError) -> Self {
        match &error {
            TemplateError::Part { part, .. } => Self::field(part.as_str(), error.to_string()),
            TemplateError::Missing(names) => {
                let of = |name: &String| {
                    (format!("variables.{name}"), vec![format!("The template needs the variable {name}.")])
                };
                Self::invalid(names.iter().map(of).collect::<FieldErrors>())
            }
        }
    }
}

/// A template that can be rendered.
#[derive(Debug)]
pub struct Template {
    engine: Environment<'static>,
    parts: Vec<Part>,
    variables: Vec<String>,
}

impl Template {
    /// Reads all parts; the error names the part and the line.
    pub fn compile(source: &TemplateSource) -> Result<Self, TemplateError> {
        let texts = [
            source.subject.as_deref(),
            Some(source.title.as_str()),
            Some(source.body_text.as_str()),
            source.body_html.as_deref(),
        ];
        let mut engine = engine::environment();
        let mut parts = Vec::new();
        let mut variables = BTreeSet::new();
        for (part, text) in Part::ALL.into_iter().zip(texts) {
            let Some(text) = text else { continue };
            let wrong =
                |(line, message): (Option<usize>, String)| TemplateError::Part { part, line, message };
            variables.extend(engine::add(&mut engine, part, text).map_err(wrong)?);
            parts.push(part);
        }
        Ok(Self { engine, parts, variables: variables.into_iter().collect() })
    }

    /// The variables that it uses, by their paths (`order.id`), in the order of the alphabet.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Which variables are missing: those that it uses, were not given, and that it does not do without, as it does
    /// in `{{ name | default("") }}` and behind `{% if name is defined %}`.
    pub fn missing(&self, given: &Variables) -> Vec<String> {
        match self.render_parts(&engine::context(given)) {
            Ok(_) => Vec::new(),
            Err((_, fault)) => self.to_blame(given, &fault),
        }
    }

    /// Which missing variables a fault comes from; none where it has nothing to do with them.
    fn to_blame(&self, given: &Variables, fault: &Fault) -> Vec<String> {
        let paths = self.variables.iter().map(String::as_str);
        let absent: Vec<&str> = paths.filter(|path| find(given, path).is_none()).collect();
        let needed = Needed::default();
        let context = absent::context(given, &absent, &needed);
        for part in &self.parts {
            // What goes wrong now is told when all is given.
            let _ = engine::render(&self.engine, *part, &context);
        }
        let needed = needed.paths();
        if needed.is_empty() && matches!(fault, Fault::Undefined { .. }) {
            return absent.into_iter().map(str::to_owned).collect();
        }
        needed
    }

    /// Renders all parts.
    pub fn render(&self, given: &Variables) -> Result<Rendered, TemplateError> {
        self.render_parts(&engine::context(given)).map_err(|(part, fault)| {
            let missing = self.to_blame(given, &fault);
            match fault {
                _ if !missing.is_empty() => TemplateError::Missing(missing),
                // Of something that was given: a list of objects, one of which lacks what the others have.
                Fault::Undefined { line } => {
                    let message = "what it uses there is not in what was given.".to_owned();
                    TemplateError::Part { part, line, message }
                }
                Fault::Other { line, message } => TemplateError::Part { part, line, message },
            }
        })
    }

    fn render_parts(&self, context: &minijinja::Value) -> Result<Rendered, (Part, Fault)> {
        let mut rendered = Rendered::default();
        for part in &self.parts {
            let text = engine::render(&self.engine, *part, context).map_err(|fault| (*part, fault))?;
            match part {
                Part::Subject => rendered.subject = Some(text),
                Part::Title => rendered.title = text,
                Part::BodyText => rendered.body_text = text,
                Part::BodyHtml => rendered.body_html = Some(text),
            }
        }
        Ok(rendered)
    }
}

impl Rendered {
    /// A notification that somebody wrote without a template.
    pub fn plain(title: &str, body: &str) -> Self {
        Self { title: engine::one_line(title), body_text: body.to_owned(), ..Self::default() }
    }
}

/// At most so many characters of a text, the last of which says that there were more.
pub fn excerpt(text: &str, length: usize) -> String {
    filters::cut(text, length)
}

/// What stands at a path; null stands there too.
fn find<'a>(given: &'a Variables, path: &str) -> Option<&'a Value> {
    let mut names = path.split('.');
    let first = given.get(names.next()?)?;
    names.try_fold(first, |value, name| value.as_object()?.get(name))
}
