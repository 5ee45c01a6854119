//! Turns: one of a line at a time, by whatever way the one before it ends.

use std::collections::HashMap;

use super::*;
use crate::model::{Bodies, DeliveryId, Turn, TurnRule};

const NOBODY: turn::InHand<'_> = &|_, _| false;

fn rule(holds: bool) -> TurnRule {
    TurnRule {
        holds,
        together: None,
    }
}

fn keep(store: &mut Store, rule: Option<TurnRule>) {
    let rules: HashMap<_, _> = rule.map(|rule| ("a".into(), rule)).into_iter().collect();
    store.keep_order(rules).unwrap();
    while store.let_lines_go(NOW, NOBODY).unwrap() {}
}

/// Events from `first` on, of webhook `a`, each in the line of its letter; `-` stands in none. Returns what is due.
fn admit(store: &mut Store, first: i64, lines: &str) -> Vec<Due> {
    let last = first + i64::try_from(lines.len()).unwrap() - 1;
    let mut admission = admission(first..=last, &["a"]);
    for (event, line) in admission.events.iter_mut().zip(lines.bytes()) {
        if line != b'-' {
            event.turns = vec![(0, Turn::of_text(&[line]))];
        }
    }
    store.admit_all(&admission, NOW).unwrap()
}

fn ids(dues: &[Due]) -> Vec<i64> {
    dues.iter().map(|due| due.id.get()).collect()
}

/// What is due beside what is `busy`.
fn due(store: &mut Store, busy: &[i64]) -> Vec<Due> {
    let skip = |id: DeliveryId| busy.contains(&id.get());
    store.due("a", NOW + 1, 99, 1 << 20, &skip).unwrap()
}

fn record(store: &mut Store, due: &Due, verdict: Verdict) {
    store.record(&[attempt(due, NOW + 1, verdict)]).unwrap();
}

fn cancel(store: &mut Store, id: i64, in_hand: turn::InHand<'_>) -> Result<String, CancelError> {
    let answers = store.cancel_by_order(&[DeliveryId::new(id)], NOW + 2, in_hand);
    answers.unwrap().remove(0).map(|(webhook, _)| webhook)
}

#[test]
fn a_line_goes_one_by_one_and_the_others_go_on() {
    let log = Log::new();
    let mut store = log.open();
    keep(&mut store, Some(rule(false)));
    let first = admit(&mut store, 1, "xyx-xy");
    assert_eq!(ids(&first), [1, 2, 4]);
    let held = "SELECT group_concat(delivery_id || ' by ' || held_by) FROM held";
    assert_eq!(log.ask::<String>(held), "3 by 1,5 by 1,6 by 2");
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM delivery WHERE state = 'pending' AND due_at IS NULL"),
        3
    );
    // A retry holds its own line, and a look finds nothing of it, nor does a step of the clock.
    record(&mut store, &first[0], Verdict::RetryAt(NOW + 60_000));
    assert_eq!(ids(&due(&mut store, &[])), [2, 4]);
    assert_eq!(
        store.next_due_after("a", NOW + 1).unwrap(),
        Some(NOW + 60_000)
    );
    store.clamp_due(NOW, &|_, _| 1_000_000, 99).unwrap();
    assert_eq!(ids(&due(&mut store, &[])), [2, 4]);
    assert!(store.take_released().unwrap().is_empty());
    record(&mut store, &first[1], Verdict::Delivered);
    record(&mut store, &first[2], Verdict::Delivered);
    assert_eq!(*store.take_released().unwrap(), ["a".into()]);
    assert_eq!(ids(&due(&mut store, &[])), [6]);
    // Given up: the next goes.
    record(&mut store, &first[0], Verdict::Failed);
    let now = due(&mut store, &[]);
    assert_eq!(ids(&now), [3, 6]);
    record(&mut store, &now[0], Verdict::Delivered);
    record(&mut store, &now[1], Verdict::Delivered);
    let last = due(&mut store, &[]);
    assert_eq!(ids(&last), [5]);
    record(&mut store, &last[0], Verdict::Delivered);
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM turn"), 0);
    assert_eq!(ids(&admit(&mut store, 7, "x")), [7], "nobody is before it");
}

#[test]
fn what_was_given_up_holds_its_line_until_a_person_comes() {
    for way in ["redeliver", "cancel", "reload"] {
        let log = Log::new();
        let mut store = log.open();
        keep(&mut store, Some(rule(true)));
        let first = admit(&mut store, 1, "xxy");
        record(&mut store, &first[0], Verdict::Failed);
        record(&mut store, &first[1], Verdict::Delivered);
        let told = "SELECT held_by || held_by_state || since FROM held";
        assert!(log.ask::<String>(told).starts_with("1failed2023-"));
        // Neither another process nor retention lets go of it.
        drop(store);
        let mut store = log.open();
        keep(&mut store, Some(rule(true)));
        store.mark(NOW + 10).unwrap();
        while store.sweep(NOW + 100 * 86_400_000, 99).unwrap().more {}
        assert_eq!(ids(&due(&mut store, &[])), [0_i64; 0]);
        assert_eq!(
            log.ask::<String>("SELECT state FROM delivery WHERE id = 1"),
            "failed"
        );
        match way {
            "redeliver" => {
                for verdict in [Verdict::Failed, Verdict::Delivered] {
                    let newest = log.ask::<i64>("SELECT max(id) FROM ended");
                    let again = store
                        .redeliver(&[DeliveryId::new(newest)], &|_| true)
                        .unwrap();
                    assert!(again[0].is_ok());
                    let again = store
                        .due("a", i64::MAX - 1, 9, 1 << 20, &|_| false)
                        .unwrap();
                    assert_eq!(again.len(), 1, "a redelivery is not held");
                    record(&mut store, &again[0], verdict);
                }
            }
            "cancel" => {
                assert_eq!(cancel(&mut store, 1, NOBODY), Ok("a".to_owned()));
                assert_eq!(cancel(&mut store, 1, NOBODY), Err(CancelError::Ended));
            }
            _ => keep(&mut store, Some(rule(false))),
        }
        assert_eq!(ids(&due(&mut store, &[])), [2], "{way}");
    }
}

#[test]
fn what_is_cancelled_lets_the_next_go_but_not_beside_an_attempt() {
    let log = Log::new();
    let mut store = log.open();
    keep(&mut store, Some(rule(true)));
    let first = admit(&mut store, 1, "xxxxx");
    assert!(cancel(&mut store, 2, NOBODY).is_ok());
    assert_eq!(
        ids(&due(&mut store, &[1])),
        [0_i64; 0],
        "it was not its turn"
    );
    // Its attempt is under way: the next waits for the end of that, whatever it is.
    assert!(cancel(&mut store, 1, &|_, _| true).is_ok());
    assert_eq!(ids(&due(&mut store, &[1])), [0_i64; 0]);
    record(&mut store, &first[0], Verdict::RetryAt(NOW + 9));
    let now = due(&mut store, &[]);
    assert_eq!(ids(&now), [3]);
    // A worker that let go of it without an attempt, and a process that died.
    assert!(cancel(&mut store, 3, &|_, _| true).is_ok());
    assert_eq!(ids(&due(&mut store, &[3])), [0_i64; 0]);
    assert_eq!(ids(&due(&mut store, &[])), [4]);
    assert!(cancel(&mut store, 4, &|_, _| true).is_ok());
    drop(store);
    let mut store = log.open();
    keep(&mut store, Some(rule(true)));
    assert_eq!(ids(&due(&mut store, &[])), [5]);
    // The webhook is inactive now.
    assert_eq!(store.cancel("a", 9, NOW, NOBODY).unwrap(), 1);
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM turn"), 0);
}

#[test]
fn a_log_kept_small_keeps_what_holds() {
    let log = Log::new();
    let mut store = log.open();
    store.keep_bodies(Bodies::Failed);
    keep(&mut store, Some(rule(true)));
    let first = admit(&mut store, 1, "xx-");
    record(&mut store, &first[0], Verdict::Failed);
    record(&mut store, &first[1], Verdict::Failed);
    let tiny = SizeBounds {
        file: 1,
        used: 1,
        ..SizeBounds::of(1 << 30)
    };
    for _ in 0..9 {
        store.shrink(&tiny, 99, NOW + 5, &|_, _| false).unwrap();
    }
    let left = "SELECT group_concat(id) FROM (SELECT id FROM delivery ORDER BY id)";
    assert_eq!(log.ask::<String>(left), "1,2");
    assert!(store.redeliver(&[DeliveryId::new(1)], &|_| true).unwrap()[0].is_ok());
}
