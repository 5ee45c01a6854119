//! Complaints: what keeps parts of the pipeline, said once where it is the same, with the steps that it keeps.
//!
//! A server that is away is met by every part that asks it. Left out: who complains (`counters`), and what stands until
//! somebody sees to it (`standing`).

/// Why a part is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// What it does not do.
    pub(super) step: &'static str,
    /// Why: an error names its file, and mostly its step.
    pub(super) text: String,
    /// For how long.
    pub(super) seconds: i64,
    /// What there is to do about it.
    pub(super) hint: Option<String>,
}

impl Complaint {
    /// With the steps that it keeps, but for one that the text names itself.
    fn line(&self, steps: &[&str]) -> String {
        let Self {
            text,
            seconds,
            hint,
            ..
        } = self;
        let steps = match steps {
            [step] if text.contains(step) => String::new(),
            steps => format!("{}: ", steps.join(", ")),
        };
        let hint = hint.as_ref().map(|hint| format!(": {hint}"));
        let hint = hint.unwrap_or_default();
        format!("{steps}{text} (for {seconds} s){hint}")
    }
}

/// What is said of all of them: a line for each text with its hint, for the longest that one of its steps was kept.
pub(crate) fn told(all: impl IntoIterator<Item = Complaint>) -> Vec<String> {
    let mut groups: Vec<(Complaint, Vec<&str>)> = Vec::new();
    for complaint in all {
        let same = groups
            .iter_mut()
            .find(|(first, _)| (&first.text, &first.hint) == (&complaint.text, &complaint.hint));
        match same {
            Some((first, steps)) => {
                first.seconds = first.seconds.max(complaint.seconds);
                steps.push(complaint.step);
            }
            None => {
                let steps = vec![complaint.step];
                groups.push((complaint, steps));
            }
        }
    }
    let lines = groups.iter().map(|(first, steps)| first.line(steps));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(step: &'static str, text: &str, seconds: i64) -> Complaint {
        Complaint {
            step,
            text: text.to_owned(),
            seconds,
            hint: Some("wait".to_owned()),
        }
    }

    #[test]
    fn what_is_the_same_is_said_once_with_each_step_and_for_the_longest_time() {
        let told = told([
            complaint("read", "the server is away", 5),
            complaint("sweep", "the disk is full", 6),
            complaint("record", "the server is away", 7),
            Complaint {
                hint: None,
                ..complaint("look", "the server is away", 8)
            },
        ]);
        assert_eq!(
            told,
            [
                "read, record: the server is away (for 7 s): wait",
                "sweep: the disk is full (for 6 s): wait",
                "look: the server is away (for 8 s)"
            ]
        );
    }

    #[test]
    fn a_step_that_the_text_names_is_not_named_before_it() {
        let one = told([complaint("record", "log: record: disk full", 5)]);
        assert_eq!(one, ["log: record: disk full (for 5 s): wait"]);
        assert_eq!(told([]), Vec::<String>::new());
    }
}
