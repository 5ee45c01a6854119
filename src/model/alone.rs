//! Under test only: whether this thread's databases are no other process's business.
//!
//! A simulation's are not. SQLite then keeps their locks and the index of their WAL in its memory
//! (VFS `unix-excl`) and asks the kernel for none, which was a seventh of a simulated week's time.
//! Connections of the process still lock each other out as ever.

use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Says whether they are.
pub(crate) fn set(alone: bool) {
    ALONE.set(alone);
}

/// The name of the VFS that this thread's connections are opened with.
pub(crate) fn vfs() -> &'static str {
    if ALONE.get() { "unix-excl" } else { "unix" }
}
