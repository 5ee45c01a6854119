//! `GET /health` and `GET /status`: how the daemon is, for machines and for the command `status`.
//!
//! Both render `query`'s status; the value and its JSON are documented there.

use hyper::StatusCode;

use super::Api;
use super::answer::{self, Answer};
use crate::query::{Health, Status};

impl Api {
    pub(super) async fn health(&self) -> Answer {
        let mut health = Health::of(&self.dispatch);
        let of_log = self.reading.warning(&self.dispatch).await;
        health.warnings.extend(of_log);
        let status = if health.healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        answer::of(status, &health)
    }

    pub(super) async fn status(&self) -> Answer {
        answer::of(StatusCode::OK, &self.now().await)
    }

    /// How the daemon is now.
    pub(super) async fn now(&self) -> Status {
        Status::whole(&self.about, &self.reading, &self.dispatch).await
    }

    /// `GET /status?brief`, for the page: the daemon of itself, without webhooks and files.
    pub(super) async fn status_in_brief(&self) -> Answer {
        answer::of(StatusCode::OK, &self.of_itself().await)
    }

    /// What the daemon says of itself.
    pub(super) async fn of_itself(&self) -> Status {
        Status::of_itself(&self.about, &self.reading, &self.dispatch).await
    }
}
