//! Ids that are given anew: within one transaction while the daemon runs, and by a backup that is put
//! back after the outbox was seen empty.

use super::{
    BEGIN_MS, Case, HOUR_MS, MAX_DATA_BYTES, NOW_MS, ROWS, SECOND_MS, TAKEN_MS, open, write,
};
use crate::model::{EventId, Generation};
use crate::outbox::application::{self, Set};
use crate::pipeline::shared::{is_same, resolve_again, thin};
use crate::pipeline::{Resume, ResumeError, cursor_at, resolve_cursor};

/// Of what one connection saw, which nobody put back: only times and data tell.
#[test]
fn while_running_ids_that_are_given_anew_in_one_transaction_are_taken() {
    for (after, written) in [(0, ROWS), (0, ROWS + 3), (30, 10), (30, 13), (38, 2)] {
        let case = Case::new();
        application::run(
            &case.path,
            &format!(
                "DELETE FROM outbox WHERE id > {after}; UPDATE sqlite_sequence SET seq = {after}"
            ),
        );
        case.write_new(written);
        let settled = case.settled(true);
        match settled {
            Ok(Resume::Emptied(ref cursor, count)) if after == 0 => {
                assert_eq!((cursor.event_id.get(), count), (0, written));
            }
            Ok(Resume::Back(ref cursor)) if after > 0 => assert!(cursor.event_id.get() <= after),
            _ => panic!("{after}, {written}: {settled:?}"),
        }
    }
    // One event in the place of one.
    let case = Case::with(1, |_| "{}".to_owned());
    application::empty(&case.path, false);
    case.write_new(1);
    let settled = case.settled(true);
    assert!(matches!(settled, Ok(Resume::Emptied(_, 1))), "{settled:?}");
}

/// Else all times were moved by one span, which is a pattern of an UPDATE.
const NOT_IN_RHYTHM: &str = "UPDATE outbox SET time = time + 7 * id";

/// An application that begins anew often writes what it wrote before: only the times tell.
#[test]
fn the_data_of_former_events_hides_no_new_event() {
    let same = |n| format!("{{\"n\":{n}}}");
    for written in [1, 3, ROWS - 1] {
        for runs in [true, false] {
            let case = Case::new();
            application::empty(&case.path, false);
            write(&case.path, 1..=written, TAKEN_MS + SECOND_MS, same);
            application::run(&case.path, NOT_IN_RHYTHM);
            let settled = case.settled(runs);
            assert!(
                matches!(settled, Ok(Resume::Emptied(_, count)) if count == written),
                "{written}, {runs}: {settled:?}"
            );
        }
    }
}

#[test]
fn a_new_time_alone_is_no_event() {
    let late = TAKEN_MS + SECOND_MS;
    for (time, newest, waiting, runs) in [
        (format!("{late}"), 1, 0, true),
        (format!("{late}"), 1, 2, false),
        (format!("{late}"), 5, 0, false),
        (format!("{late}"), 5, 2, false),
        (format!("{late}"), ROWS, 0, false),
        (format!("{late} + id"), 5, 2, true),
        // Not as rows are written.
        (format!("{late} + id"), 5, 2, false),
        (format!("{late} - id"), 5, 2, false),
        (format!("{late} - id"), ROWS, 2, false),
        // With another event, one row.
        (format!("{late}, event = 'f'"), 1, 2, false),
        // Moved by a span.
        (format!("time + {}", HOUR_MS + SECOND_MS), 2, 2, false),
    ] {
        let case = Case::new();
        let after = ROWS - newest;
        application::run(
            &case.path,
            &format!("UPDATE outbox SET time = {time} WHERE id > {after}"),
        );
        case.write_new(waiting);
        let settled = case.settled(runs);
        assert!(
            matches!(settled, Ok(Resume::Updated(_))),
            "{time}, {newest}, {waiting}, {runs}: {settled:?}"
        );
    }
}

/// Of a row that can't be sent the time alone tells, and it is set aside like any other that is new.
#[test]
fn a_row_that_cant_be_sent_under_an_id_given_anew_is_new() {
    for (before, good) in [(ROWS, 0), (ROWS, 3), (1, 0), (1, 2)] {
        for runs in [true, false] {
            let case = Case::with(before, |n| format!("{{\"n\":{n}}}"));
            application::empty(&case.path, false);
            application::write_unchecked(&case.path, "e", "{", TAKEN_MS + SECOND_MS);
            // Of one row the counter is where it was, and past it, before anybody looks.
            case.write_new(good);
            let is_same = is_same(&mut open(&case.path), &case.cursor).unwrap();
            assert!(!is_same || before > 1);
            let settled = case.settled(runs);
            let expected = 1 + good;
            assert!(
                matches!(settled, Ok(Resume::Emptied(_, count)) if count == expected),
                "{before}, {good}, {runs}: {settled:?}"
            );
        }
    }
}

#[test]
fn a_taken_row_that_cant_be_sent_any_more_stays_taken() {
    // Its data alone was spoilt, in the newest or in all.
    let needs_reopen = |newest: i64, time: &str| {
        let case = Case::new();
        let after = ROWS - newest;
        let data = format!("'\"{}\"'", "x".repeat(2 * MAX_DATA_BYTES));
        application::run(
            &case.path,
            &format!("UPDATE outbox SET data = {data}, time = {time} WHERE id > {after}"),
        );
        case
    };
    for newest in [1, 5, ROWS] {
        for time in ["time", "0"] {
            for runs in [true, false] {
                let settled = needs_reopen(newest, time).settled(runs);
                assert!(
                    matches!(settled, Ok(Resume::Same(_) | Resume::Updated(_))),
                    "{newest}, {time}, {runs}: {settled:?}"
                );
            }
        }
        // One statement, seen by who runs, gave all the same time.
        let settled = needs_reopen(newest, "1731584000001").settled(true);
        assert!(
            matches!(settled, Ok(Resume::Same(_) | Resume::Updated(_))),
            "{newest}: {settled:?}"
        );
    }
}

/// Only the newest row's print is renewed where rows are changed: of those behind it the old one is kept.
#[test]
fn rows_that_were_changed_before_hide_no_id_that_is_given_anew() {
    let case = Case::new();
    let changed = Set {
        data: Some(1),
        shift_ms: Some(-1),
        ..Set::default()
    };
    let ids: Vec<i64> = (20..=30).collect();
    application::update(&case.path, &ids, changed);
    assert!(matches!(case.settled(true), Ok(Resume::Same(_))));
    application::run(
        &case.path,
        "DELETE FROM outbox WHERE id > 30; UPDATE sqlite_sequence SET seq = 30",
    );
    case.write_new(11);
    let settled = case.settled(true);
    let Ok(Resume::Back(cursor)) = &settled else {
        panic!("{settled:?}");
    };
    assert!(cursor.event_id.get() < 20, "{cursor:?}");
}

/// Prints are few far behind; where the outbox was put back so far, new ones are made.
#[test]
fn a_step_back_leaves_prints_enough_to_see_what_comes_next() {
    for after in [35, 30, 20, 10] {
        let mut case = Case::put_back(after, 0);
        let Ok(Resume::Back(cursor)) = case.settled(false) else {
            panic!("a backup after {after}");
        };
        let (at, generation) = (cursor.event_id, cursor.generation);
        case.cursor = cursor;
        let left = at.back(2);
        application::run(
            &case.path,
            &format!(
                "DELETE FROM outbox WHERE id > {left}; UPDATE sqlite_sequence SET seq = {left}"
            ),
        );
        let data = |n| format!("{{\"new\":{n}}}");
        write(&case.path, 1..=5, NOW_MS + SECOND_MS, data);
        let now_ms = NOW_MS + HOUR_MS;
        let settled =
            resolve_again(&mut open(&case.path), case.cursor.clone(), now_ms, true).unwrap();
        let Ok(Resume::Back(cursor)) = &settled else {
            panic!("{after}: {settled:?}");
        };
        assert_eq!(
            (cursor.event_id, cursor.generation),
            (left, generation.next())
        );
    }
}

#[test]
fn times_that_are_a_little_or_much_too_early_hide_no_new_event() {
    let refilled = |early_ms| {
        let case = Case::new();
        application::empty(&case.path, false);
        let data = |n| format!("{{\"new\":{n}}}");
        write(&case.path, 1..=ROWS + 3, TAKEN_MS - early_ms, data);
        // Not at the rhythm of those before, which would be a pattern of an UPDATE.
        application::run(&case.path, "UPDATE outbox SET time = time + 7 * id");
        case.settled(true)
    };
    let late = refilled(2 * SECOND_MS);
    assert!(matches!(late, Ok(Resume::Emptied(_, 43))), "{late:?}");
    let early = refilled(2 * HOUR_MS);
    assert!(
        matches!(early, Err(ResumeError::Foreign { .. })),
        "{early:?}"
    );
}

#[test]
fn a_backup_that_is_put_back_after_the_outbox_was_seen_empty_is_known() {
    for (after, between, written) in [(ROWS, 0, 0), (ROWS, 1, 0), (39, 0, 4), (30, 3, 2)] {
        for steps in [1, 2] {
            let mut case = Case::new();
            let backup = Case::with(after, |n| format!("{{\"n\":{n}}}"));
            application::back_up(&backup.path, &case.copy);
            for _ in 0..steps {
                application::empty(&case.path, false);
                let Ok(Resume::Emptied(emptied, 0) | Resume::Same(emptied)) = case.settled(false)
                else {
                    panic!("not seen empty");
                };
                case.cursor = emptied;
                if between > 0 {
                    case.write_new(between);
                    let batch = open(&case.path)
                        .read(EventId::NONE, 100, usize::MAX)
                        .unwrap();
                    case.cursor.event_id = EventId::new(between);
                    case.cursor.fingerprints = thin(
                        &case.cursor.fingerprints,
                        &batch.rows,
                        &batch.keys,
                        EventId::new(between),
                    );
                }
            }
            let generation = case.cursor.generation;
            application::restore(&case.path, &case.copy);
            case.write_new(written);
            assert!(!is_same(&mut open(&case.path), &case.cursor).unwrap());
            let settled = case.settled(false);
            let Ok(Resume::Back(cursor)) = &settled else {
                panic!("{after}, {between}, {written}, {steps}: {settled:?}");
            };
            let near = after - (ROWS - after) * 3;
            assert!(
                (near..=after).contains(&cursor.event_id.get()),
                "{cursor:?}"
            );
            assert_eq!(cursor.generation, generation.next());
        }
    }
}

#[test]
fn old_rows_that_nobody_knows_after_the_outbox_was_seen_empty_are_a_persons_to_decide() {
    let mut case = Case::new();
    application::empty(&case.path, false);
    let Ok(Resume::Emptied(emptied, 0)) = case.settled(false) else {
        panic!("not seen empty");
    };
    case.cursor = emptied;
    write(&case.path, 1..=3, BEGIN_MS - HOUR_MS, |n| format!("[{n}]"));
    let settled = case.settled(false);
    assert!(
        matches!(settled, Err(ResumeError::Foreign { count: 3, .. })),
        "{settled:?}"
    );
    // One connection saw that they were written, and a person may have decided.
    assert!(matches!(case.settled(true), Ok(Resume::Same(_))));
    case.cursor = cursor_at(
        &mut open(&case.path),
        EventId::NONE,
        Generation::new(2),
        NOW_MS,
    )
    .unwrap();
    assert!(matches!(case.settled(false), Ok(Resume::Same(_))));
}

/// An application whose files were removed writes the same events again, all at one time. Where a file
/// system keeps no time of a file's making, nothing tells.
#[test]
fn a_file_that_was_made_since_holds_new_events_alone() {
    let remade = |behind_ms: i64| {
        let mut case = Case::new();
        let made_ms = open(&case.path).made_ms();
        let made_ms = made_ms?;
        case.cursor.time_ms = made_ms + behind_ms;
        let late_ms = case.cursor.time_ms + SECOND_MS;
        application::run(&case.path, &format!("UPDATE outbox SET time = {late_ms}"));
        Some(resolve_cursor(&mut open(&case.path), Some(case.cursor), made_ms + HOUR_MS).unwrap())
    };
    let since = remade(-SECOND_MS);
    assert!(
        matches!(since, None | Some(Ok(Resume::Emptied(_, ROWS)))),
        "{since:?}"
    );
    // One that is as old as the events that were taken was merely changed.
    let before = remade(SECOND_MS);
    assert!(
        matches!(before, None | Some(Ok(Resume::Updated(_)))),
        "{before:?}"
    );
}
