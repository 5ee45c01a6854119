//! The edges of the histograms of durations: one table, of which log and metrics each show a part.
//!
//! The log's part is frozen by its columns `le_1` … `le_10000`, that of the metrics by the labels `le`
//! that dashboards name. An edge that both show means the same in both: at most so long.

struct Edge {
    ms: i64,
    log: bool,
    metrics: bool,
}

const fn both(ms: i64) -> Edge {
    Edge {
        ms,
        log: true,
        metrics: true,
    }
}

const fn log(ms: i64) -> Edge {
    Edge {
        ms,
        log: true,
        metrics: false,
    }
}

const fn metrics(ms: i64) -> Edge {
    Edge {
        ms,
        log: false,
        metrics: true,
    }
}

/// Every edge, rising. The fixed time-outs of 3 s, and two of them, stand out as edges of their own.
const EDGES: [Edge; 20] = [
    both(1),
    both(2),
    log(3),
    both(5),
    both(10),
    log(20),
    metrics(25),
    log(30),
    both(50),
    both(100),
    log(200),
    metrics(250),
    log(300),
    both(500),
    both(1_000),
    log(2_000),
    both(3_000),
    log(5_000),
    metrics(6_000),
    log(10_000),
];

// Numbers, and not the lengths of the lists: types that have these would need a list worked out by a
// function, which an optimising compiler can't do while it still judges types.
/// So many buckets the log has.
pub(crate) const LOG_BUCKETS: usize = 17;

/// The upper edges of the log's buckets, milliseconds.
pub(crate) const LOG_EDGES_MS: [i64; LOG_BUCKETS] = part(false);

/// So many closed buckets the metrics have.
pub(crate) const METRICS_BUCKETS: usize = 12;

/// The upper edges of the metrics' buckets, milliseconds; the last bucket is open.
pub(crate) const METRICS_EDGES_MS: [i64; METRICS_BUCKETS] = part(true);

/// Those of the metrics, or of the log: exactly so many, or it does not compile.
const fn part<const N: usize>(of_metrics: bool) -> [i64; N] {
    let mut part = [0; N];
    let (mut from, mut to) = (0, 0);
    while from < EDGES.len() {
        let edge = &EDGES[from];
        let shown = if of_metrics { edge.metrics } else { edge.log };
        if shown {
            part[to] = edge.ms;
            to += 1;
        }
        from += 1;
    }
    assert!(to == N);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_rise_and_each_part_is_what_its_readers_know() {
        assert!(EDGES.is_sorted_by(|a, b| a.ms < b.ms));
        assert_eq!(
            LOG_EDGES_MS,
            [
                1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000
            ]
        );
        assert_eq!(
            METRICS_EDGES_MS,
            [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 3_000, 6_000]
        );
    }
}
