//! A request's body, as far as it may be.
//!
//! A small body is read at once. Larger ones take turns, so that memory is bounded by their number
//! and not by that of the connections; who waits for a turn is read no further meanwhile. A body
//! that is too large is read on for a little and thrown away, for many clients look at an answer
//! only once they have sent everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::{Request, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::activity::{Activity, Phase};
use super::answer::{self, HttpError};
use super::item;

/// A body up to this size takes no turn: 512 connections hold 32 MiB of such at most.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// The largest body, or that of the largest event that may be configured where that is larger.
const MAX_BYTES: usize = 64 << 20;

/// An order's body: some names and numbers, or a sample's data.
const MAX_ORDER_BYTES: usize = 8 << 20;

/// How long a body that is too large is read on.
const DISCARD: Duration = Duration::from_secs(2);

/// A body as it comes from a client, or from the daemon's own page.
pub(super) trait Sent: Body<Data = Bytes, Error: Send> + Send + Unpin {}

impl<B: Body<Data = Bytes, Error: Send> + Send + Unpin> Sent for B {}

/// A body, with its turn.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Api {
    /// The largest body of events.
    pub(super) fn max_events_bytes(&self) -> usize {
        MAX_BYTES.max(self.dispatch.max_data_bytes() + item::AROUND_BYTES)
    }

    /// Reads a body of events.
    pub(super) async fn events_body(
        &self,
        request: Request<impl Sent>,
        activity: &Activity,
    ) -> Result<Whole, HttpError> {
        self.body(request, activity, self.max_events_bytes()).await
    }

    /// Reads an order's body.
    pub(super) async fn order_body(
        &self,
        request: Request<impl Sent>,
        activity: &Activity,
    ) -> Result<Whole, HttpError> {
        self.body(request, activity, MAX_ORDER_BYTES).await
    }

    async fn body(
        &self,
        request: Request<impl Sent>,
        activity: &Activity,
        limit: usize,
    ) -> Result<Whole, HttpError> {
        let waits = request.headers().contains_key(hyper::header::EXPECT);
        let mut body = request.into_body();
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            if !waits {
                discard(&mut body).await;
            }
            return Err(too_large(limit));
        }
        let mut turn = None;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(answer::denial(
                    StatusCode::BAD_REQUEST,
                    "the body broke off",
                ));
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let size = bytes.len() + data.len();
            if size > limit {
                drop((bytes, turn));
                discard(&mut body).await;
                return Err(too_large(limit));
            }
            if size > SMALL_BYTES && turn.is_none() {
                turn = self.turn(activity).await;
            }
            bytes.extend_from_slice(&data);
        }
        activity.enter(Phase::Busy);
        Ok(Whole { bytes, _turn: turn })
    }

    /// Waits for a turn, which is not the client's fault.
    pub(super) async fn turn(&self, activity: &Activity) -> Option<OwnedSemaphorePermit> {
        activity.enter(Phase::Waits);
        let turn = Arc::clone(&self.large).acquire_owned().await.ok();
        activity.enter(Phase::Body);
        turn
    }
}

fn too_large(limit: usize) -> HttpError {
    answer::denial(
        StatusCode::PAYLOAD_TOO_LARGE,
        &format!("the body is larger than {limit} bytes"),
    )
}

async fn discard(body: &mut impl Sent) {
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    drop(tokio::time::timeout(DISCARD, all).await);
}
