//! A form that acts does so once, however often it is posted: a double click posts it twice, and so does reading the
//! answer again.
//!
//! Each form has a mark of its own, and the marks of those that did something are kept. One whose order was refused may be
//! posted again. A form without a mark is a program's, which says what it means.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::model::Clock;

/// Marks that are kept: those of an hour of clicks. The oldest goes, and its form could act again.
const KEPT: usize = 1_000;

/// The name of the field.
pub(super) const FIELD: &str = "once";

/// A mark: when the form was made, in UNIX milliseconds, so that no two runs give the same; and which one it was then.
type Mark = (i64, u64);

/// The marks of a process.
#[derive(Default)]
pub(super) struct Once(Mutex<State>);

#[derive(Default)]
struct State {
    given: u64,
    used: VecDeque<Mark>,
}

impl Once {
    /// A mark for a form.
    pub(super) fn mark(&self, clock: &Clock) -> String {
        let mut state = self.0.lock();
        state.given += 1;
        format!("{}-{}", clock.now_ms(), state.given)
    }

    /// Whether a form with that field may act; from then on it may not.
    pub(super) fn take(&self, typed: Option<&str>) -> bool {
        let Some(mark) = typed.and_then(read) else {
            return true;
        };
        let mut state = self.0.lock();
        if state.used.contains(&mark) {
            return false;
        }
        if state.used.len() == KEPT {
            state.used.pop_front();
        }
        state.used.push_back(mark);
        true
    }

    /// It did nothing, and may be posted again.
    pub(super) fn give_back(&self, typed: Option<&str>) {
        if let Some(mark) = typed.and_then(read) {
            self.0.lock().used.retain(|used| *used != mark);
        }
    }
}

fn read(typed: &str) -> Option<Mark> {
    let (time, number) = typed.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_acts_once_and_again_where_it_did_nothing() {
        let (once, clock) = (Once::default(), Clock::system());
        let [a, b] = [once.mark(&clock), once.mark(&clock)];
        assert_ne!(a, b);
        assert!(once.take(Some(&a)) && once.take(Some(&b)));
        assert!(!once.take(Some(&a)) && !once.take(Some(&b)));
        once.give_back(Some(&a));
        assert!(once.take(Some(&a)));
        assert!(!once.take(Some(&a)) && !once.take(Some(&b)));
        for of_a_program in [None, Some(""), Some("x"), Some("1"), Some("-")] {
            assert!(once.take(of_a_program) && once.take(of_a_program));
        }
    }

    #[test]
    fn so_many_are_kept() {
        let (once, clock) = (Once::default(), Clock::system());
        let marks: Vec<String> = (0..=KEPT).map(|_| once.mark(&clock)).collect();
        assert!(marks.iter().all(|mark| once.take(Some(mark))));
        assert!(!once.take(Some(&marks[KEPT])) && !once.take(Some(&marks[1])));
        assert!(once.take(Some(&marks[0])));
    }
}
