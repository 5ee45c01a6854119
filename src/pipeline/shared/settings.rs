//! What the pipeline is told: its webhooks and limits, how long things are kept, how often it looks.
//!
//! Values only. What a change does to the running pipeline is in `orders/reload.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Bodies, LogPlace, Server, Webhook};

/// What a configuration asks of the pipeline, with its endpoints already made.
pub struct PipelineConfig<E> {
    /// Every webhook of the file, with its endpoint.
    pub webhooks: Vec<(Arc<Webhook>, E)>,
    /// The tenant id that `openboxes-lift` sends.
    pub tenant: Option<Arc<str>>,
    /// Requests in flight in all.
    pub max_in_flight: usize,
    /// Bytes of `data` above which an event is set aside.
    pub max_data_bytes: usize,
    /// How long things are kept.
    pub retention: Retention,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Webhooks that get events now.
    pub active: usize,
    /// Webhooks that lost pending deliveries, with their number.
    pub cancelled: Vec<(Arc<str>, usize)>,
    /// Those of them whose deliveries went in order, by this configuration or the one before.
    pub in_order: Vec<Arc<str>>,
}

/// How long things are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days of the log; 0 for ever.
    pub log_days: u32,
    /// The log, whose size is looked at.
    pub log: LogPlace,
    /// The size in bytes that the log, its WAL among it, is kept below; `None`: any.
    pub log_max_bytes: Option<u64>,
    /// Whose bodies stay in the log.
    pub log_bodies: Bodies,
    /// Days of the outbox after an event was taken; 0 for ever.
    pub outbox_days: u32,
    /// The outbox.
    pub outbox: PathBuf,
    /// Its server, where it is in PostgreSQL.
    pub outbox_server: Option<Arc<Server>>,
}

/// How often the loops look around by themselves. Wake-ups do the rest.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at what others wrote into the log, and at the wall clock.
    pub poll: Duration,
    /// Between the first commit that is not yet on disk and the one that synchronises it.
    pub durable: Duration,
    /// Between two marks of the retention.
    pub marks: Duration,
    /// Between two looks at the size of a log in PostgreSQL, which goes by the server's statistics and deletes by days.
    pub size: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            durable: Duration::from_secs(1),
            marks: Duration::from_secs(3_600),
            size: Duration::from_secs(60),
        }
    }
}

impl Applied {
    /// Tells the journal of what was cancelled.
    pub(crate) fn tell_cancelled(&self) {
        for (webhook, cancelled) in &self.cancelled {
            tracing::warn!(
                webhook = &**webhook,
                cancelled,
                "pending deliveries cancelled: the webhook is inactive or has left the configuration"
            );
        }
    }
}
