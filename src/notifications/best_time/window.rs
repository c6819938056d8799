//! `deliver` and `window_hours` of a request: whether something goes out when it was asked for, or at the best time of a
//! window that begins then.

use crate::domain::fields::Given;
use crate::domain::{Fields, Timestamp};
use crate::notifications::words::words;
use serde::{Deserialize, Serialize};
use std::time::Duration;

words! {
    /// How the time of a notification is found.
    Deliver ("way to deliver") {
        /// It is the one that was asked for.
        Asked = "asked",
        /// It is the best one of a window.
        Best = "best",
    }
}

/// For how long a better hour may be waited for, in whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(u32);

impl Window {
    /// A day: every hour comes once.
    pub const USUAL: Self = Self(24);

    /// A week. Windows are looked through hour by hour.
    pub const LONGEST: Self = Self(7 * 24);

    /// So many hours, up to the longest.
    pub fn hours(hours: u32) -> Self {
        Self(hours.clamp(1, Self::LONGEST.0))
    }

    /// As long as it lasts.
    pub fn length(self) -> Duration {
        Duration::from_hours(self.0.into())
    }

    /// The last moment of the one that begins then, for what expires at that time.
    pub fn end(self, begins: Timestamp, expires_at: Option<Timestamp>) -> Timestamp {
        let end = begins.plus(self.length());
        let before_it_expires = expires_at.map(|at| at.minus(Duration::from_micros(1)));
        before_it_expires.map_or(end, |last| last.min(end))
    }
}

/// What a request says of how its time is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Nothing.
    Unsaid,
    /// It is the time asked for.
    AsAsked,
    /// It is the best one of this window.
    Best(Window),
}

impl Timing {
    /// The window, where it is to be the best one.
    pub const fn window(self) -> Option<Window> {
        match self {
            Self::Best(window) => Some(window),
            Self::Unsaid | Self::AsAsked => None,
        }
    }

    /// Reads the two fields.
    pub fn read(fields: &mut Fields) -> Self {
        let word = fields.string("deliver", 1, 20);
        let hours = fields.integer("window_hours", 1, Window::LONGEST.0.into());
        let is_absent = matches!((&word, &hours), (Given::Absent, Given::Absent));
        let word: Option<String> = fields.present("deliver", word);
        let has_hours = !matches!(hours, Given::Absent);
        let hours = fields.present("window_hours", hours).and_then(|hours| u32::try_from(hours).ok());
        let deliver: Option<Deliver> = word
            .and_then(|word| word.parse().map_err(|message: String| fields.wrong("deliver", message)).ok());
        if is_absent {
            return Self::Unsaid;
        }
        if deliver == Some(Deliver::Best) {
            return Self::Best(hours.map_or(Window::USUAL, Window::hours));
        }
        if has_hours {
            let message =
                "The window_hours field is for what goes out at its best time: \"deliver\": \"best\".";
            fields.wrong("window_hours", message);
        }
        Self::AsAsked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: serde_json::Value) -> Result<Timing, Vec<String>> {
        let mut fields = Fields::of(body).unwrap();
        let timing = Timing::read(&mut fields);
        fields.finish().map(|()| timing).map_err(|e| e.fields().keys().cloned().collect())
    }

    #[test]
    fn a_window_is_a_day_unless_it_is_said_how_many_hours() {
        assert_eq!(read(json!({})), Ok(Timing::Unsaid));
        assert_eq!(read(json!({"deliver": "asked"})), Ok(Timing::AsAsked));
        assert_eq!(read(json!({"deliver": "best"})), Ok(Timing::Best(Window::USUAL)));
        assert_eq!(read(json!({"deliver": "best", "window_hours": 168})), Ok(Timing::Best(Window::LONGEST)));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (wrong, field) in [
            (json!({"deliver": "soon"}), "deliver"),
            (json!({"deliver": null}), "deliver"),
            (json!({"window_hours": 5}), "window_hours"),
            (json!({"deliver": "asked", "window_hours": 5}), "window_hours"),
            (json!({"deliver": "best", "window_hours": 0}), "window_hours"),
            (json!({"deliver": "best", "window_hours": 169}), "window_hours"),
        ] {
            assert_eq!(read(wrong.clone()), Err(vec![field.to_owned()]), "{wrong}");
        }
    }
}
