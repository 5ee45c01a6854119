//! The seam between the pipeline and the network: one request in, what came of it out.

use std::future::Future;

use crate::model::{Exchange, Fault, Request};

/// Sends requests. The real one is [`Client`](super::Client); the pipeline's tests script their own.
pub trait Transport: Send + Sync + 'static {
    /// What is known of one webhook's endpoint, with its idle connections.
    type Endpoint: Send + Sync + 'static;

    /// Makes one attempt. Dropping the future closes its connection.
    ///
    /// # Errors
    /// [`Fault`] is our own machine's trouble; all else is in the [`Exchange`].
    fn send(
        &self,
        to: &Self::Endpoint,
        request: &Request,
    ) -> impl Future<Output = Result<Exchange, Fault>> + Send;
}
