//! What the pipeline runs on: threads for calls that may block, how large its bounds are, and who is told of
//! each request.
//!
//! The numbers of the bounds stand in the files that keep to them. A simulation makes them smaller, so that
//! they are reached, and makes calls inline, so that the order of everything is its seed's.

use std::panic::resume_unwind;
use std::pin::Pin;

use tokio::runtime::Handle;

use crate::model::{Due, Vfs, Webhook};

/// What goes by before a call that is made inline, and after it.
type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How large bounds are.
#[derive(Clone, Copy)]
pub(crate) struct Bounds(pub(crate) fn(usize) -> usize);

/// What the pipeline runs on.
#[derive(Clone)]
pub struct Runtime {
    /// Where workers run, and calls that may block.
    pub(crate) handle: Handle,
    /// How large bounds are.
    pub(crate) bounds: Bounds,
    /// What replays and retention open the outbox with: the same as who follows it.
    pub(crate) vfs: Vfs,
    /// Calls that may block are made inline, between two of these.
    pub(crate) inline: Option<fn() -> Pause>,
    /// A log that is full has the intake wait for room; weeks that were simulated before that are left as they were.
    pub(crate) holds: bool,
    /// Told of each delivery before its request.
    pub(crate) sending: Option<fn(&Due, &Webhook)>,
}

impl Bounds {
    /// The bound of that number.
    pub(crate) fn of(self, number: usize) -> usize {
        self.0(number)
    }
}

impl Default for Bounds {
    /// As they are.
    fn default() -> Self {
        Self(|number| number)
    }
}

impl From<Handle> for Runtime {
    fn from(handle: Handle) -> Self {
        Self {
            handle,
            bounds: Bounds::default(),
            vfs: Vfs::default(),
            inline: None,
            holds: true,
            sending: None,
        }
    }
}

impl Runtime {
    /// Runs one short call that may block.
    pub(crate) async fn blocking<R, F>(&self, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        if let Some(pause) = self.inline {
            pause().await;
            let value = call();
            pause().await;
            return value;
        }
        match self.handle.spawn_blocking(call).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shutting down: nobody is left to see what the call returned.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
