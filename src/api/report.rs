//! `GET /health` and `GET /status`: how the daemon is, for machines and for the command `status`.
//!
//! Health is false when the pipeline has stopped making progress, not merely when a process is there.
//! The status's shape has a version; fields are added to it and never changed.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Api;
use super::answer::{self, Answer};
use crate::model::clock::utc;

/// The version of the status's shape.
const VERSION: u32 = 1;

impl Api {
    pub(super) async fn health(&self) -> Answer {
        let mut warnings = self.dispatch.warnings();
        warnings.extend(self.facts.warning(&self.dispatch).await);
        let complaints = self.dispatch.complaints();
        let healthy = complaints.is_empty();
        let status = if healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        answer::value(
            status,
            &json!({
                "healthy": healthy, "complaints": complaints, "warnings": warnings,
            }),
        )
    }

    pub(super) async fn status(&self) -> Answer {
        let files = self.facts.get(&self.dispatch).await;
        let mut snapshot = self.dispatch.snapshot();
        snapshot.warnings.extend(files.warning());
        let pending_of = |name: &str| {
            let pending = files.pending.as_ref()?.iter();
            let found = pending.clone().find(|pending| pending.webhook == name);
            Some(found.map_or(0, |pending| pending.count))
        };
        let of_lane = |name: &str| {
            let found = snapshot.webhooks.iter().find(|w| *w.name == *name);
            found.map_or((0, 0), |w| (w.in_flight, w.queued))
        };
        let webhooks = self.dispatch.webhooks();
        let configured = webhooks.iter().map(|w| (&*w.name, w.active));
        let gone = snapshot.webhooks.iter().filter(|gone| {
            let is_configured = webhooks.iter().any(|w| w.name == gone.name);
            !is_configured && gone.in_flight > 0
        });
        let all = configured.chain(gone.map(|w| (&*w.name, false)));
        let webhooks: Vec<Value> = all
            .map(|(name, active)| {
                let (in_flight, queued) = of_lane(name);
                json!({
                    "name": name, "active": active, "in_flight": in_flight, "queued": queued,
                    "pending": pending_of(name),
                })
            })
            .collect();
        let about = &self.about;
        let status = json!({
            "version": VERSION,
            "daemon": {
                "pid": std::process::id(),
                "version": env!("CARGO_PKG_VERSION"),
                "started_at": utc(about.started_ms),
                "config": about.config.to_string_lossy(),
                "reloads": snapshot.reloads,
                "last_reload_failed": snapshot.last_reload_failed,
            },
            "healthy": snapshot.complaints.is_empty(),
            "complaints": snapshot.complaints,
            "warnings": snapshot.warnings,
            "outbox": {
                "path": about.outbox.to_string_lossy(),
                "cursor": files.cursor,
                "newest": files.newest,
                "lag": files.lag(),
            },
            "log": {
                "path": about.log.to_string_lossy(),
                "bytes": files.log_bytes,
                "wal_bytes": files.wal_bytes,
            },
            "in_flight": snapshot.in_flight,
            "webhooks": webhooks,
        });
        answer::value(StatusCode::OK, &status)
    }
}
