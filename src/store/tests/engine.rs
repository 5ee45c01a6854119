//! A log of its own for a test that knows no engine: who writes it, who reads it, and a person's hand.

use super::*;
use crate::model::LogPlace;

pub(super) trait Engine {
    /// Its one writer; the one before is gone by then.
    fn open(&self) -> Box<dyn LogWriter>;

    fn reads(&self) -> Box<dyn LogReader>;

    /// What a person writes by SQL. Whether it was taken.
    fn by_hand(&self, sql: &str) -> bool;
}

impl Engine for Log {
    fn open(&self) -> Box<dyn LogWriter> {
        Box::new(Self::open(self))
    }

    fn reads(&self) -> Box<dyn LogReader> {
        read_log(&LogPlace::File(self.path.clone())).unwrap()
    }

    fn by_hand(&self, sql: &str) -> bool {
        self.execute(sql).is_ok()
    }
}

/// Takes a batch in with nothing put off, and nothing in memory's hands.
pub(super) fn admit(log: &mut dyn LogWriter, admission: &Admission, now_ms: i64) -> Vec<Due> {
    let (dues, owed) = log
        .admit(admission, &|_| false, &mut |_| false, now_ms)
        .unwrap();
    assert_eq!(owed, []);
    dues
}
