//! Pauses: rows that people and the daemon write, and what the views say of them.

use super::*;
use crate::model::Pause;

fn pause(webhook: &str, until_ms: Option<i64>) -> Pause {
    Pause {
        webhook: webhook.into(),
        since_ms: NOW,
        until_ms,
        reason: Some("why".into()),
    }
}

fn two() -> (Log, Store) {
    let log = Log::new();
    let mut store = log.open();
    let names = ["a", "b"].map(|name| (name.into(), true));
    store.register(&names, NOW).unwrap();
    (log, store)
}

#[test]
fn to_pause_again_replaces_and_what_is_over_goes() {
    let (_log, mut store) = two();
    store.pause(&pause("a", None)).unwrap();
    store.pause(&pause("b", Some(NOW + 5))).unwrap();
    store.pause(&pause("a", Some(NOW + 9))).unwrap();
    let both = [pause("a", Some(NOW + 9)), pause("b", Some(NOW + 5))];
    assert_eq!(store.pauses().unwrap(), both);
    store.set_unsynced(false);
    store.end_pauses(NOW + 4).unwrap();
    assert!(
        !store.is_unsynced(),
        "where none is over nothing is written"
    );
    store.end_pauses(NOW + 5).unwrap();
    assert_eq!(store.pauses().unwrap(), both[..1]);
    assert!(store.resume("a").unwrap() && !store.resume("a").unwrap());
    assert!(store.pauses().unwrap().is_empty());
    assert!(
        store.pause(&pause("c", None)).is_err(),
        "nobody is called so"
    );
}

#[test]
fn a_row_by_hand_is_whole_and_what_is_none_is_refused() {
    let (log, mut store) = two();
    assert!(!store.changed().unwrap());
    let before = Clock::system().now_ms();
    log.execute("INSERT INTO pause (webhook) VALUES ('a')")
        .unwrap();
    assert!(store.changed().unwrap(), "and is seen");
    let made = store.pauses().unwrap().remove(0);
    assert!(
        (before..before + 60_000).contains(&made.since_ms),
        "{made:?}"
    );
    assert_eq!((made.until_ms, made.reason), (None, None));
    log.execute("INSERT INTO pause (webhook, since) VALUES ('a', NULL)")
        .unwrap();
    assert_eq!(store.pauses().unwrap().len(), 1);
    for values in [
        "('c', 1, NULL, NULL)",
        "('a', 'now', NULL, NULL)",
        "('a', 1, 'then', NULL)",
        "('a', 1, NULL, x'00')",
        "('a', 1, NULL, printf('%1001s', ''))",
    ] {
        let sql = format!("INSERT INTO pause (webhook, since, until, reason) VALUES {values}");
        assert!(log.execute(&sql).is_err(), "{values}");
    }
    log.execute("INSERT INTO pause VALUES ('b', 1, NULL, CAST(x'ff' AS TEXT))")
        .unwrap();
    let odd = store.pauses().unwrap().pop().unwrap();
    assert_eq!(odd.reason.as_deref(), Some("\u{fffd}"));
}

#[test]
fn health_tells_of_a_pause_as_long_as_it_lasts() {
    let (log, mut store) = two();
    let now_ms = Clock::system().now_ms();
    store.pause(&pause("a", Some(now_ms + 3_600_000))).unwrap();
    store.pause(&pause("b", Some(now_ms - 5_000))).unwrap();
    let paused: String = log.ask(
        "SELECT group_concat(webhook || coalesce(paused_since, '-') || coalesce(paused_reason, '-'), ' ')
           FROM (SELECT * FROM health ORDER BY webhook)",
    );
    assert_eq!(paused, "a2023-11-14T22:13:20.123Zwhy b--");
    let reader = Reader::open(&log.path).unwrap();
    let health = reader.health(now_ms).unwrap();
    assert!(health[0].pause.is_some() && health[1].pause.is_none());
}
