//! Which rows are those that were taken: what an UPDATE may change, and what a restored backup, a
//! swap and a counter set back leave, asked of a daemon that runs and of one that starts.

mod anew;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::dialect;
use crate::model::{Cursor, EventId, Generation, Print};
use crate::outbox::application::{self, Set};
use crate::outbox::{Appender, NewEvent, Row, Tail, create_if_missing};
use crate::pipeline::shared::resolve_again;
use crate::pipeline::{Resume, ResumeError, cursor_at, resolve_cursor};

const MAX_DATA_BYTES: usize = 4_096;
const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600_000;

/// The first row's time; the others follow, each a second later.
const BEGIN_MS: i64 = 1_731_576_737_123;

/// When the cursor was last written: after all rows that it is behind.
const TAKEN_MS: i64 = BEGIN_MS + HOUR_MS;

/// When it is asked.
const NOW_MS: i64 = TAKEN_MS + HOUR_MS;

const ROWS: i64 = 40;

struct Case {
    _folder: TempDir,
    path: PathBuf,
    copy: PathBuf,
    cursor: Cursor,
}

impl Case {
    /// An outbox with so many rows, all of them taken; of each what `data` makes.
    fn with(rows: i64, data: impl Fn(i64) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        create_if_missing(&path).unwrap();
        write(&path, 1..=rows, BEGIN_MS, data);
        let cursor = cursor_at(
            &mut open(&path),
            EventId::new(rows),
            Generation::FIRST,
            TAKEN_MS,
        )
        .unwrap();
        Self {
            copy: folder.path().join("copy.db"),
            _folder: folder,
            path,
            cursor,
        }
    }

    fn new() -> Self {
        Self::with(ROWS, |n| format!("{{\"n\":{n}}}"))
    }

    /// A backup after so many rows, put back, with so many written since.
    fn put_back(after: i64, written: i64) -> Self {
        let this = Self::new();
        let backup = Self::with(after, |n| format!("{{\"n\":{n}}}"));
        application::back_up(&backup.path, &this.copy);
        application::restore(&this.path, &this.copy);
        this.write_new(written);
        this
    }

    /// Writes rows after the others were taken.
    fn write_new(&self, rows: i64) {
        let data = |n| format!("{{\"new\":{n}}}");
        write(&self.path, 1..=rows, TAKEN_MS + SECOND_MS, data);
    }

    /// Changes the newest rows.
    fn change(&self, newest: i64, set: Set<'_>) {
        let ids: Vec<i64> = (ROWS - newest + 1..=ROWS).collect();
        application::update(&self.path, &ids, set);
    }

    /// Where a daemon goes on that starts, or one that runs.
    fn settled(&self, runs: bool) -> Result<Resume, ResumeError> {
        let (mut tail, cursor) = (open(&self.path), self.cursor.clone());
        if runs {
            resolve_again(&mut tail, cursor, NOW_MS, true).unwrap()
        } else {
            resolve_cursor(&mut tail, Some(cursor), NOW_MS).unwrap()
        }
    }

    /// Where it goes back to: a row that was in the backup, near enough to its end.
    #[track_caller]
    fn goes_back(&self, after: i64) {
        let settled = self.settled(false);
        let Ok(Resume::Back(cursor)) = settled else {
            panic!("a backup after {after}: {settled:?}");
        };
        let near = after - (ROWS - after) * 3;
        assert!(
            (near..=after).contains(&cursor.event_id.get()),
            "{cursor:?}"
        );
        assert_eq!(cursor.generation.get(), 1);
    }

    #[track_caller]
    fn stays(&self, runs: bool, what: &str) {
        let settled = self.settled(runs);
        let Ok(Resume::Same(cursor) | Resume::Updated(cursor)) = &settled else {
            panic!("{what}, {runs}: {settled:?}");
        };
        assert_eq!(
            (cursor.generation.get(), cursor.event_id.get()),
            (0, ROWS),
            "{what}"
        );
        // And with the prints that it has then, a start knows the rows again.
        let again = resolve_cursor(&mut open(&self.path), Some(cursor.clone()), NOW_MS).unwrap();
        assert!(matches!(again, Ok(Resume::Same(_))), "{what}: {again:?}");
    }
}

fn open(path: &Path) -> Tail {
    Tail::open(path, MAX_DATA_BYTES).unwrap()
}

fn write(
    path: &Path,
    rows: std::ops::RangeInclusive<i64>,
    begin_ms: i64,
    data: impl Fn(i64) -> String,
) {
    let events: Vec<NewEvent> = rows
        .map(|n| NewEvent {
            event: "e".into(),
            data: data(n),
            time_ms: Some(begin_ms + n * SECOND_MS),
            ..NewEvent::default()
        })
        .collect();
    let mut application = Appender::open(path, MAX_DATA_BYTES).unwrap();
    application.append(&events).unwrap();
}

const NONE: Set<'static> = Set {
    event: None,
    data: None,
    tenant: None,
    key: None,
    shift_ms: None,
    time_ms: None,
};

const ALL_BUT_TIME: Set<'static> = Set {
    event: Some("f"),
    data: Some(7),
    tenant: Some("acme"),
    key: Some("k"),
    ..NONE
};

#[test]
fn no_update_of_a_column_or_of_all_but_time_is_a_step_back() {
    let shifted = |shift_ms| Set {
        shift_ms: Some(shift_ms),
        ..NONE
    };
    let timed = |time_ms| Set {
        time_ms: Some(time_ms),
        ..NONE
    };
    let sets = [
        (
            "event",
            Set {
                event: Some("f"),
                ..NONE
            },
        ),
        (
            "data",
            Set {
                data: Some(7),
                ..NONE
            },
        ),
        (
            "tenant",
            Set {
                tenant: Some("acme"),
                ..NONE
            },
        ),
        (
            "key",
            Set {
                key: Some("k"),
                ..NONE
            },
        ),
        ("an hour back", shifted(-HOUR_MS)),
        ("an hour on", shifted(HOUR_MS)),
        ("a millisecond on", shifted(1)),
        ("the time of now", timed(NOW_MS)),
        ("no time", timed(0)),
        ("all but time", ALL_BUT_TIME),
    ];
    for (what, set) in sets {
        for newest in [1, 2, 7, ROWS] {
            for runs in [true, false] {
                let case = Case::new();
                case.change(newest, set);
                case.stays(runs, &format!("{what} of {newest}"));
            }
        }
    }
}

#[test]
fn no_update_of_every_column_of_all_rows_by_a_pattern_is_a_step_back() {
    for (what, shift_ms, time_ms) in [
        ("back", Some(-HOUR_MS), None),
        ("on", Some(2 * HOUR_MS), None),
        ("no time", None, Some(0)),
    ] {
        let case = Case::new();
        let set = Set {
            shift_ms,
            time_ms,
            ..ALL_BUT_TIME
        };
        case.change(ROWS, set);
        case.stays(false, what);
    }
}

#[test]
fn while_running_no_update_of_one_row_or_to_one_value_is_a_step_back() {
    let set = Set {
        time_ms: Some(NOW_MS),
        ..ALL_BUT_TIME
    };
    let case = Case::new();
    case.change(1, set);
    case.stays(true, "every column of the newest");
    for newest in [2, 7, ROWS] {
        let case = Case::new();
        let after = ROWS - newest;
        application::run(
            &case.path,
            &format!(
                "UPDATE outbox SET event = 'f', data = '{{}}', time = {NOW_MS} WHERE id > {after}"
            ),
        );
        case.stays(true, &format!("one value in {newest}"));
        let case = Case::new();
        case.change(
            newest,
            Set {
                time_ms: Some(NOW_MS + 1),
                ..set
            },
        );
        case.stays(true, &format!("a time in the future in {newest}"));
    }
}

#[test]
fn a_new_time_alone_is_no_step_back_though_all_events_are_alike() {
    for rows in [1, 2, ROWS] {
        for runs in [true, false] {
            let mut case = Case::with(rows, |_| "{}".to_owned());
            let newest = [(rows, 5, "the newest"), (1, 9, "all")];
            for (from, late_ms, what) in newest {
                application::run(
                    &case.path,
                    &format!("UPDATE outbox SET time = {TAKEN_MS} + {late_ms} WHERE id >= {from}"),
                );
                let settled = case.settled(runs);
                let Ok(Resume::Updated(cursor)) = settled else {
                    panic!("{what} of {rows}, {runs}: {settled:?}");
                };
                case.cursor = Cursor {
                    time_ms: TAKEN_MS,
                    ..cursor
                };
            }
        }
    }
}

#[test]
fn an_upsert_by_key_is_no_step_back() {
    let case = Case::new();
    application::upsert(&case.path, "e", "{}", TAKEN_MS - 1, "k");
    let mut case = case;
    case.cursor = cursor_at(
        &mut open(&case.path),
        EventId::new(ROWS + 1),
        Generation::FIRST,
        TAKEN_MS,
    )
    .unwrap();
    let (id, _) = application::upsert(&case.path, "f", "{\"v\":2}", NOW_MS - 1, "k");
    assert_eq!(id, ROWS + 1);
    for runs in [true, false] {
        let settled = case.settled(runs);
        let updated = matches!(&settled, Ok(Resume::Updated(c)) if c.event_id.get() == id);
        assert!(updated, "{settled:?}");
    }
}

#[test]
fn a_table_that_is_made_anew_with_its_rows_is_the_same() {
    let case = Case::new();
    assert_eq!(application::rebuild(&case.path), ROWS);
    case.stays(false, "rebuilt");
}

#[test]
fn a_backup_put_back_is_found_whatever_was_written_since() {
    for after in [12, 30, 39] {
        for written in [0, 1, ROWS - after, ROWS - after + 1, 3 * ROWS] {
            Case::put_back(after, written).goes_back(after);
        }
    }
}

#[test]
fn a_backup_put_back_is_found_among_rows_that_were_changed() {
    let case = Case::new();
    application::back_up(&case.path, &case.copy);
    write(&case.path, 1..=10, TAKEN_MS - HOUR_MS / 2, |n| {
        format!("[{n}]")
    });
    let taken = cursor_at(
        &mut open(&case.path),
        EventId::new(ROWS + 10),
        Generation::FIRST,
        TAKEN_MS,
    )
    .unwrap();
    // Of what is in the copy, all has another tenant and other data by the time it is put back.
    application::restore(&case.path, &case.copy);
    case.change(
        ROWS,
        Set {
            time_ms: None,
            ..ALL_BUT_TIME
        },
    );
    case.write_new(15);
    let settled = resolve_cursor(&mut open(&case.path), Some(taken), NOW_MS).unwrap();
    let back = matches!(&settled, Ok(Resume::Back(c)) if (30..=ROWS).contains(&c.event_id.get()));
    assert!(back, "{settled:?}");
}

#[test]
fn events_that_are_all_alike_are_told_apart_by_their_times() {
    let alike = |_| "{}".to_owned();
    let case = Case::with(ROWS, alike);
    let backup = Case::with(30, alike);
    application::back_up(&backup.path, &case.copy);
    application::restore(&case.path, &case.copy);
    write(&case.path, 1..=20, TAKEN_MS + SECOND_MS / 2, alike);
    case.goes_back(30);
    let case = Case::with(ROWS, alike);
    let back = Set {
        shift_ms: Some(-HOUR_MS),
        ..NONE
    };
    case.change(7, back);
    case.stays(false, "an hour back");
}

#[test]
fn a_counter_set_back_with_nothing_there_or_only_new_rows_is_gone_on_with() {
    for anew in [true, false] {
        for written in [0, 1, ROWS - 1, ROWS, ROWS + 9] {
            for runs in [true, false] {
                let case = Case::new();
                application::empty(&case.path, anew);
                case.write_new(written);
                let settled = case.settled(runs);
                let Ok(Resume::Emptied(cursor, count)) = &settled else {
                    panic!("{anew}, {written}, {runs}: {settled:?}");
                };
                assert_eq!((cursor.generation.get(), cursor.event_id.get()), (1, 0));
                assert_eq!((*count, cursor.fingerprints.len()), (written, 0));
            }
        }
    }
}

#[test]
fn rows_that_are_not_all_new_and_not_known_are_a_persons_to_decide() {
    for written in [3, ROWS + 9] {
        let case = Case::new();
        application::empty(&case.path, false);
        write(&case.path, 1..=1, BEGIN_MS - HOUR_MS, |_| "\"old\"".into());
        case.write_new(written);
        let settled = case.settled(false);
        let Err(ResumeError::Foreign { count, counter, .. }) = settled else {
            panic!("{settled:?}");
        };
        assert_eq!(count, written + 1);
        let counter = counter.map(EventId::get);
        assert_eq!(counter, (written == 3).then_some(4));
    }
    // A clock that was set back tells of no row whether it is new.
    let case = Case::new();
    application::empty(&case.path, false);
    case.write_new(3);
    let set_back = resolve_cursor(
        &mut open(&case.path),
        Some(case.cursor.clone()),
        TAKEN_MS - 1,
    );
    assert!(matches!(
        set_back.unwrap(),
        Err(ResumeError::Foreign { .. })
    ));
}

/// What can't be told falls on sending again.
#[test]
fn new_time_and_new_data_at_once_while_stopped_are_sent_again() {
    let case = Case::new();
    let set = Set {
        time_ms: Some(NOW_MS - 1),
        ..ALL_BUT_TIME
    };
    case.change(1, set);
    case.goes_back(ROWS - 1);
}

#[test]
fn the_prints_of_version_0_1_neither_resend_nor_hide_a_backup() {
    let old = |case: &mut Case| {
        let mut tail = open(&case.path);
        for (id, print) in &mut case.cursor.fingerprints {
            if let Some(Row::Event(event)) = tail.row(*id).unwrap() {
                *print = Print::Whole(dialect::digest(&event)[..16].try_into().unwrap());
            }
        }
    };
    let mut case = Case::new();
    old(&mut case);
    assert!(matches!(case.settled(false), Ok(Resume::Same(_))));
    case.change(
        7,
        Set {
            data: Some(1),
            ..NONE
        },
    );
    assert!(matches!(case.settled(false), Ok(Resume::Updated(_))));
    let mut taken = Case::new();
    old(&mut taken);
    let mut case = Case::put_back(30, 20);
    case.cursor = taken.cursor;
    case.goes_back(30);
}
