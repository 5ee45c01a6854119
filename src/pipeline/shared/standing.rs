//! What stands: findings about the files that last until somebody sees to them.
//!
//! Unlike trouble, which a part of the pipeline meets again and again, a finding is made once and
//! taken back once. Status and health show those that stand; the journal is told of each new one.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::outbox::Finding;

/// What a finding is about; of each there is one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Matter {
    /// The outbox is not there yet.
    Awaited,
    /// The outbox's file has another name.
    Names,
    /// Guards of the outbox's table are missing.
    Guards,
    /// Somebody else follows the outbox.
    Others,
    /// The doorbell of the outbox does not ring.
    Doorbell,
    /// Nodes whose files differ.
    Files,
    /// Nodes of one name.
    Namesakes,
    /// A clock that is not the server's.
    Clock,
    /// Rows that can't be deleted.
    Kept,
    /// Days of the log that can't be dropped.
    Days,
    /// What is pending is larger than the log may be.
    Size,
}

/// All that stands.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<BTreeMap<Matter, Vec<Finding>>>);

impl Standing {
    /// Puts these in the place of what stood about the matter, and tells the journal of new ones.
    pub(crate) fn set(&self, matter: Matter, findings: Vec<Finding>) {
        let mut all = self.0.lock();
        let before = all.remove(&matter).unwrap_or_default();
        for finding in findings.iter().filter(|finding| !before.contains(finding)) {
            let hint = finding.hint.as_deref();
            tracing::warn!(hint, "{}", finding.text);
        }
        if !findings.is_empty() {
            all.insert(matter, findings);
        }
    }

    /// What stands and endangers events, or what does not.
    pub(crate) fn told(&self, is_error: bool) -> Vec<String> {
        let all = self.0.lock();
        let told = all.values().flatten();
        let told = told.filter(|finding| finding.is_error == is_error);
        told.map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stands_until_something_else_is() {
        let finding = |text: &str, is_error| Finding {
            is_error,
            text: text.to_owned(),
            hint: (!is_error).then(|| "do it".to_owned()),
        };
        let standing = Standing::default();
        standing.set(
            Matter::Guards,
            vec![finding("a", false), finding("b", true)],
        );
        standing.set(Matter::Kept, vec![finding("c", false)]);
        assert_eq!(standing.told(true), ["b"]);
        assert_eq!(standing.told(false), ["a: do it", "c: do it"]);
        standing.set(Matter::Guards, Vec::new());
        assert_eq!(standing.told(true), Vec::<String>::new());
        assert_eq!(standing.told(false), ["c: do it"]);
    }
}
