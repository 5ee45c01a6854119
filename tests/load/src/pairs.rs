//! The arithmetic of a comparison: whose turn it is, and what the pairs say.
//!
//! A round measures each build once, one behind the other, so that both have the machine in nearly
//! the same state. A ratio is taken within a round, never between medians of different moments.

use crate::figure::{median, percentile};

/// The builds of a round in the order of their turns: in every other round the last goes first, so
/// that what the first leaves behind (a warm cache, a busy disk) is not always the same one's gain.
pub(crate) fn order(round: usize, builds: usize) -> Vec<usize> {
    let forth = 0..builds;
    if round.is_multiple_of(2) {
        forth.collect()
    } else {
        forth.rev().collect()
    }
}

/// What the rounds say of one build beside another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Ratio {
    /// Round by round; `None` where a figure was not measured in the same rounds of both.
    pub(crate) fn of(this: &[f64], other: &[f64]) -> Option<Self> {
        if this.is_empty() || this.len() != other.len() {
            return None;
        }
        let ratios: Vec<f64> = this
            .iter()
            .zip(other)
            .map(|pair| ratio(*pair.0, *pair.1))
            .collect();
        Some(Self {
            median: median(&ratios),
            least: percentile(&ratios, 0.0),
            most: percentile(&ratios, 100.0),
        })
    }
}

/// Two nothings are alike.
fn ratio(this: f64, other: f64) -> f64 {
    if this == 0.0 && other == 0.0 {
        1.0
    } else {
        this / other
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ({:.3}-{:.3})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ratio, order};

    #[test]
    fn the_builds_take_turns_in_going_first() {
        let turns: Vec<_> = (0..4).map(|round| order(round, 2)).collect();
        assert_eq!(turns, [[0, 1], [1, 0], [0, 1], [1, 0]]);
        assert_eq!([order(0, 1), order(1, 1)], [[0], [0]]);
    }

    /// The machine halves its speed after the first round: the medians' ratio would be 100 / 120.
    #[test]
    fn the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_medians() {
        let (this, other) = ([220.0, 100.0, 90.0], [200.0, 120.0, 100.0]);
        let ratio = Ratio::of(&this, &other).unwrap();
        assert_eq!(ratio.median, 0.9);
        assert_eq!((ratio.least, ratio.most), (100.0 / 120.0, 1.1));
        assert_eq!(ratio.to_string(), "0.900 (0.833-1.100)");
    }

    #[test]
    fn of_an_even_number_of_pairs_neither_middle_one_is_preferred() {
        let ratio = Ratio::of(&[1.0, 2.0, 3.0, 8.0], &[1.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!(ratio.median, 2.5);
    }

    #[test]
    fn nothing_beside_nothing_is_alike_and_something_beside_nothing_is_not() {
        assert_eq!(Ratio::of(&[0.0], &[0.0]).unwrap().median, 1.0);
        assert_eq!(Ratio::of(&[2.0], &[0.0]).unwrap().median, f64::INFINITY);
    }

    #[test]
    fn rounds_that_are_no_pairs_have_no_ratio() {
        assert_eq!(Ratio::of(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(Ratio::of(&[], &[]), None);
    }
}
