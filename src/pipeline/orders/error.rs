//! Why the pipeline does not do what was asked, and which webhook an order is for.

use std::sync::Arc;

use crate::model::Webhook;
use crate::outbox;
use crate::pipeline::send::Dispatch;
use crate::store;
use crate::transport::Transport;

/// Why the pipeline does not do what was asked.
#[derive(Debug)]
pub enum OrderError {
    /// No webhook has that name.
    Unknown,
    /// The webhook gets nothing by today's configuration.
    Inactive,
    /// The log does not take or tell it.
    Store(store::Error),
    /// The outbox can't be read.
    Outbox(outbox::Error),
}

impl<T: Transport> Dispatch<T> {
    /// The webhook of that name, if it gets events.
    ///
    /// # Errors
    /// [`OrderError::Unknown`] and [`OrderError::Inactive`].
    pub fn served(&self, name: &str) -> Result<Arc<Webhook>, OrderError> {
        let routes = self.routes();
        let found = routes.webhooks().iter().find(|w| *w.name == *name);
        let webhook = found.ok_or(OrderError::Unknown)?;
        if webhook.active {
            Ok(webhook.clone())
        } else {
            Err(OrderError::Inactive)
        }
    }
}
