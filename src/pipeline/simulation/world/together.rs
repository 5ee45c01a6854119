//! Weeks in which webhooks of `openboxes-lift` get several events in one POST.
//!
//! Only in weeks from [`FROM`] on: those before are what they were.

use std::time::Duration;

use crate::model::{BatchRule, Dialect, Webhook};
use crate::pipeline::simulation::rng::Rng;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 20_000_000_000;

/// The most events in one of their POSTs.
pub(in super::super) const MOST_EVENTS: usize = 6;

/// What such a webhook asks for, by its name.
pub(in super::super) fn ask(seed: u64, webhook: &mut Webhook) {
    if seed < FROM {
        return;
    }
    let name: u64 = webhook.name.bytes().map(u64::from).sum();
    let mut rng = Rng::new(seed, 20_000 + name);
    let rule = BatchRule {
        max_events: rng.size(1, MOST_EVENTS),
        max_bytes: *rng.of(&[400, 2_000, 1 << 20]),
        wait: Duration::from_millis(rng.from(0, 400)),
    };
    webhook.batch = (webhook.dialect == Dialect::OpenboxesLift).then_some(rule);
}
