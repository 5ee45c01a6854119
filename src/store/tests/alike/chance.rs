//! Chance from a seed, by `SplitMix64`: the same seed draws the same calls.

/// A stream of numbers.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    pub(super) fn is(&mut self, of_ten: usize) -> bool {
        self.below(10) < of_ten
    }

    pub(super) fn ms(&mut self, end: usize) -> i64 {
        i64::try_from(self.below(end)).unwrap()
    }
}
