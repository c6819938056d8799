//! `Belief`: how probably what is sent at an hour is read, and how sure that is. Pure.
//!
//! A Beta distribution for each hour. It begins with what is known of others: the rate of all the tenant's users, then
//! theirs at that hour, each worth [`STRENGTH`] observations to the next narrower one. So who has little history is judged
//! as their tenant's other users are, and who has much by their own. What another tenant's users do says nothing.
//!
//! Of others counts what they read in time, and not when they read what had waited: in the evening those alone have
//! something unread who read in the evening, and they say nothing of the rest.

use super::habits::{HOURS, Habits, HourCount};

/// What an observation is worth to the hours beside its own: nobody's habits change on the hour, and one user's
/// sends are few for twenty-four counts.
const BESIDE: f64 = 0.5;

/// How many observations of one's own outweigh what is known of others.
const STRENGTH: f64 = 20.0;

/// What is believed of users of whom nothing is known, by hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior([f64; HOURS]);

impl Prior {
    /// From all of a tenant's users.
    pub fn of(tenant: &Habits) -> Self {
        let all = tenant.total();
        // One read and one unread, so that a rate is there before anything was sent.
        let overall = (all.reads + 1.0) / (all.sends + 2.0);
        Self(std::array::from_fn(|hour| drawn_to(overall, tenant.of_hour(hour))))
    }

    /// The rate at an hour.
    pub fn rate(&self, hour: usize) -> f64 {
        self.0.get(hour).copied().unwrap_or(0.5)
    }
}

/// The rate of a count, drawn towards another rate by as much as the count is small.
fn drawn_to(rate: f64, count: HourCount) -> f64 {
    (count.successes() + STRENGTH * rate) / (count.trials() + STRENGTH)
}

/// The count of an hour and its share in those beside it; the day is a circle.
fn around(habits: &Habits, hour: usize) -> HourCount {
    let (own, before, after) = (
        habits.of_hour(hour),
        habits.of_hour((hour + HOURS - 1) % HOURS),
        habits.of_hour((hour + 1) % HOURS),
    );
    own.plus(before.plus(after).times(BESIDE))
}

/// What is believed of one user at one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// The mean: how probably it is read.
    pub rate: f64,
    /// The spread around it.
    pub deviation: f64,
}

impl Belief {
    /// Of a user with these habits, worth what they are now.
    pub fn of(habits: &Habits, prior: &Prior, hour: usize) -> Self {
        let count = around(habits, hour);
        let rate = drawn_to(prior.rate(hour), count);
        let observations = count.trials() + STRENGTH;
        // The variance of Beta(a, b) with mean m and a + b = n.
        Self { rate, deviation: (rate * (1.0 - rate) / (observations + 1.0)).max(0.0).sqrt() }
    }

    /// How probably the true rate is above this one.
    pub fn above(self, rate: f64) -> f64 {
        if self.deviation <= 0.0 {
            return 0.5;
        }
        // The normal distribution, by the logistic curve that is within 0.01 of it.
        1.0 / (1.0 + (-1.702 * (self.rate - rate) / self.deviation).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn habits(hour: usize, sends: u32, reads: u32) -> Habits {
        let at = Timestamp::from_micros(0).unwrap();
        let mut habits = Habits::none(at);
        (0..sends).for_each(|_| habits.sent(hour, at));
        (0..reads).for_each(|_| habits.read(hour, at));
        habits
    }

    #[test]
    fn before_anything_was_sent_it_is_even() {
        let prior = Prior::of(&habits(0, 0, 0));
        assert!((0..HOURS).all(|hour| (prior.rate(hour) - 0.5).abs() < 1e-9));
    }

    #[test]
    fn an_hour_outweighs_the_whole_day_and_a_user_the_tenant_as_history_grows() {
        let mut tenant = habits(9, 10_000, 8_000);
        (0..2).for_each(|_| tenant.sent(10, Timestamp::from_micros(0).unwrap()));
        let prior = Prior::of(&tenant);
        assert!(prior.rate(10) > 0.7, "two that were not read say little: {}", prior.rate(10));
        (0..2_000).for_each(|_| tenant.sent(10, Timestamp::from_micros(0).unwrap()));
        let prior = Prior::of(&tenant);
        assert!(prior.rate(10) < 0.05 && prior.rate(9) > 0.7, "{prior:?}");
        let of_user = |sends| Belief::of(&habits(9, sends, 0), &prior, 9);
        assert!(of_user(1).rate > 0.7 && of_user(500).rate < 0.05);
        assert!(of_user(500).deviation < of_user(1).deviation);
    }

    #[test]
    fn what_is_read_at_one_hour_speaks_for_those_beside_it_over_midnight_too() {
        let prior = Prior::of(&habits(9, 0, 0));
        let rates: Vec<f64> =
            [22, 23, 0, 1].map(|hour| Belief::of(&habits(23, 40, 40), &prior, hour).rate).into();
        assert!(rates[1] > rates[0] && rates[0] > 0.6 && (rates[0] - rates[2]).abs() < 1e-9);
        assert!((rates[3] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn confidence_grows_with_the_distance_and_with_the_history() {
        let belief = Belief { rate: 0.5, deviation: 0.1 };
        assert!((belief.above(0.5) - 0.5).abs() < 1e-9);
        // One deviation: 84 %; two: 97.7 %.
        assert!((belief.above(0.4) - 0.841).abs() < 0.011 && (belief.above(0.3) - 0.977).abs() < 0.011);
        assert!(Belief { rate: 0.5, deviation: 0.01 }.above(0.4) > belief.above(0.4));
    }
}
