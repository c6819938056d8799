//! Parses lifetimes as people write them: `30d`, `12h`, `15m`.

use std::time::Duration;

/// A whole number above zero and a unit; at most a hundred years.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no lifetime: write a number and d, h or m, such as 30d");
    let unit = match text.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - 1];
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    match count.checked_mul(unit) {
        Some(seconds) if (1..=100 * 366 * 86_400).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_and_a_unit() {
        assert_eq!(parse("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(parse("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(parse("15m"), Ok(Duration::from_mins(15)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "d", "0d", "-1d", "1.5h", "30", "30s", "30 d", "99999999999999999999d", "1000000d", "1é"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
