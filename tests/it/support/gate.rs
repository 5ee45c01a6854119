//! A gate before which an endpoint's answers wait, so that what is done meanwhile is done while
//! requests are in flight, however slow the machine is.

use std::sync::{Arc, Condvar, Mutex};

use super::SOON;

/// Shut at first, and for all its clones at once.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets all through that wait, and all who come.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open; where the test has failed before that, not for ever.
    pub(crate) fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(shut, SOON, |open| !*open);
        drop(waited.unwrap());
    }
}
