//! `Expression`: the fields of a cron expression, read and judged.

use super::field::{Field, Values};
use std::time::Duration;

/// Longer is nothing that anybody wrote.
const MAX_LENGTH: usize = 250;

/// What each field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    second: Values,
    minute: Values,
    hour: Values,
    day: Values,
    month: Values,
    weekday: Values,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("The cron expression must not have more than {MAX_LENGTH} characters."));
        }
        let text = if text.trim_start().starts_with('@') { short_hand(text.trim())? } else { text };
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [second, minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "\"{text}\" has {} fields: a cron expression has five (minute, hour, day of the month, month, day of \
                 the week), or six with the second before them.",
                fields.len()
            ));
        };
        Ok(Self {
            second: Field::SECOND.parse(second)?,
            minute: Field::MINUTE.parse(minute)?,
            hour: Field::HOUR.parse(hour)?,
            day: Field::DAY.parse(day)?,
            month: Field::MONTH.parse(month)?,
            weekday: Field::WEEKDAY.parse(weekday)?,
        })
    }

    /// Refuses what would fire twice within `bound` on one day, or at its end and the next one's beginning.
    pub(super) fn check_rate(&self, bound: Duration) -> Result<(), String> {
        let closest = self.closest();
        if Duration::from_secs(closest.into()) >= bound {
            return Ok(());
        }
        let field = match closest {
            0..60 => Field::SECOND,
            60..3_600 => Field::MINUTE,
            _ => Field::HOUR,
        };
        Err(format!(
            "The {} field of the cron expression lets it fire {closest} s after it fired: at least {} s must lie between.",
            field.name,
            bound.as_secs()
        ))
    }

    /// Seconds between the two times of day that are closest; a day where there is but one.
    fn closest(&self) -> u32 {
        let seconds_of_day = self.hour.chosen.iter().flat_map(|hour| {
            self.minute.chosen.iter().flat_map(move |minute| {
                let minutes = u32::from(*hour) * 60 + u32::from(*minute);
                self.second.chosen.iter().map(move |second| minutes * 60 + u32::from(*second))
            })
        });
        let (mut first, mut last, mut closest) = (None, None, u32::MAX);
        for at in seconds_of_day {
            first.get_or_insert(at);
            closest = last.map_or(closest, |last| closest.min(at - last));
            last = Some(at);
        }
        let over_midnight = first.zip(last).map_or(86_400, |(first, last)| first + 86_400 - last);
        closest.min(over_midnight)
    }

    /// The schedules to ask the `cron` crate for, which fires where day of the month and day of the week agree.
    /// crontab(5) wants that only where one of them begins with `*`; else either is enough.
    pub(super) fn for_crate(&self) -> Vec<String> {
        let schedule = |day: &str, weekday: &str| {
            let Self { second, minute, hour, month, .. } = self;
            let [second, minute, hour, month] = [second, minute, hour, month].map(Values::for_crate);
            format!("{second} {minute} {hour} {day} {month} {weekday}")
        };
        let (day, weekday) = (self.day.for_crate(), self.weekday.for_crate());
        if self.day.star || self.weekday.star {
            vec![schedule(&day, &weekday)]
        } else {
            vec![schedule(&day, "*"), schedule("*", &weekday)]
        }
    }
}

fn short_hand(text: &str) -> Result<&'static str, String> {
    match text {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        _ => Err(format!("\"{text}\" is not known: write @yearly, @monthly, @weekly, @daily or @hourly.")),
    }
}
