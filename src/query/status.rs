//! How the daemon is, in one value: `GET /status`, `/health` and `/metrics`, the command `status` and
//! systemd's status line all render it, so that none of them says what another does not.
//!
//! Its JSON has a version; fields are added to it and never changed. What a newer daemon adds is passed
//! over, and what an older one leaves out is taken as nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::about::About;
use super::files::{Files, Reading};
use super::node_status::NodeStatus;
use crate::model::clock::utc;
use crate::model::{EventId, Rate, Webhook};
use crate::pipeline::{Dispatch, Snapshot, WebhookSnapshot};
use crate::store::Holding;
use crate::transport::Transport;

/// The version of the JSON.
const VERSION: u32 = 1;

/// How the daemon is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The version of the JSON.
    #[serde(default)]
    pub version: u32,
    /// The process.
    pub daemon: Process,
    /// Whether it is well.
    #[serde(flatten)]
    pub health: Health,
    /// How far the outbox was taken.
    #[serde(default)]
    pub outbox: Outbox,
    /// The log's files.
    #[serde(default)]
    pub log: Log,
    /// The nodes of the log, this one among them; none where the log is in a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// Requests in flight.
    pub in_flight: usize,
    /// The configuration's webhooks, then those that left it and have requests in flight still.
    #[serde(default)]
    pub webhooks: Vec<WebhookStatus>,
    /// What of it only the daemon itself renders.
    #[serde(skip)]
    pub inside: Inside,
}

/// The pipeline's counts and what the files said, as they were taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// The pipeline.
    pub pipeline: Snapshot,
    /// The files.
    pub files: Arc<Files>,
    /// When the daemon started, UNIX milliseconds.
    pub started_ms: i64,
}

/// Whether the daemon is well. It is not when the pipeline has stopped making progress, not merely when
/// a process is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Whether the pipeline moves.
    pub healthy: bool,
    /// Why it does not.
    #[serde(default)]
    pub complaints: Vec<String>,
    /// What somebody should see to though it does.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The daemon's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its id.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// When it started, ISO 8601.
    #[serde(default)]
    pub started_at: String,
    /// The configuration's file.
    #[serde(default)]
    pub config: String,
    /// Configurations taken in or refused after the start.
    #[serde(default)]
    pub reloads: u64,
    /// Whether the last one was refused.
    #[serde(default)]
    pub last_reload_failed: bool,
    /// Why, each error with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_reload_errors: Vec<String>,
    /// When that was, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload_failed_at: Option<String>,
    /// What the configuration in force warns of, each with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_warnings: Vec<String>,
}

/// How far the outbox was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outbox {
    /// Its file.
    #[serde(default)]
    pub path: String,
    /// The last event that was taken in.
    pub cursor: Option<EventId>,
    /// The last there is.
    pub newest: Option<EventId>,
    /// How many were not taken in yet.
    pub lag: Option<i64>,
    /// Deliveries not made because their webhook's `where` does not want the event's data, since the start.
    #[serde(default)]
    pub filtered: u64,
    /// Since when what was not taken in waits for room in the log, ISO 8601; `None`: it does not.
    #[serde(default)]
    pub waits_for_room_since: Option<String>,
}

/// The log's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    /// The database.
    #[serde(default)]
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its WAL's.
    pub wal_bytes: u64,
    /// What the two are kept below; `None`: any.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// When the oldest attempt of finished work was made, ISO 8601.
    #[serde(default)]
    pub oldest: Option<String>,
}

/// A webhook, as the daemon has it in hand. What became of its deliveries is in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WebhookStatus {
    /// Its name.
    pub name: String,
    /// Whether it gets anything by today's configuration.
    #[serde(default)]
    pub active: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// Deliveries queued in memory.
    #[serde(default)]
    pub queued: usize,
    /// Deliveries pending in the log; `None` where it could not be read.
    pub pending: Option<i64>,
    /// How many requests may begin in a second; `None`: any number.
    #[serde(default)]
    pub max_per_second: Option<f64>,
    /// How many of those wait for their turn, counted up to 10,000.
    #[serde(default)]
    pub held: i64,
    /// How many that were given up hold their lines, counted up to 10,000.
    #[serde(default)]
    pub holding: i64,
    /// Since when the oldest of those does, ISO 8601; `None`: none does.
    #[serde(default)]
    pub holding_since: Option<String>,
    /// Until when its endpoint asked to wait, ISO 8601, where that is not over.
    #[serde(default)]
    pub held_until: Option<String>,
    /// Since when it is paused, ISO 8601; `None`: it is not.
    #[serde(default)]
    pub paused_since: Option<String>,
    /// When the pause ends by itself, ISO 8601; `None`: it does not.
    #[serde(default)]
    pub paused_until: Option<String>,
    /// Why, where somebody said so.
    #[serde(default)]
    pub paused_reason: Option<String>,
}

impl WebhookStatus {
    /// `pending`: how many are, and how many of those wait for their turn.
    fn of(
        name: &str,
        active: bool,
        lane: Option<&WebhookSnapshot>,
        pending: Option<(i64, i64)>,
    ) -> Self {
        let pause = lane.and_then(|lane| lane.pause.as_ref());
        Self {
            name: name.to_owned(),
            active,
            in_flight: lane.map_or(0, |lane| lane.in_flight),
            queued: lane.map_or(0, |lane| lane.queued),
            pending: pending.map(|(count, _)| count),
            held: pending.map_or(0, |(_, held)| held),
            holding: 0,
            holding_since: None,
            max_per_second: lane.and_then(|lane| lane.max_per_second),
            held_until: lane.and_then(|lane| lane.held_until_ms).map(utc),
            paused_since: pause.map(|pause| utc(pause.since_ms)),
            paused_until: pause.and_then(|pause| pause.until_ms).map(utc),
            paused_reason: pause
                .and_then(|pause| pause.reason.as_deref())
                .map(str::to_owned),
        }
    }
}

impl Health {
    /// The pipeline's health now. Touches no file: what the log warns of is [`Reading::warning`].
    #[must_use]
    pub(crate) fn of<T: Transport>(dispatch: &Dispatch<T>) -> Self {
        Self::new(dispatch.complaints(), dispatch.warnings())
    }

    fn new(complaints: Vec<String>, warnings: Vec<String>) -> Self {
        Self {
            healthy: complaints.is_empty(),
            complaints,
            warnings,
        }
    }
}

impl Status {
    /// All of it.
    pub(crate) async fn whole<T: Transport>(
        about: &About,
        reading: &Reading,
        dispatch: &Dispatch<T>,
    ) -> Self {
        let files = reading.whole(dispatch).await;
        Self::new(
            about,
            dispatch.snapshot(),
            Some(&dispatch.webhooks()),
            files,
        )
    }

    /// Without the webhooks, and of the files only what is read in no time.
    pub(crate) async fn brief<T: Transport>(
        about: &About,
        reading: &Reading,
        dispatch: &Dispatch<T>,
    ) -> Self {
        let files = Arc::new(reading.brief(dispatch).await);
        Self::new(about, dispatch.snapshot(), None, files)
    }

    /// What the daemon says of itself, and what the log warns of: within a millisecond, whatever there is.
    pub(crate) async fn of_itself<T: Transport>(
        about: &About,
        reading: &Reading,
        dispatch: &Dispatch<T>,
    ) -> Self {
        let of_log = reading.warning(dispatch).await;
        let mut status = Self::new(about, dispatch.counts(), None, Arc::default());
        status.health.warnings.extend(of_log);
        status
    }

    fn new(
        about: &About,
        pipeline: Snapshot,
        configured: Option<&[Arc<Webhook>]>,
        files: Arc<Files>,
    ) -> Self {
        let lossy = |path: &Path| path.to_string_lossy().into_owned();
        let mut warnings = pipeline.warnings.clone();
        warnings.extend(files.warning());
        Self {
            version: VERSION,
            daemon: Process {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: utc(about.started_ms),
                config: lossy(&about.config),
                reloads: pipeline.reloads,
                last_reload_failed: pipeline.last_reload_failed,
                last_reload_errors: pipeline.remarks.errors.clone(),
                last_reload_failed_at: pipeline.remarks.refused_ms.map(utc),
                config_warnings: pipeline.remarks.warnings.clone(),
            },
            health: Health::new(pipeline.complaints.clone(), warnings),
            outbox: Outbox {
                path: lossy(&about.outbox),
                cursor: files.cursor,
                newest: files.newest,
                lag: files.lag().or(pipeline.behind),
                filtered: pipeline.filtered,
                waits_for_room_since: pipeline.waits_for_room_since_ms.map(utc),
            },
            log: Log {
                path: about.log.shown().into_owned(),
                bytes: files.log_bytes,
                wal_bytes: files.wal_bytes,
                max_bytes: pipeline.log_max_bytes,
                oldest: files.oldest_ms.map(utc),
            },
            nodes: pipeline.nodes.iter().map(NodeStatus::from).collect(),
            in_flight: pipeline.in_flight,
            webhooks: configured.map_or_else(Vec::new, |configured| {
                webhooks(configured, &pipeline, &files)
            }),
            inside: Inside {
                pipeline,
                files,
                started_ms: about.started_ms,
            },
        }
    }
}

fn webhooks(configured: &[Arc<Webhook>], pipeline: &Snapshot, files: &Files) -> Vec<WebhookStatus> {
    let pending = files.pending.as_deref();
    let pending: Option<HashMap<&str, (i64, i64)>> = pending.map(|all| {
        all.iter()
            .map(|p| (&*p.webhook, (p.count, p.held)))
            .collect()
    });
    let pending = |name: &str| Some(pending.as_ref()?.get(name).copied().unwrap_or_default());
    let lanes = pipeline.webhooks.iter();
    let mut lanes: HashMap<&str, _> = lanes.map(|lane| (&*lane.name, lane)).collect();
    let mut all: Vec<WebhookStatus> = configured
        .iter()
        .map(|webhook| {
            let lane = lanes.remove(&*webhook.name);
            WebhookStatus {
                max_per_second: webhook.max_per_second.map(Rate::per_second),
                ..WebhookStatus::of(&webhook.name, webhook.active, lane, pending(&webhook.name))
            }
        })
        .collect();
    let gone = pipeline.webhooks.iter();
    let gone = gone.filter(|lane| lane.in_flight > 0 && lanes.contains_key(&*lane.name));
    let gone = gone.map(|l| WebhookStatus::of(&l.name, false, Some(l), pending(&l.name)));
    all.extend(gone);
    let holding = files
        .holding
        .iter()
        .map(|(name, holding)| (&**name, holding));
    let holding: HashMap<&str, &Holding> = holding.collect();
    for webhook in &mut all {
        if let Some(holding) = holding.get(&*webhook.name) {
            webhook.holding = holding.count.count;
            webhook.holding_since = Some(utc(holding.since_ms));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, LogPlace};
    use crate::query::files::Pending;
    use crate::store::Count;

    fn lane(name: &str, in_flight: usize) -> WebhookSnapshot {
        WebhookSnapshot {
            name: name.into(),
            in_flight,
            queued: 3,
            ..WebhookSnapshot::default()
        }
    }

    fn status() -> Status {
        let about = About {
            config: "c.toml".into(),
            outbox: "o.db".into(),
            log: LogPlace::File("l.db".into()),
            started_ms: 0,
        };
        let pipeline = Snapshot {
            complaints: vec!["disk full (for 5 s)".to_owned()],
            webhooks: vec![lane("b", 1), lane("gone", 2), lane("idle", 0)],
            in_flight: 3,
            ..Snapshot::default()
        };
        let files = Files {
            pending: Some(vec![Pending {
                webhook: "b".into(),
                count: 7,
                held: 0,
                since_ms: None,
            }]),
            holding: vec![(
                "b".to_owned(),
                Holding {
                    count: Count {
                        count: 2,
                        more: false,
                    },
                    oldest: DeliveryId::new(1),
                    since_ms: 1_000,
                },
            )],
            cursor: Some(EventId::new(4)),
            newest: Some(EventId::new(9)),
            ..Files::default()
        };
        let mut inactive = Webhook::sample("a", "http://h/");
        inactive.active = false;
        let configured = [inactive, Webhook::sample("b", "http://h/")].map(Arc::new);
        Status::new(&about, pipeline, Some(&configured), Arc::new(files))
    }

    #[test]
    fn the_configurations_webhooks_come_first_and_of_the_gone_those_in_flight() {
        let told: Vec<_> = status()
            .webhooks
            .into_iter()
            .map(|w| (w.name, w.active, w.in_flight, w.queued, w.pending))
            .collect();
        let of = |name: &str, active, in_flight, queued, pending| {
            (name.to_owned(), active, in_flight, queued, Some(pending))
        };
        assert_eq!(
            told,
            [
                of("a", false, 0, 0, 0),
                of("b", true, 1, 3, 7),
                of("gone", false, 2, 3, 0)
            ]
        );
        let holding: Vec<_> = status()
            .webhooks
            .into_iter()
            .map(|w| (w.holding, w.holding_since))
            .collect();
        let since = Some("1970-01-01T00:00:01Z".to_owned());
        assert_eq!(holding, [(0, None), (2, since), (0, None)]);
    }

    #[test]
    fn its_json_is_version_1_and_reads_back_as_it_was() {
        let status = status();
        let json = serde_json::to_value(&status).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "complaints",
                "daemon",
                "healthy",
                "in_flight",
                "log",
                "outbox",
                "version",
                "warnings",
                "webhooks"
            ]
        );
        assert_eq!(json["version"], 1);
        assert_eq!(json["outbox"]["lag"], 5);
        let back: Status = serde_json::from_value(json).unwrap();
        assert_eq!(back.health, status.health);
        assert!(!back.health.healthy);
        assert_eq!(back.webhooks, status.webhooks);
        assert_eq!((back.daemon, back.outbox), (status.daemon, status.outbox));
    }

    #[test]
    fn an_older_daemons_answer_is_read_and_an_answer_without_health_is_none() {
        let old = r#"{"daemon":{"pid":1,"version":"0"},"healthy":true,"in_flight":2,"new":{}}"#;
        let status: Status = serde_json::from_str(old).unwrap();
        assert!(status.health.healthy && status.webhooks.is_empty());
        let odd = r#"{"daemon":{"pid":1,"version":"0"},"in_flight":2}"#;
        assert!(serde_json::from_str::<Status>(odd).is_err());
    }
}
