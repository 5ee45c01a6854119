//! Configurations by seed: webhooks of every dialect with small limits, and what reloads make of them.

use std::path::Path;
use std::sync::Arc;

use super::filters;
use super::rng::Rng;
use crate::model::{Bodies, Dialect, LogPlace, Pattern, Rate, Webhook};
use crate::pipeline::{PipelineConfig, Retention};

/// What webhooks speak; weeks from `world::standard` on have the fourth as well.
const VENDORS: [Dialect; 3] = [
    Dialect::BoldCms,
    Dialect::BoldFactory,
    Dialect::OpenboxesLift,
];

/// The events of a simulated application.
pub(super) const EVENTS: [&str; 4] = ["story-submit", "story-approve", "order.made", "user.gone"];

/// Their tenants.
pub(super) const TENANTS: [&str; 2] = ["acme", "beta"];

/// The largest `data` of an event; the same all through a run.
pub(super) const MAX_DATA_BYTES: usize = 4_096;

/// Names of webhooks.
const NAMES: usize = 7;

/// What the file says.
#[derive(Clone, Debug)]
pub(super) struct Subscriptions {
    pub(super) webhooks: Vec<Webhook>,
    pub(super) max_in_flight: usize,
    /// What the log's size is kept below; the same all through a run.
    pub(super) log_max_bytes: Option<u64>,
    /// Whose bodies stay.
    pub(super) log_bodies: Bodies,
    /// The chance of `where`, in weeks that have it.
    filtering: Option<Rng>,
    /// After how many milliseconds its webhooks pause themselves.
    pub(super) auto_pause_ms: Option<i64>,
    /// Whether some ask for events of webhooksd itself.
    pub(super) asks_own: bool,
    log_days: u32,
    outbox_days: u32,
    /// The chance of paces, in weeks that have them.
    pub(super) paces: Option<Rng>,
}

impl Subscriptions {
    pub(super) fn any(rng: &mut Rng, paces: Option<Rng>) -> Self {
        let mut this = Self {
            webhooks: Vec::new(),
            max_in_flight: rng.size(1, 6),
            log_max_bytes: None,
            log_bodies: Bodies::All,
            filtering: None,
            auto_pause_ms: None,
            asks_own: false,
            log_days: u32::try_from(rng.from(1, 3)).unwrap(),
            outbox_days: u32::try_from(rng.from(0, 2)).unwrap(),
            paces,
        };
        for _ in 0..rng.from(2, 5) {
            this.add(rng);
        }
        this
    }

    fn add(&mut self, rng: &mut Rng) {
        let name = format!("w{}", rng.from(1, NAMES as u64));
        if self.webhooks.iter().all(|w| *w.name != *name) {
            let max_per_second = self.paces.as_mut().and_then(pace);
            self.webhooks.push(Webhook {
                max_per_second,
                ..webhook(&name, rng)
            });
        }
    }

    /// Somebody edits the file.
    pub(super) fn edit(&mut self, rng: &mut Rng) {
        for _ in 0..rng.from(1, 3) {
            match rng.from(0, 6) {
                0 if self.webhooks.len() > 1 => {
                    let place = rng.size(0, self.webhooks.len() - 1);
                    self.webhooks.remove(place);
                }
                0 | 1 => self.add(rng),
                2 => self.max_in_flight = rng.size(1, 6),
                _ => {
                    let place = rng.size(0, self.webhooks.len() - 1);
                    let webhook = &mut self.webhooks[place];
                    match rng.from(0, 4) {
                        0 | 1 => webhook.active = !webhook.active,
                        2 => webhook.max_in_flight = limit(rng),
                        3 => webhook.dialect = *rng.of(&VENDORS),
                        _ => webhook.max_attempts = u32::try_from(rng.from(1, 10)).unwrap(),
                    }
                }
            }
        }
        self.filter(250);
    }

    /// Has webhooks want only some events.
    pub(super) fn filter_by(&mut self, rng: Option<Rng>) {
        self.filtering = rng;
        self.filter(1_000);
    }

    /// Gives so many of a thousand webhooks other rules.
    fn filter(&mut self, parts: u64) {
        let Some(rng) = &mut self.filtering else {
            return;
        };
        for webhook in &mut self.webhooks {
            if rng.in_thousand(parts) {
                webhook.rules = filters::rules(rng);
            }
        }
    }

    /// Whether an event's data is such that rules find something in it.
    pub(super) fn is_filtering(&self) -> bool {
        self.filtering.is_some()
    }

    /// Somebody changes a pace.
    pub(super) fn change_pace(&mut self) {
        if let Some(rng) = &mut self.paces
            && rng.in_thousand(500)
            && !self.webhooks.is_empty()
        {
            let place = rng.size(0, self.webhooks.len() - 1);
            self.webhooks[place].max_per_second = pace(rng);
        }
    }

    /// Has every webhook pause itself, or none.
    pub(super) fn pause_themselves(&mut self) {
        for webhook in &mut self.webhooks {
            webhook.auto_pause_ms = self.auto_pause_ms;
        }
        self.ask_for_own();
    }

    /// The change that brings it into force.
    pub(super) fn change(&self, outbox: &Path, log: &Path) -> PipelineConfig<Arc<str>> {
        let with_endpoint = |w: &Webhook| (Arc::new(w.clone()), w.name.clone());
        PipelineConfig {
            webhooks: self.webhooks.iter().map(with_endpoint).collect(),
            tenant: Some("acme".into()),
            max_in_flight: self.max_in_flight,
            max_data_bytes: MAX_DATA_BYTES,
            retention: Retention {
                log_days: self.log_days,
                outbox_days: self.outbox_days,
                outbox: outbox.to_owned(),
                outbox_server: None,
                log: LogPlace::File(log.to_owned()),
                log_max_bytes: self.log_max_bytes,
                log_bodies: self.log_bodies,
            },
        }
    }
}

fn limit(rng: &mut Rng) -> usize {
    *rng.of(&[1, 1, 2, 3, 5, 6, 8, 64])
}

/// Slow ones have their backlogs behind them before peace is over.
fn pace(rng: &mut Rng) -> Option<Rate> {
    let per_second = *rng.of(&[0.0, 0.0, 0.1, 0.3, 2.0, 7.5, 50.0, 400.0]);
    Rate::new(per_second)
}

fn webhook(name: &str, rng: &mut Rng) -> Webhook {
    let patterns = [
        &["*"][..],
        &["story-*"],
        &["order.made", "story-submit"],
        &["user.*"],
    ];
    Webhook {
        events: rng
            .of(&patterns)
            .iter()
            .map(|text| Pattern::new(text))
            .collect(),
        dialect: *rng.of(&VENDORS),
        active: rng.in_thousand(900),
        tenants: rng.in_thousand(200).then(|| vec!["acme".into()]),
        max_in_flight: limit(rng),
        max_attempts: u32::try_from(rng.from(1, 10)).unwrap(),
        ..Webhook::sample(name, &format!("http://127.0.0.1:9/{name}"))
    }
}
