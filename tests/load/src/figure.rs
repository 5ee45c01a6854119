//! A figure of a round, its rounds together, and what it is held to. Medians and percentiles.
//!
//! Figures of a shared machine have tails, so nothing here takes a mean of more than the two values
//! in the middle.

/// What a figure is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    AtLeast(f64),
    AtMost(f64),
}

/// One number of one round of one build.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Its name, the same in each round.
    what: String,
    unit: &'static str,
    digits: usize,
    reach: Option<Reach>,
    value: f64,
    /// What makes it a miss, whatever its value.
    fault: Option<String>,
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        digits: usize,
    ) -> Self {
        Self {
            what: what.into(),
            unit,
            digits,
            reach: None,
            value,
            fault: None,
        }
    }

    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.reach = Some(Reach::AtLeast(least));
        self
    }

    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.reach = Some(Reach::AtMost(most));
        self
    }

    pub(crate) fn fault_unless(mut self, right: bool, words: impl Into<String>) -> Self {
        if !right {
            self.fault = Some(words.into());
        }
        self
    }
}

/// A figure of one build in all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// As the first round named it.
    kind: Figure,
    pub(crate) values: Vec<f64>,
    faults: Vec<String>,
}

impl Series {
    /// The figures of the rounds, each figure's together, in the order of the first round.
    pub(crate) fn collect(rounds: Vec<Vec<Figure>>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for figure in rounds.into_iter().flatten() {
            let at = all
                .iter()
                .position(|series| series.kind.what == figure.what);
            let at = at.unwrap_or_else(|| {
                all.push(Self {
                    kind: figure.clone(),
                    values: Vec::new(),
                    faults: Vec::new(),
                });
                all.len() - 1
            });
            all[at].values.push(figure.value);
            all[at].faults.extend(figure.fault);
        }
        all
    }

    pub(crate) fn what(&self) -> &str {
        &self.kind.what
    }

    /// "≤ 45 µs", or "-".
    pub(crate) fn reach(&self) -> String {
        let (sign, bound) = match self.kind.reach {
            None => return "-".into(),
            Some(Reach::AtLeast(least)) => ("≥", least),
            Some(Reach::AtMost(most)) => ("≤", most),
        };
        format!("{sign} {bound} {}", self.kind.unit)
            .trim_end()
            .to_owned()
    }

    /// "12.2 (11.9-12.8) µs": the median, the least and the most; and what was wrong.
    pub(crate) fn text(&self) -> String {
        let figure = spread(&self.values, self.kind.digits);
        let mut text = format!("{figure} {}", self.kind.unit).trim_end().to_owned();
        for fault in &self.faults {
            text += "; ";
            text += fault;
        }
        text
    }

    /// `None`: it is held to nothing.
    pub(crate) fn hit(&self) -> Option<bool> {
        let value = median(&self.values);
        let reached = match self.kind.reach {
            Some(Reach::AtLeast(least)) => Some(value >= least),
            Some(Reach::AtMost(most)) => Some(value <= most),
            None => None,
        };
        if self.faults.is_empty() {
            reached
        } else {
            Some(false)
        }
    }
}

/// The middle value; of an even number what lies between the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
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

/// "1.2 (1.0-1.4)": the median, the least and the most; of one value itself.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    if let [value] = values {
        return format!("{value:.digits$}");
    }
    let (least, most) = (percentile(values, 0.0), percentile(values, 100.0));
    format!(
        "{:.digits$} ({least:.digits$}-{most:.digits$})",
        median(values)
    )
}

#[cfg(test)]
mod tests {
    use super::{Figure, Series, median};

    #[test]
    fn the_median_is_the_middle_or_between_the_two_of_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_figures_of_the_rounds_stand_together_and_are_judged_by_their_median() {
        let round = |cpu, rate| {
            vec![
                Figure::new("CPU", cpu, "µs", 1).at_most(10.0),
                Figure::new("rate", rate, "/s", 0),
            ]
        };
        let series = Series::collect(vec![round(9.0, 7.0), round(99.0, 8.0), round(10.0, 9.0)]);
        assert_eq!(series[0].what(), "CPU");
        assert_eq!(series[0].values, [9.0, 99.0, 10.0]);
        assert_eq!(series[0].text(), "10.0 (9.0-99.0) µs");
        assert_eq!(series[0].reach(), "≤ 10 µs");
        assert_eq!([series[0].hit(), series[1].hit()], [Some(true), None]);
    }

    #[test]
    fn a_fault_of_one_round_is_a_miss_whatever_the_figure() {
        let figure = |right| {
            Figure::new("p99", 1.0, "ms", 2)
                .at_most(3.0)
                .fault_unless(right, "2 NEVER CAME")
        };
        let series = Series::collect(vec![vec![figure(true)], vec![figure(false)]]);
        assert_eq!(series[0].hit(), Some(false));
        assert_eq!(series[0].text(), "1.00 (1.00-1.00) ms; 2 NEVER CAME");
    }
}
