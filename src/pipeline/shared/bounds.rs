//! The bounds of the pipeline as they are; a simulation makes them smaller, so that they are reached.
//!
//! The numbers themselves stand in the files that keep to them.

/// A bound as it is.
#[cfg(not(test))]
pub(crate) const fn within(bound: usize) -> usize {
    bound
}

#[cfg(test)]
pub(crate) use super::probe::within;
