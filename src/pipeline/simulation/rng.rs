//! Chance from a seed: the same seed gives the same run on every machine.
//!
//! `SplitMix64` (Steele, Lea, Flood, 2014). Each part of a simulation has a stream of its own, so
//! that one draw more in one part leaves the others as they were. Not for secrets.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream of that number of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self(seed ^ stream.rotate_left(32));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both possible.
    pub(super) fn from(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// The same for an index or a size.
    pub(super) fn size(&mut self, least: usize, most: usize) -> usize {
        usize::try_from(self.from(least as u64, most as u64)).unwrap()
    }

    /// True in so many of a thousand.
    pub(super) fn in_thousand(&mut self, parts: u64) -> bool {
        self.from(0, 999) < parts
    }

    /// One of them.
    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.size(0, all.len() - 1)]
    }
}
