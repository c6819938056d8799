//! The template engine as templates of tenants need it: bounded, strict, and with nothing in it but the language.

use super::filters;
use super::syntax::{self, Refusal};
use super::{Part, Variables};
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, escape_formatter};
use std::io;

/// What one part may be long.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// What a text may be long, rendered or written without a template: it is in inboxes, events and the history of each
/// recipient.
pub const MAX_BODY_CHARS: usize = 10_000;

/// What a rendered HTML body may be long.
pub const MAX_HTML_BYTES: usize = 64 * 1024;

/// What a rendered subject or title may be long: what the column holds. The rest is cut.
pub const MAX_LINE_CHARS: usize = 255;

/// Steps for one part: a list of a thousand items. A step can turn a long text over, so that many of them are
/// seconds.
const FUEL: u64 = 20_000;

/// Nothing nests so deep that somebody can read it.
const MAX_NESTING: usize = 32;

/// Why a part was not rendered.
pub(super) enum Fault {
    /// A variable is missing; the engine does not say which.
    Undefined {
        /// The line to blame.
        line: Option<usize>,
    },
    /// Something else.
    Other {
        /// The line to blame.
        line: Option<usize>,
        /// In a sentence.
        message: String,
    },
}

/// An engine without templates. It has no loader, so there is nothing to include.
pub(super) fn environment() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_recursion_limit(MAX_NESTING);
    engine.set_fuel(Some(FUEL));
    engine.set_auto_escape_callback(|name| {
        if name == Part::BodyHtml.as_str() { AutoEscape::Html } else { AutoEscape::None }
    });
    // For people: null is empty, and not "none"; truth is not "True".
    engine.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(()),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(out, state, value),
    });
    filters::add_to(&mut engine);
    engine
}

/// Adds a part, and says which variables it uses.
pub(super) fn add(
    engine: &mut Environment<'static>,
    part: Part,
    source: &str,
) -> Result<Vec<String>, Refusal> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err((None, format!("it must not have more than {MAX_SOURCE_BYTES} bytes.")));
    }
    syntax::check(source)?;
    let refusal = |e: minijinja::Error| (e.line(), sentence(&e));
    engine.add_template_owned(part.as_str(), source.to_owned()).map_err(refusal)?;
    let template = engine.get_template(part.as_str()).map_err(refusal)?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// The variables as the engine takes them.
pub(super) fn context(given: &Variables) -> Value {
    Value::from(Serde(given))
}

/// Renders a part.
pub(super) fn render(engine: &Environment<'static>, part: Part, context: &Value) -> Result<String, Fault> {
    let mut output = Bounded { bytes: Vec::new(), most: bytes_of(part) };
    let done = engine
        .get_template(part.as_str())
        .and_then(|template| template.render_captured_to(context.clone(), &mut output).map(drop));
    done.map_err(|e| fault(part, &e))?;
    let text = String::from_utf8_lossy(&output.bytes).into_owned();
    if part == Part::BodyText && text.chars().count() > MAX_BODY_CHARS {
        return Err(Fault::Other { line: None, message: too_long(part) });
    }
    Ok(match part {
        Part::Subject | Part::Title => one_line(&text),
        // PostgreSQL takes no NUL; a variable may have one, or an escape in the source.
        Part::BodyText | Part::BodyHtml => text.replace('\0', "\u{FFFD}"),
    })
}

/// What is taken of a part before it is looked at.
const fn bytes_of(part: Part) -> usize {
    match part {
        Part::BodyHtml => MAX_HTML_BYTES,
        // A character has four bytes at most. Of a line the rest is cut.
        Part::Subject | Part::Title | Part::BodyText => 4 * MAX_BODY_CHARS,
    }
}

fn too_long(part: Part) -> String {
    match part {
        Part::BodyHtml => format!("it comes to more than {MAX_HTML_BYTES} bytes."),
        _ => format!("it comes to more than {MAX_BODY_CHARS} characters."),
    }
}

fn fault(part: Part, error: &minijinja::Error) -> Fault {
    let message = match error.kind() {
        ErrorKind::UndefinedError => return Fault::Undefined { line: error.line() },
        ErrorKind::OutOfFuel => "it takes too many steps: loop over less.".to_owned(),
        ErrorKind::WriteFailure => too_long(part),
        _ => sentence(error),
    };
    Fault::Other { line: error.line(), message }
}

fn sentence(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}.", error.kind()),
        None => format!("{}.", error.kind()),
    }
}

/// One line of at most [`MAX_LINE_CHARS`]: a line feed in a subject would begin another header.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    filters::cut(&line, MAX_LINE_CHARS)
}

/// Takes as much as a part may be long.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
