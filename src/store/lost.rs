//! That memory has let go of something that is pending without writing down what became of it.
//!
//! A row of `queued` has no index and is looked for by nobody, for memory has it. So whoever lets go of
//! one says so here, and every look for what is pending parks all that is queued first, where that was
//! said: what is in neither place by then is found like any other. What memory still holds may be
//! parked as well; a look passes over it. When a log is opened, all of it was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that something was let go of.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Something was.
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether something was, since it was asked last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
