//! What of Jinja a template may use: `{{ … }}`, `{# … #}`, `if` and `for`.
//!
//! The engine bounds steps, and its output is bounded; memory between the two is not: a string that is joined to
//! itself forty times has a thousand billion bytes after forty steps. So there is no way to keep a value (`set`,
//! `with`), none to make one of two (`~`, `+`, `*`), and no text apart from the output (`filter`, `macro`).

use super::filters::{FILTERS, TESTS};

/// A tag is a few names; comparing lists of literals takes longer, the longer they are.
const MAX_TAG_BYTES: usize = 500;

/// Loops within loops.
const MAX_DEPTH: usize = 3;

const BLOCKS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// The line, and what is wrong there.
pub(super) type Refusal = (Option<usize>, String);

/// Refuses what is not of this language. What is badly formed within it the engine refuses.
pub(super) fn check(source: &str) -> Result<(), Refusal> {
    let mut rest = source;
    let mut depth = 0_usize;
    while let Some(start) = rest.find('{') {
        let here = &rest[start..];
        let line = 1 + source[..source.len() - here.len()].matches('\n').count();
        let refuse = |message: String| Err((Some(line), message));
        let length = match here.as_bytes().get(1) {
            Some(b'#') => comment_length(here),
            Some(b'{') => tag_length(here, "}}"),
            Some(b'%') => tag_length(here, "%}"),
            _ => Ok(1),
        };
        let length = match length {
            Ok(length) => length,
            Err(message) => return refuse(message),
        };
        if length > 1 && !here.starts_with("{#") {
            let inside = without_strings(&here[2..length - 2]);
            let judged = names(&inside)
                .and_then(|()| if here.starts_with("{%") { block(&inside, depth) } else { Ok(depth) });
            depth = match judged {
                Ok(depth) => depth,
                Err(message) => return refuse(message),
            };
        }
        rest = &here[length..];
    }
    Ok(())
}

fn comment_length(here: &str) -> Result<usize, String> {
    here.find("#}").map(|end| end + 2).ok_or_else(|| "a comment is not closed with #}.".to_owned())
}

/// How long a tag is, from its opening to behind `close`.
fn tag_length(here: &str, close: &str) -> Result<usize, String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in here.char_indices().skip(2) {
        if at > MAX_TAG_BYTES {
            return Err(format!("a tag must not have more than {MAX_TAG_BYTES} bytes."));
        }
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if here[at..].starts_with(close) => return Ok(at + 2),
            None if c == '"' || c == '\'' => quote = Some(c),
            None => allowed(c)?,
        }
    }
    Err(format!("a tag is not closed with {close}."))
}

fn allowed(c: char) -> Result<(), String> {
    match c {
        '~' | '+' | '*' => {
            Err(format!("{c} is not offered in templates: write what belongs together side by side."))
        }
        _ if c.is_alphanumeric() || c.is_whitespace() || "_.,|()[]:=!<>-/%".contains(c) => Ok(()),
        _ => Err(format!("{c} has no meaning in a template.")),
    }
}

/// The inside of a tag with a blank for each string, so that nothing in a string is taken for code.
fn without_strings(inside: &str) -> String {
    let (mut code, mut quote, mut escaped) = (String::new(), None, false);
    for c in inside.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                code.push(' ');
            }
            None => code.push(c),
        }
    }
    code
}

/// Refuses filters and tests that there are not: else the engine does when it renders, which is too late.
fn names(inside: &str) -> Result<(), String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for filter in inside.split('|').skip(1).map(word) {
        if !FILTERS.contains(&filter.as_str()) {
            return Err(format!("there is no filter \"{filter}\"; there are {}.", FILTERS.join(", ")));
        }
    }
    let mut words = inside.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    while words.by_ref().any(|word| word == "is") {
        let test = words.by_ref().find(|word| *word != "not").unwrap_or_default();
        if !TESTS.contains(&test) {
            return Err(format!("there is no test \"is {test}\"; there are {}.", TESTS.join(", ")));
        }
    }
    Ok(())
}

/// The depth of loops behind a block tag.
fn block(inside: &str, depth: usize) -> Result<usize, String> {
    let inside = inside.trim_start_matches('-');
    let mut words = inside.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let name = words.next().unwrap_or_default();
    if !BLOCKS.contains(&name) {
        return Err(format!("{{% {name} %}} is not offered in templates: {} are.", BLOCKS.join(", ")));
    }
    match name {
        "for" if words.any(|word| word == "recursive") => Err("a loop must not be recursive.".to_owned()),
        "for" if depth == MAX_DEPTH => Err(format!("loops must not be more than {MAX_DEPTH} deep.")),
        "for" => Ok(depth + 1),
        "endfor" => Ok(depth.saturating_sub(1)),
        _ => Ok(depth),
    }
}
