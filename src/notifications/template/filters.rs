//! The filters and tests that templates may use. None makes much of little: what they give is not much longer than
//! what they were given.

use super::absent::is_absent;
use super::engine::MAX_HTML_BYTES;
use crate::domain::{Timestamp, Zone};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, filters, tests as checks};
use std::borrow::Cow;
use std::fmt::Write;

/// Currencies whose minor unit is the unit itself, and those that have a thousand (ISO 4217).
const WITHOUT_MINOR: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Those that there are. Templates that name another are refused when they are written.
pub(super) const FILTERS: [&str; 15] = [
    "abs",
    "capitalize",
    "default",
    "first",
    "join",
    "last",
    "length",
    "local_time",
    "lower",
    "money",
    "round",
    "title",
    "trim",
    "truncate",
    "upper",
];

/// What may stand behind `is`.
pub(super) const TESTS: [&str; 7] =
    ["defined", "mapping", "none", "number", "sequence", "string", "undefined"];

/// Adds them all.
pub(super) fn add_to(engine: &mut Environment<'static>) {
    engine.add_filter("abs", filters::abs);
    engine.add_filter("capitalize", filters::capitalize);
    engine.add_filter("default", default);
    engine.add_filter("first", filters::first);
    engine.add_filter("join", join);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", filters::length);
    engine.add_filter("local_time", local_time);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("money", money);
    engine.add_filter("round", filters::round);
    engine.add_filter("title", filters::title);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("truncate", |text: Cow<'_, str>, length: usize| cut(&text, length));
    engine.add_filter("upper", filters::upper);
    engine.add_test("defined", |value: &Value| !is_absent(value));
    engine.add_test("mapping", checks::is_mapping);
    engine.add_test("none", checks::is_none);
    engine.add_test("number", checks::is_number);
    engine.add_test("sequence", checks::is_sequence);
    engine.add_test("string", checks::is_string);
    engine.add_test("undefined", is_absent);
}

/// The engine's own, for what is absent too.
fn default(value: &Value, other: Option<Value>) -> Value {
    if is_absent(value) { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

/// The engine is strict with what it turns into text or numbers, and leaves values to us.
fn given(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// The engine's own is not bounded.
fn join(list: &Value, between: Option<&str>) -> Result<String, Error> {
    given(list)?;
    let mut joined = String::new();
    for (place, item) in list.try_iter()?.enumerate() {
        if place > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        write!(joined, "{item}").map_err(|_| Error::from(ErrorKind::WriteFailure))?;
        if joined.len() > MAX_HTML_BYTES {
            return Err(Error::from(ErrorKind::WriteFailure));
        }
    }
    Ok(joined)
}

/// At most so many characters, the last of which says that there were more.
pub(super) fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `{{ order.total | money(order.currency) }}`: a whole number of minor units, as PHP 1,234.50.
fn money(minor_units: &Value, currency: &Value) -> Result<String, Error> {
    given(minor_units)?;
    given(currency)?;
    let currency = currency.to_string();
    match (minor_units.as_i64(), minor_units.to_string()) {
        (Some(minor_units), _) => Ok(amount(minor_units, &currency)),
        (None, nothing) if nothing.is_empty() => Ok(nothing),
        (None, other) => {
            let message = format!("money is a whole number of minor units, not {}", cut(&other, 40));
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

fn amount(minor_units: i64, currency: &str) -> String {
    let digits = match currency {
        _ if WITHOUT_MINOR.contains(&currency) => 0,
        _ if THOUSANDTHS.contains(&currency) => 3,
        _ => 2,
    };
    let unit = 10_u64.pow(digits);
    let (whole, part) = (minor_units.unsigned_abs() / unit, minor_units.unsigned_abs() % unit);
    let sign = if minor_units < 0 { "-" } else { "" };
    let part = if digits == 0 {
        String::new()
    } else {
        format!(".{part:0width$}", width = usize::try_from(digits).unwrap_or(2))
    };
    format!("{sign}{currency} {}{part}", grouped(whole))
}

/// 1234567 as 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `{{ approved_at | local_time(timezone) }}`: an RFC 3339 time as 2 Mar 2026 09:30, by the clocks of a zone (UTC,
/// if none is named). What is no such time stays as it is: somebody may have written it out.
fn local_time(at: Cow<'_, str>, zone: Option<Cow<'_, str>>) -> Result<String, Error> {
    let zone = zone.map_or(Ok(Zone::UTC), |zone| Zone::parse(&zone));
    let zone = zone.map_err(|message| Error::new(ErrorKind::InvalidOperation, message))?;
    let Some(instant) = Timestamp::parse_rfc3339(&at) else { return Ok(at.into_owned()) };
    Ok(zone.reading(instant).strftime("%-d %b %Y %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_as_many_digits_as_its_currency() {
        assert_eq!(amount(123_450, "PHP"), "PHP 1,234.50");
        assert_eq!(amount(5, "USD"), "USD 0.05");
        assert_eq!(amount(-1_000_000, "JPY"), "-JPY 1,000,000");
        assert_eq!(amount(1_234_567, "KWD"), "KWD 1,234.567");
        assert_eq!(amount(i64::MIN, "EUR"), "-EUR 92,233,720,368,547,758.08");
    }

    #[test]
    fn what_is_listed_is_there_and_what_is_there_is_listed() {
        let mut engine = Environment::empty();
        add_to(&mut engine);
        let shown = format!("{engine:?}");
        assert!(shown.contains(&format!("tests: {TESTS:?}, filters: {FILTERS:?}")), "{shown}");
    }

    #[test]
    fn a_time_is_told_by_the_clocks_of_a_zone() {
        let told =
            |zone: Option<&str>| local_time("2026-03-02T01:30:00Z".into(), zone.map(Into::into)).unwrap();
        assert_eq!(told(Some("Asia/Manila")), "2 Mar 2026 09:30");
        assert_eq!(told(None), "2 Mar 2026 01:30");
        assert_eq!(local_time("next Monday".into(), None).unwrap(), "next Monday");
        assert!(local_time("2026-03-02T01:30:00Z".into(), Some("Mars".into())).is_err());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größer", 4), "grö…");
        assert_eq!(cut("a b", 2), "a…");
    }
}
