//! Medians and percentiles.
//!
//! Figures of a shared machine have tails, so nothing here takes a mean.

/// The middle value; of an even number the lower one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The smallest value that so many percent are not above (nearest rank).
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// "1.2 (1.0-1.4)": the median, the least and the most.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    let (least, most) = (percentile(values, 0.0), percentile(values, 100.0));
    format!(
        "{:.digits$} ({least:.digits$}-{most:.digits$})",
        median(values)
    )
}

/// Element by element.
pub(crate) fn ratios(values: &[f64], ceilings: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(ceilings)
        .map(|(value, ceiling)| value / ceiling)
        .collect()
}
