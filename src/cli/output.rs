//! `Output`: what a verb answers, for people and for scripts; and how it and errors are printed.

use crate::domain::{Error, Result};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// An answer in both of its forms.
#[derive(Debug)]
pub(super) struct Output {
    /// With `--json`: one object.
    pub(super) json: Value,
    /// Otherwise: one or more lines; nothing is printed when it is empty.
    pub(super) human: String,
}

impl Output {
    /// An answer that has been given already, line by line.
    pub(super) const fn nothing() -> Self {
        Self { json: Value::Null, human: String::new() }
    }

    /// Rows as `{"data": […]}`, or as a table with the object's keys for a head.
    pub(super) fn list(columns: &[&str], rows: impl IntoIterator<Item = Value>) -> Self {
        let rows: Vec<Value> = rows.into_iter().collect();
        let human = if rows.is_empty() { "There are none yet.".to_owned() } else { table(columns, &rows) };
        Self { json: json!({ "data": rows }), human }
    }
}

/// Prints the answer or the error and gives the exit code.
pub(super) fn finish(answer: Result<Output>, json: bool) -> ExitCode {
    match answer {
        Ok(output) => {
            match (json, output) {
                (true, Output { json: Value::Null, .. }) => {}
                (true, output) => say(&output.json.to_string()),
                (false, output) if output.human.is_empty() => {}
                (false, output) => say(&output.human),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error, json);
            ExitCode::FAILURE
        }
    }
}

/// One line, or more, to standard output. A reader that has gone away (`| head`) is no error of ours.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Whether a person reads standard output, and likes it bright.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The error to standard error.
pub(super) fn complain(error: &Error, json: bool) {
    let text = if json {
        let code = format!("{:?}", error.code());
        json!({"error": {"code": code, "message": error.message(), "errors": error.fields(),
            "cause": std::error::Error::source(error).map(ToString::to_string)}})
        .to_string()
    } else {
        format!("bellwire: {error}")
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn table(columns: &[&str], rows: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let head = columns.iter().map(ToString::to_string).collect();
    let body = rows.iter().map(|row| columns.iter().map(|c| text(&row[*c])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |i: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:w$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cell() {
        let rows = vec![
            json!({"id": 1, "name": "Corner Shop", "events": ["a", "b"]}),
            json!({"id": 12, "name": null, "events": []}),
        ];
        let expected = "id  name         events\n1   Corner Shop  a,b\n12  -";
        assert_eq!(table(&["id", "name", "events"], &rows), expected);
    }
}
