//! Durations in buckets with fixed bounds, and a percentile read from them. Pure.

/// Upper bounds in milliseconds; what takes longer is in one more bucket.
const BOUNDS: [i32; 14] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// The bound of the last bucket.
pub(super) const ENDLESS: i32 = i32::MAX;

/// The upper bound of the bucket that this duration falls in.
pub(super) fn bound_of(duration_ms: i64) -> i32 {
    BOUNDS.into_iter().find(|bound| duration_ms <= i64::from(*bound)).unwrap_or(ENDLESS)
}

/// The duration that so much of the attempts did not exceed (0.95: of nineteen in twenty), as far as the buckets
/// tell: within one, durations are taken to be spread evenly. None of no attempts. The last bucket has no upper
/// bound, so its lower one stands for it.
pub(super) fn percentile(buckets: &[(i32, i64)], share: f64) -> Option<f64> {
    let total: i64 = buckets.iter().map(|(_, count)| count).sum();
    if total <= 0 {
        return None;
    }
    let rank = share * as_float(total);
    let mut sorted = buckets.to_vec();
    sorted.sort_unstable();
    let mut below = 0.0;
    for (bound, count) in sorted {
        let here = as_float(count);
        if count > 0 && below + here >= rank {
            let (lower, upper) = (f64::from(lower_than(bound)), f64::from(bound));
            let inside = if bound == ENDLESS { 0.0 } else { (rank - below) / here };
            return Some((upper - lower).mul_add(inside, lower));
        }
        below += here;
    }
    None
}

/// The bound before this one.
fn lower_than(bound: i32) -> i32 {
    BOUNDS.into_iter().rfind(|lower| *lower < bound).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts 2^53 attempts")]
pub(super) const fn as_float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(durations: &[i64]) -> Vec<(i32, i64)> {
        durations.iter().map(|ms| (bound_of(*ms), 1)).collect()
    }

    #[test]
    fn a_duration_falls_in_the_first_bucket_that_holds_it() {
        let bounds = [0, 1, 2, 3, 25, 26, 30_000, 30_001, i64::MAX].map(bound_of);
        assert_eq!(bounds, [1, 1, 2, 5, 25, 50, 30_000, ENDLESS, ENDLESS]);
    }

    #[test]
    fn a_percentile_lies_within_its_bucket_by_its_rank() {
        // A hundred between 50 and 100 ms: the 95th lies nine tenths into the second half.
        assert_eq!(percentile(&[(100, 100)], 0.95), Some(97.5));
        assert_eq!(percentile(&[(10, 90), (250, 10)], 0.95), Some(175.0));
        assert_eq!(percentile(&[(250, 10), (10, 90)], 0.9), Some(10.0));
    }

    #[test]
    fn nothing_has_no_percentile_and_the_endless_bucket_its_beginning() {
        assert_eq!(percentile(&[], 0.95), None);
        assert_eq!(percentile(&[(10, 0)], 0.95), None);
        assert_eq!(percentile(&[(ENDLESS, 3)], 0.95), Some(30_000.0));
    }

    proptest! {
        #[test]
        fn a_percentile_is_in_the_bucket_of_the_exact_one(mut durations in prop::collection::vec(0..30_000_i64, 1..200)) {
            let estimate = percentile(&buckets(&durations), 0.95).unwrap();
            durations.sort_unstable();
            let exact = durations[(durations.len() * 95).div_ceil(100) - 1];
            let upper = bound_of(exact);
            prop_assert!(estimate >= f64::from(lower_than(upper)) && estimate <= f64::from(upper));
        }
    }
}
