//! `Field`: one of the six of a cron expression, and `Values`: what it says.

use std::collections::BTreeSet;

/// What a field is called and which values it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// As errors name it.
    pub(super) name: &'static str,
    min: u8,
    /// The last value of `*`.
    max: u8,
    /// The last value that may be written: Sunday is 7 too.
    highest: u8,
    /// Of the values from `min` on; three letters of each are enough.
    names: &'static [&'static str],
    /// Whether `?` may stand for `*`.
    any: bool,
}

const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Field {
    pub(super) const SECOND: Self = Self::plain("second", 0, 59);
    pub(super) const MINUTE: Self = Self::plain("minute", 0, 59);
    pub(super) const HOUR: Self = Self::plain("hour", 0, 23);
    pub(super) const DAY: Self = Self { any: true, ..Self::plain("day of the month", 1, 31) };
    pub(super) const MONTH: Self = Self { names: &MONTHS, ..Self::plain("month", 1, 12) };
    pub(super) const WEEKDAY: Self =
        Self { names: &DAYS, any: true, highest: 7, ..Self::plain("day of the week", 0, 6) };

    const fn plain(name: &'static str, min: u8, max: u8) -> Self {
        Self { name, min, max, highest: max, names: &[], any: false }
    }

    /// Reads a list of values, ranges and steps.
    pub(super) fn parse(self, text: &str) -> Result<Values, String> {
        let mut chosen = BTreeSet::new();
        for item in text.split(',') {
            let last = if self.names.is_empty() { self.max } else { self.highest };
            let (from, to, step) = self.item(item).ok_or_else(|| {
                let names = if self.names.is_empty() { "" } else { ", names" };
                format!(
                    "The {} field of the cron expression does not know \"{item}\": write {}-{last}{names}, a range \
                     such as {}-{}, a step such as */2, or a list of these.",
                    self.name,
                    self.min,
                    self.min,
                    self.min + 1,
                )
            })?;
            if from > to {
                return Err(format!(
                    "The {} field of the cron expression has a range that runs backwards, \"{item}\": write it as two.",
                    self.name
                ));
            }
            chosen.extend((from..=to).step_by(step.into()).map(|value| self.wrapped(value)));
        }
        Ok(Values { field: self, chosen, star: text.starts_with(['*', '?']) })
    }

    /// First value, last value, step.
    fn item(self, text: &str) -> Option<(u8, u8, u8)> {
        let (span, step) = match text.split_once('/') {
            Some((span, step)) => (span, Some(number(step).filter(|step| *step > 0)?)),
            None => (text, None),
        };
        if span == "*" || (self.any && span == "?") {
            return Some((self.min, self.max, step.unwrap_or(1)));
        }
        let (from, to) = match span.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            // With a step, from here to the end.
            None => (self.value(span)?, if step.is_some() { self.max } else { self.value(span)? }),
        };
        // A week may end with Sunday: FRI-SUN.
        let to = if to == 0 && from > 0 && self.highest == 7 { 7 } else { to };
        Some((from, to, step.unwrap_or(1)))
    }

    fn value(self, text: &str) -> Option<u8> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| lower == *name || name.get(..3) == Some(&*lower));
        let value = match named {
            Some(place) => self.min + u8::try_from(place).ok()?,
            None => number(text)?,
        };
        (self.min..=self.highest).contains(&value).then_some(value)
    }

    const fn wrapped(self, value: u8) -> u8 {
        if value > self.max { self.min } else { value }
    }
}

/// Digits only: `+5` is no number here.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The values that a field names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    field: Field,
    /// Never empty. Sunday is 0.
    pub(super) chosen: BTreeSet<u8>,
    /// Whether the field begins with `*`: crontab(5) then asks for both days, and else for either.
    pub(super) star: bool,
}

impl Values {
    /// Whether every value is among them.
    pub(super) fn all(&self) -> bool {
        self.chosen.len() == usize::from(self.field.max - self.field.min) + 1
    }

    /// As the `cron` crate reads it. It counts 1 for Sunday: days of the week go by name.
    pub(super) fn for_crate(&self) -> String {
        if self.all() {
            return "*".to_owned();
        }
        let name = |value: &u8| match DAYS.get(usize::from(*value)) {
            Some(day) if self.field == Field::WEEKDAY => (*day).to_owned(),
            _ => value.to_string(),
        };
        self.chosen.iter().map(name).collect::<Vec<_>>().join(",")
    }
}
