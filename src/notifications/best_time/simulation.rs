//! Invented users with habits: how much more is read when `BestTime` chooses than at random, or by the prior alone.
//!
//! Rates are compared by what each user truly reads at the hours chosen, so that only the learning is left to
//! chance; and with a thousand users that is little. Users without habits show what no method can win.

use super::*;

/// splitmix64: the same numbers for ever, whatever becomes of libraries.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    fn happens(&mut self, probability: f64) -> bool {
        f64::from(u32::try_from(self.draw() >> 32).unwrap()) < probability * f64::from(u32::MAX)
    }
}

const USERS: usize = 1_000;
const SENDS: u64 = 90;
const DAYS: u64 = 60;

/// How probably one user reads what is sent at each hour.
#[derive(Clone, Copy)]
struct User([f64; HOURS]);

impl User {
    /// One in eight is read, and three in four within an hour of the user's own hour: in the morning with six of
    /// ten, else in the evening.
    fn of_habit(chance: &mut Chance) -> Self {
        let around = if chance.happens(0.6) { 9 } else { 18 };
        let own = usize::try_from(around + chance.below(4)).unwrap();
        Self(std::array::from_fn(|hour| if hour.abs_diff(own) <= 1 { 0.75 } else { 0.125 }))
    }

    fn without_habit(_: &mut Chance) -> Self {
        Self([0.25; HOURS])
    }
}

struct Rates {
    random: f64,
    prior: f64,
    best: f64,
}

fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap()
}

fn end() -> Timestamp {
    start().plus(Duration::from_hours(24 * DAYS))
}

/// What was sent to a user at random hours of the day, and read.
fn history(user: User, tenant: &mut Habits, chance: &mut Chance) -> Habits {
    let mut habits = Habits::none(start());
    for _ in 0..SENDS {
        let hour = usize::try_from(8 + chance.below(14)).unwrap();
        let sent_at = start().plus(Duration::from_hours(24 * chance.below(DAYS)));
        habits.sent(hour, sent_at);
        tenant.sent(hour, sent_at);
        if chance.happens(user.0[hour]) {
            habits.read(hour, sent_at);
            tenant.read(hour, sent_at);
        }
    }
    habits
}

fn simulate(seed: u64, make: fn(&mut Chance) -> User) -> Rates {
    let mut chance = Chance(seed);
    let mut tenant = Habits::none(start());
    let users: Vec<User> = (0..USERS).map(|_| make(&mut chance)).collect();
    let histories: Vec<Habits> = users.iter().map(|u| history(*u, &mut tenant, &mut chance)).collect();
    let prior = Prior::of(&tenant.at(end()));
    let stranger = Habits::none(end());
    let (quiet, zone) = (QuietHours::default(), Zone::UTC);
    let mut sums = Rates { random: 0.0, prior: 0.0, best: 0.0 };
    for (user, habits) in users.iter().zip(&histories) {
        let asked = end().plus(Duration::from_mins(chance.below(24 * 60)));
        let chosen = |habits: &Habits, rule: BestTimeRule| {
            let recipient = Recipient { habits, prior: &prior, quiet, zone: &zone };
            let best = BestTime::of(asked, Duration::from_hours(24), Priority::Normal, recipient, rule).time;
            assert_eq!(best.reason, DueReason::BestTime);
            user.0[hour_of_day(best.due_at, &zone)]
        };
        sums.best += chosen(habits, BestTimeRule::default());
        sums.prior += chosen(&stranger, BestTimeRule { min_samples: 0.0 });
        sums.random += user.0[usize::try_from(8 + chance.below(14)).unwrap()];
    }
    let count = f64::from(u32::try_from(USERS).unwrap());
    Rates { random: sums.random / count, prior: sums.prior / count, best: sums.best / count }
}

#[test]
fn users_with_habits_read_far_more_than_at_random_or_by_the_prior_alone() {
    for seed in [1, 2, 3] {
        let Rates { random, prior, best } = simulate(seed, User::of_habit);
        // Seen: 0.25 at random, 0.41 by the prior alone, 0.72 by best time; nothing can be over 0.75. At random: an
        // eighth, and three hours of fourteen at three quarters.
        assert!((0.22..0.28).contains(&random), "{random}");
        assert!(prior > 1.2 * random, "others' habits help: {prior} over {random}");
        assert!(best > 2.5 * random, "{best} over {random}");
        assert!(best > 1.5 * prior, "{best} over {prior}");
    }
}

#[test]
fn users_without_habits_gain_and_lose_nothing() {
    let Rates { random, prior, best } = simulate(4, User::without_habit);
    assert!([random, prior, best].iter().all(|rate| (rate - 0.25).abs() < 1e-9));
}

/// Somebody to whom all is sent at nine, and who reads at their own hour on four days of five: that hour, and what a
/// table keeps of it.
fn reader(chance: &mut Chance, all: &mut [HourCount; HOURS]) -> (usize, [HourCount; HOURS]) {
    let own = 9 + chance.below(12);
    let mut sums = [HourCount::default(); HOURS];
    for day in 0..DAYS {
        let came_at = start().plus(Duration::from_hours(24 * day + 9));
        let read_at = start().plus(Duration::from_mins((24 * day + own) * 60 + chance.below(60)));
        let mut observed = vec![Observation::sent(came_at, &Zone::UTC)];
        if chance.happens(0.8) {
            observed.extend(Observation::read(came_at, read_at, &Zone::UTC));
        }
        for Observation { hour, count, at } in observed {
            let kept = count.times(kept_weight(at));
            sums[hour] = sums[hour].plus(kept);
            all[hour] = all[hour].plus(HourCount { waited: 0.0, late: 0.0, ..kept });
        }
    }
    (usize::try_from(own).unwrap(), sums)
}

#[test]
fn who_is_always_sent_to_in_the_morning_is_found_at_the_hour_at_which_they_read() {
    let (mut chance, mut all) = (Chance(5), [HourCount::default(); HOURS]);
    let readers: Vec<_> = (0..200).map(|_| reader(&mut chance, &mut all)).collect();
    let prior = Prior::of(&Habits::kept(all, end()));
    for (own, sums) in readers {
        let habits = Habits::kept(sums, end());
        let recipient =
            Recipient { habits: &habits, prior: &prior, quiet: QuietHours::default(), zone: &Zone::UTC };
        let rule = BestTimeRule::default();
        let best = BestTime::of(end(), Duration::from_hours(24), Priority::Normal, recipient, rule);
        assert_eq!((hour_of_day(best.time.due_at, &Zone::UTC), best.time.reason), (own, DueReason::BestTime));
        assert!(best.confidence.unwrap() > 0.9);
    }
}
