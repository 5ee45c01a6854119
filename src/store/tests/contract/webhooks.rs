//! Questions about how the webhooks are.

use super::*;

const LATER: i64 = NOW + 7_000;

fn one_of(count: i64) -> Count {
    Count { count, more: false }
}

/// Attempts and failures, each of which took 12 ms.
fn lately(attempts: i64, failures: i64) -> Lately {
    Lately {
        attempts,
        failures,
        p50_ms: Some(20),
        p99_ms: Some(20),
    }
}

pub(super) fn are_told(reader: &dyn LogReader, _: &Story) {
    let webhooks = reader.webhooks().unwrap();
    let told: Vec<(&str, &str)> = webhooks.iter().map(|w| (&*w.name, &*w.state)).collect();
    assert_eq!(told, [("a", "active"), ("b", "active"), ("c", "inactive")]);
    assert!(webhooks.iter().all(|w| w.since_ms == NOW - 10_000));

    let health = reader.health(LATER).unwrap();
    let names: Vec<&str> = health.iter().map(|w| &*w.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let mut hours = [HourCounts::default(); 24];
    hours[23] = HourCounts {
        attempts: 3,
        failures: 1,
    };
    let a = WebhookHealth {
        name: "a".into(),
        state: "active".into(),
        pending: one_of(2),
        last_success_ms: Some(NOW + 4_000),
        last_failure_ms: Some(NOW + 3_000),
        last_error: Some("refused".into()),
        hour: lately(3, 1),
        day: lately(3, 1),
        hours,
        given_up: 0,
        held_until_ms: Some(NOW + 50_000),
        held: None,
        pause: None,
    };
    assert_eq!(health[0], a);
    let b = &health[1];
    assert_eq!((b.pending, b.given_up), (one_of(2), 1));
    assert_eq!((b.hour, b.day), (lately(2, 2), lately(2, 2)));
    assert_eq!(b.last_success_ms, None);
    assert_eq!(b.pause, Some(story::pause()));
    assert!(b.is_failing() && !a.is_failing());
    let c = &health[2];
    assert_eq!((&*c.state, c.pending), ("inactive", one_of(0)));
    assert_eq!(c.day, Lately::default());
    // Two days later only what is not over is left.
    let later = reader.health(NOW + 2 * 86_400_000).unwrap();
    assert_eq!(later[1].hour, Lately::default());
    assert_eq!((later[1].given_up, &later[1].pause), (0, &None));

    let failure = LastFailure {
        webhook: "b".into(),
        error: Some("refused".into()),
    };
    assert_eq!(reader.last_failure().unwrap(), Some(failure));
    assert_eq!(reader.pauses(LATER).unwrap(), [story::pause()]);
    assert_eq!(reader.pauses(NOW + 100_000).unwrap(), []);
}

pub(super) fn are_looked_at_closely(reader: &dyn LogReader, _: &Story) {
    let health = reader.health(LATER).unwrap();
    let names = ["b", "nobody", "a"].map(str::to_owned);
    let closely = reader.closely(&names, LATER).unwrap();
    assert_eq!(closely.len(), 2);
    assert_eq!(closely[0].health, health[1]);
    assert_eq!(closely[1].health, health[0]);
    assert_eq!(closely[1].oldest_pending_ms, Some(NOW));
    let today = HourCounts {
        attempts: 3,
        failures: 1,
    };
    assert_eq!(closely[1].days[29], today);
    assert_eq!(closely[1].days[28], HourCounts::default());
    assert_eq!(reader.by_need(LATER).unwrap(), ["b", "a", "c"]);
}
