//! Turns of what goes together: what had one turn parts, and the rest waits for its turn again.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::model::{Batch, BatchRule, Fate, Posted, Turn, TurnRule};

fn rule(max_events: usize, holds: bool) -> TurnRule {
    let together = BatchRule {
        max_events,
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
    };
    TurnRule {
        holds,
        together: (max_events > 0).then_some(together),
    }
}

fn keep(store: &mut Store, rule: TurnRule) {
    let rules: HashMap<_, _> = [("a".into(), rule)].into();
    store.keep_order(rules).unwrap();
    while store.let_lines_go(NOW, &|_, _| false).unwrap() {}
}

/// A log with so many events in the one line of webhook `a`; `takes` of them into memory. Returns those.
fn begun(log: &Log, rule: TurnRule, events: i64, takes: usize) -> (Store, Vec<Due>) {
    let mut store = log.open();
    keep(&mut store, rule);
    let mut all = admission(1..=events, &["a"]);
    for event in &mut all.events {
        event.webhooks = vec![("a".into(), 1)];
        event.turns = vec![(0, Turn::WHOLE)];
    }
    let mut left = takes;
    let mut take = |_: &Due| {
        let takes = left > 0;
        left = left.saturating_sub(1);
        takes
    };
    let (mut admitted, _) = store.admit(&all, &|_| false, &mut take, NOW).unwrap();
    admitted.truncate(takes);
    (store, admitted)
}

fn ids(dues: &[Due]) -> Vec<i64> {
    dues.iter().map(|due| due.id.get()).collect()
}

fn due_at(store: &mut Store, now_ms: i64) -> Vec<Due> {
    store.due("a", now_ms, 99, 1 << 20, &|_| false).unwrap()
}

fn due(store: &mut Store) -> Vec<i64> {
    ids(&due_at(store, NOW + 1))
}

fn batch(dues: &[Due]) -> Batch {
    Batch {
        name: format!("batch-{}", dues[0].id).into(),
        members: dues.iter().map(|due| due.id).collect(),
    }
}

/// One POST of these, which came to that for all of them.
fn post(store: &mut Store, dues: &[Due], fate: Fate, verdict: Verdict) {
    let whole = batch(dues);
    store.form(&whole).unwrap();
    let (first, second) = dues.split_at(dues.len().div_ceil(2));
    let halves = (fate == Fate::Split).then(|| Arc::new([batch(first), batch(second)]));
    let posted = Arc::new(Posted {
        batch: Arc::new(whole),
        fate,
        halves,
    });
    let attempts: Vec<_> = dues
        .iter()
        .map(|due| Attempt {
            posted: Some(posted.clone()),
            ..attempt(due, NOW, verdict)
        })
        .collect();
    store.record(&attempts).unwrap();
}

fn held_back(store: &mut Store) -> Vec<i64> {
    let held = store.take_held_back();
    held.iter().map(|(id, _)| id.get()).collect()
}

#[test]
fn what_goes_in_one_post_has_one_turn() {
    let log = Log::new();
    let (mut store, mut now) = begun(&log, rule(3, false), 8, 8);
    now.truncate(3);
    for ids_of in [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8]] {
        assert_eq!(ids(&now), ids_of);
        let rest = now.split_off(1);
        post(&mut store, &now, Fate::Over, Verdict::Delivered);
        assert_eq!(due(&mut store), ids_of[1..], "the rest of it is under way");
        post(&mut store, &rest, Fate::Over, Verdict::Delivered);
        now = due_at(&mut store, NOW + 1);
    }
    assert!(now.is_empty());
    assert_eq!(held_back(&mut store), [0_i64; 0]);
}

#[test]
fn the_halves_of_a_split_go_one_behind_the_other() {
    let log = Log::new();
    let (mut store, all) = begun(&log, rule(9, false), 6, 5);
    // The sixth found no room in memory, and stays behind them.
    post(&mut store, &all[..5], Fate::Split, Verdict::RetryAt(NOW));
    assert_eq!(held_back(&mut store), [4, 5, 6]);
    let first = due_at(&mut store, NOW + 1);
    assert_eq!(ids(&first), [1, 2, 3]);
    post(&mut store, &first, Fate::Split, Verdict::RetryAt(NOW));
    let first = due_at(&mut store, NOW + 1);
    assert_eq!(ids(&first), [1, 2]);
    // One that is tried again holds all behind it, the other halves as well.
    post(
        &mut store,
        &first,
        Fate::Again,
        Verdict::RetryAt(NOW + 60_000),
    );
    assert_eq!(due(&mut store), [0_i64; 0]);
    let first = due_at(&mut store, NOW + 60_000);
    assert_eq!(ids(&first), [1, 2]);
    post(&mut store, &first, Fate::Over, Verdict::Delivered);
    let third = due_at(&mut store, NOW + 1);
    assert_eq!(ids(&third), [3]);
    post(&mut store, &third, Fate::Over, Verdict::Delivered);
    let second = due_at(&mut store, NOW + 1);
    assert_eq!(ids(&second), [4, 5], "as it was split");
    post(&mut store, &second, Fate::Over, Verdict::Delivered);
    assert_eq!(due(&mut store), [6]);
}

#[test]
fn one_that_was_named_or_given_up_holds_the_rest() {
    for (verdict, holds) in [
        (Verdict::RetryAt(NOW + 60_000), false),
        (Verdict::Failed, true),
    ] {
        let log = Log::new();
        let (mut store, all) = begun(&log, rule(3, holds), 5, 5);
        post(&mut store, &all[1..3], Fate::Over, Verdict::Delivered);
        post(&mut store, &all[..1], Fate::Over, verdict);
        assert_eq!(due(&mut store), [0_i64; 0], "{verdict:?}");
    }
}

#[test]
fn what_was_cut_by_the_room_in_memory_is_held_by_what_went() {
    let log = Log::new();
    let (mut store, all) = begun(&log, rule(9, false), 5, 3);
    post(
        &mut store,
        &all,
        Fate::Again,
        Verdict::RetryAt(NOW + 60_000),
    );
    assert_eq!(held_back(&mut store), [4, 5]);
    assert_eq!(due(&mut store), [0_i64; 0]);
    let again = due_at(&mut store, NOW + 60_000);
    assert_eq!(ids(&again), [1, 2, 3]);
    post(&mut store, &again, Fate::Over, Verdict::Delivered);
    assert_eq!(due(&mut store), [4, 5]);
}

#[test]
fn a_reload_that_changes_what_goes_together_keeps_the_order() {
    let log = Log::new();
    // Before anything was sent: fewer go together.
    let (mut store, _all) = begun(&log, rule(6, false), 8, 6);
    keep(&mut store, rule(2, false));
    assert_eq!(held_back(&mut store), [3, 4, 5, 6]);
    drop(store);
    let mut store = log.open();
    keep(&mut store, rule(2, false));
    let first = due_at(&mut store, NOW + 1);
    assert_eq!(ids(&first), [1, 2]);
    // What went together goes together, whatever the limits are.
    post(
        &mut store,
        &first,
        Fate::Again,
        Verdict::RetryAt(NOW + 60_000),
    );
    keep(&mut store, rule(1, false));
    assert_eq!(ids(&due_at(&mut store, NOW + 60_000)), [1, 2]);
    // And in no arrays any more: one by one.
    keep(&mut store, rule(0, false));
    let now = due_at(&mut store, NOW + 60_000);
    assert_eq!(ids(&now), [1]);
    store
        .record(&[attempt(&now[0], NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(due(&mut store), [2]);
}

#[test]
fn of_a_dialect_without_arrays_one_goes_at_a_time() {
    let log = Log::new();
    let mut store = log.open();
    keep(&mut store, rule(9, false));
    let mut all = admission(1..=3, &["a"]);
    for event in &mut all.events {
        event.turns = vec![(0, Turn::WHOLE)];
    }
    let now = store.admit_all(&all, NOW).unwrap();
    assert_eq!(ids(&now), [1]);
    store
        .record(&[attempt(&now[0], NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(due(&mut store), [2]);
}
