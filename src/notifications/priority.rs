//! `Priority`: how much a notification matters.

use super::words::words;

words! {
    /// How much a notification matters, most first.
    Priority ("priority") {
        /// Security, compliance: cannot be turned off, is not deferred and not gathered into a digest.
        Critical = "critical",
        /// Before what is normal, where both wait.
        High = "high",
        /// Unless it is said otherwise.
        Normal = "normal",
        /// After the others, where they wait.
        Low = "low",
    }
}

impl Priority {
    /// Whether the recipient's wishes are passed over.
    pub const fn is_critical(self) -> bool {
        matches!(self, Self::Critical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_reads_back_what_it_writes_and_the_most_urgent_sorts_first() {
        for priority in Priority::ALL {
            assert_eq!(priority.as_str().parse(), Ok(*priority));
            let json = serde_json::to_string(priority).unwrap();
            assert_eq!(serde_json::from_str::<Priority>(&json).unwrap(), *priority);
        }
        assert!(Priority::ALL.is_sorted());
    }

    #[test]
    fn another_word_is_refused_with_the_words_there_are() {
        let error = "urgent".parse::<Priority>().unwrap_err();
        assert_eq!(error, "\"urgent\" is not a priority: write one of critical, high, normal, low.");
        assert!("Critical".parse::<Priority>().is_err());
    }
}
