//! A rate: how many POSTs of a webhook may begin in a second, at the most.
//!
//! Left out: who keeps to it (`pipeline/send/pace.rs`) and how it is written (`config`).

use std::fmt;
use std::time::Duration;

/// POSTs a second, from [`Rate::LEAST`] to [`Rate::MOST`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// It is never NaN.
impl Eq for Rate {}

impl Rate {
    /// One in a thousand seconds: less is no pace but a pause.
    pub const LEAST: f64 = 0.001;

    /// More than a machine sends; a larger number is a slip.
    pub const MOST: f64 = 1_000_000.0;

    /// The rate, if it is one.
    #[must_use]
    pub fn new(per_second: f64) -> Option<Self> {
        (Self::LEAST..=Self::MOST)
            .contains(&per_second)
            .then_some(Self(per_second))
    }

    /// POSTs a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// The least time from the begin of one to the begin of the next; never less than the rate says.
    #[must_use]
    pub fn gap(self) -> Duration {
        let near = Duration::from_secs_f64(1.0 / self.0);
        if near.as_secs_f64() * self.0 < 1.0 {
            near + Duration::from_nanos(1)
        } else {
            near
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_rate_is_refused() {
        for none in [
            0.0,
            -0.0,
            -5.0,
            0.000_999,
            1_000_001.0,
            f64::NAN,
            f64::INFINITY,
        ] {
            assert_eq!(Rate::new(none), None, "{none}");
        }
    }

    #[test]
    fn a_gap_is_exact_where_it_can_be_and_else_a_nanosecond_longer() {
        let gap = |per_second| Rate::new(per_second).unwrap().gap();
        assert_eq!(gap(5.0), Duration::from_millis(200));
        assert_eq!(gap(0.001), Duration::from_secs(1_000));
        assert_eq!(gap(1_000_000.0), Duration::from_micros(1));
        assert_eq!(gap(3.0), Duration::from_nanos(333_333_334));
        assert_eq!(Rate::new(0.5).unwrap().to_string(), "0.5");
        assert_eq!(Rate::new(5.0).unwrap().to_string(), "5");
    }

    proptest! {
        #[test]
        fn no_gap_is_shorter_than_the_rate_says(per_second in Rate::LEAST..Rate::MOST) {
            let gap = Rate::new(per_second).unwrap().gap();
            prop_assert!(gap.as_secs_f64() >= (1.0 - 1e-9) / per_second);
            prop_assert!(gap.as_secs_f64() <= 1.0 / per_second + 2e-9);
        }
    }
}
