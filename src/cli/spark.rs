//! A spark line: numbers as bars of one character each, the largest the highest.
//!
//! Nothing is a dot and anything at all is at least the lowest bar, so that a single failure among
//! thousands is seen.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The line for counts that are compared with `top`, at least 1.
pub(super) fn line(counts: impl IntoIterator<Item = i64>, top: i64) -> String {
    let top = top.max(1);
    let bar = |count: i64| {
        if count <= 0 {
            return '·';
        }
        let eighths = (i128::from(count.min(top)) * 8 - 1) / i128::from(top);
        BARS[usize::try_from(eighths).unwrap_or(0)]
    };
    counts.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn bars_grow_with_the_counts() {
        assert_eq!(line([0, 1, 2, 3, 4, 5, 6, 7, 8], 8), "·▁▂▃▄▅▆▇█");
        assert_eq!(line([1, 999, 1_000, 1_001, 5_000], 1_000), "▁████");
        assert_eq!(line([1, 0], 0), "█·");
        assert_eq!(line([i64::MAX, 1], i64::MAX), "█▁");
        assert_eq!(line([], 3), "");
    }
}
