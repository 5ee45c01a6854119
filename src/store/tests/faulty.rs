//! Faults that a log is opened with: when a step is asked for one, and what one leaves behind.

use std::sync::{Arc, Mutex};

use super::*;
use crate::store::faults::{Faults, Inject, Opening};

/// Fails one question, and keeps what it is asked and told.
#[derive(Default)]
struct Noted {
    /// Which question fails, if any: 1 is the first.
    full: Mutex<usize>,
    asked: Mutex<Vec<&'static str>>,
    committed: Mutex<Vec<&'static str>>,
}

impl Noted {
    fn fail(&self, question: usize) {
        *self.full.lock().unwrap() = question;
        self.asked.lock().unwrap().clear();
    }
}

impl Inject for Noted {
    fn fails(&self, step: &'static str) -> Option<i32> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(step);
        (asked.len() == *self.full.lock().unwrap()).then_some(rusqlite::ffi::SQLITE_FULL)
    }

    fn committed(&self, step: &'static str) {
        self.committed.lock().unwrap().push(step);
    }
}

#[test]
fn a_fault_comes_before_the_commit_and_leaves_nothing_and_every_commit_is_told() {
    let (log, noted) = (Log::new(), Arc::new(Noted::default()));
    let opening = Opening {
        faults: Faults(Some(noted.clone())),
        ..Opening::default()
    };
    let mut store = Store::open_with(opening.clone(), &log.path, NOW).unwrap();
    let mut checkpointer = Checkpointer::open_with(opening, &log.path).unwrap();
    // First whether the transaction may begin, then once it has written.
    for question in [1, 2] {
        noted.fail(question);
        let error = store.set_cursor(&cursor(7), NOW).unwrap_err();
        assert!(error.is_full(), "{error:?}");
        assert_eq!(
            *noted.asked.lock().unwrap(),
            vec!["set the cursor"; question]
        );
        assert_eq!(store.cursor().unwrap(), None);
        assert_eq!(noted.committed.lock().unwrap().len(), 0);
    }
    noted.fail(0);
    store.set_cursor(&cursor(7), NOW).unwrap();
    assert_eq!(*noted.asked.lock().unwrap(), ["set the cursor"; 2]);
    assert_eq!(*noted.committed.lock().unwrap(), ["set the cursor"]);
    assert_eq!(store.cursor().unwrap().unwrap().event_id.get(), 7);
    noted.fail(1);
    assert!(checkpointer.passive().unwrap_err().is_full());
    noted.fail(1);
    assert!(store.checkpoint().unwrap_err().is_full());
}
