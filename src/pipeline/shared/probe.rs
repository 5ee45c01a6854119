//! Where a simulation gets hold of the pipeline, under test only: how large a bound is, how long a call
//! that may block takes, and which delivery is about to be sent.
//!
//! A probe belongs to the thread that sets it; on every other thread there is none, and the product
//! behaves as built. What the probe does is the simulation's (`simulation/hooks.rs`).

use std::cell::Cell;
use std::pin::Pin;

use crate::model::{Due, Webhook};

/// A pause of a simulated call.
pub(crate) type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a simulation does at the places where the product asks.
#[derive(Clone, Copy)]
pub(crate) struct Probe {
    /// The bound in the place of this one.
    pub(crate) within: fn(usize) -> usize,
    /// What comes before a call that may block, and after it.
    pub(crate) pause: fn() -> Pause,
    /// Takes note of what the transport is called for next.
    pub(crate) sending: fn(&Due, &Webhook),
}

thread_local! {
    static PROBE: Cell<Option<Probe>> = const { Cell::new(None) };
}

/// Sets this thread's probe, or takes it away.
pub(crate) fn set(probe: Option<Probe>) {
    PROBE.set(probe);
}

/// The bound, or a smaller one in its place.
pub(crate) fn within(bound: usize) -> usize {
    PROBE.get().map_or(bound, |probe| (probe.within)(bound))
}

/// Tells of the delivery that is sent by the call that follows at once.
pub(crate) fn sending(due: &Due, webhook: &Webhook) {
    if let Some(probe) = PROBE.get() {
        (probe.sending)(due, webhook);
    }
}

/// Makes a call that may block, or gives it back where this thread simulates nothing.
pub(crate) async fn blocking<R, F: FnOnce() -> R>(call: F) -> Result<R, F> {
    let Some(probe) = PROBE.get() else {
        return Err(call);
    };
    (probe.pause)().await;
    let value = call();
    (probe.pause)().await;
    Ok(value)
}
