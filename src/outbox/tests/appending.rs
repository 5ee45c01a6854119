//! Rows that come through webhooksd itself: what is added, what is refused, and in which words.

use super::{BARE, MAX_DATA_BYTES, app, database, id, insert, outbox};
use crate::outbox::{AppendError, Appended, Appender, Error, NewEvent, Row, Tail};

fn event(data: &str) -> NewEvent {
    NewEvent {
        event: "story-approve".to_owned(),
        data: data.to_owned(),
        ..NewEvent::default()
    }
}

fn keyed(key: &str, data: &str) -> NewEvent {
    NewEvent {
        key: Some(key.to_owned()),
        ..event(data)
    }
}

#[test]
fn events_are_added_in_order_with_all_they_say_or_the_time_of_now() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let said = NewEvent {
        time_ms: Some(5),
        tenant: Some("acme".to_owned()),
        ..keyed("k", " {} ")
    };
    let answers = appender.append(&[said, event("1")]).unwrap();
    assert_eq!(answers, [Appended::New(id(1)), Appended::New(id(2))]);
    assert_eq!(appender.append(&[]).unwrap(), []);
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let rows = tail.read(id(0), 10, 1_000).unwrap().rows;
    let [Row::Event(first), Row::Event(second)] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!((&*first.data, first.time_ms), (" {} ", 5));
    assert_eq!(first.tenant.as_deref(), Some("acme"));
    let now_ms = crate::model::Clock::system().now_ms();
    assert!((now_ms - 60_000..=now_ms).contains(&second.time_ms));
    assert_eq!(second.tenant, None);
    assert_eq!(tail.sequence().unwrap(), id(2));
}

#[test]
fn a_key_adds_its_event_once() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let mut append = |events: &[NewEvent]| appender.append(events).unwrap();
    let timed = |time_ms| NewEvent {
        time_ms: Some(time_ms),
        ..keyed("b", "2")
    };
    let tenant = NewEvent {
        tenant: Some("t".to_owned()),
        ..keyed("a", "1")
    };
    assert_eq!(
        append(&[keyed("a", "1"), keyed("a", "1"), timed(7), keyed("a", "9")]),
        [
            Appended::New(id(1)),
            Appended::Again(id(1)),
            Appended::New(id(2)),
            Appended::Conflict(id(1))
        ]
    );
    assert_eq!(
        append(&[
            timed(7),
            keyed("b", "2"),
            timed(8),
            keyed("a", "1 "),
            tenant,
            keyed("c", "1")
        ]),
        [
            Appended::Again(id(2)),
            Appended::Again(id(2)),
            Appended::Conflict(id(2)),
            Appended::Conflict(id(1)),
            Appended::Conflict(id(1)),
            Appended::New(id(3))
        ]
    );
}

#[test]
fn a_key_that_many_give_at_once_adds_its_event_once() {
    let outbox = outbox();
    let give_all = || {
        let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
        let answers = (0..50).map(|n| appender.append(&[keyed(&n.to_string(), "1")]).unwrap()[0]);
        answers
            .filter(|answer| matches!(answer, Appended::New(_)))
            .count()
    };
    let added: usize = std::thread::scope(|scope| {
        let givers: Vec<_> = (0..4).map(|_| scope.spawn(give_all)).collect();
        givers.into_iter().map(|giver| giver.join().unwrap()).sum()
    });
    assert_eq!(added, 50);
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    assert_eq!(tail.waiting(id(0)).unwrap().count, 50);
}

#[test]
fn all_or_nothing_means_nothing_on_a_conflict() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    appender.append_all(&[keyed("a", "1")]).unwrap();
    let error = appender
        .append_all(&[event("1"), keyed("a", "2")])
        .unwrap_err();
    let is_of = |found| found == id(1);
    assert!(matches!(error, AppendError::Conflict { index: 1, id } if is_of(id)));
    assert_eq!(
        error.to_string(),
        "item 2: key was given before, to event 1, with other content"
    );
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    assert_eq!(tail.waiting(id(0)).unwrap().count, 1);
    assert_eq!(
        appender.append_all(&[event("1")]).unwrap(),
        [Appended::New(id(2))]
    );
}

#[test]
fn a_bad_item_is_named_and_nothing_is_added() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let named = |name: &str| NewEvent {
        event: name.to_owned(),
        ..event("1")
    };
    let timed = |time_ms| NewEvent {
        time_ms: Some(time_ms),
        ..event("1")
    };
    let long = "x".repeat(256);
    for (bad, message) in [
        (
            named("a b"),
            "event \"a b\" is not 1 to 255 of A-Z a-z 0-9 - _ . : /",
        ),
        (
            event("{"),
            "data is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            event(&" ".repeat(1_001)),
            "data is 1001 bytes, more than max_data_bytes = 1000",
        ),
        (
            timed(-1),
            "time -1 is not in 0 to 253402300799999, UNIX milliseconds",
        ),
        (keyed("", "1"), "key has 0 characters, not 1 to 255"),
        (keyed(&long, "1"), "key has 256 characters, not 1 to 255"),
        (keyed("\0a", "1"), "key has a NUL character"),
    ] {
        let error = appender.append(&[event("1"), bad]).unwrap_err();
        assert_eq!(error.to_string(), format!("item 2: {message}"));
    }
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    assert_eq!(tail.sequence().unwrap(), id(0));
}

#[test]
fn whatever_is_accepted_passes_the_checks_of_the_table() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, 2_000).unwrap();
    let wide = "é".repeat(255);
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for data in [
        "0",
        " null\n",
        "\"\\ud800\"",
        "{\"a\":1,\"a\":2}",
        "1e999",
        &deep,
    ] {
        let event = NewEvent {
            tenant: Some(wide.clone()),
            time_ms: Some(253_402_300_799_999),
            ..event(data)
        };
        appender.append(&[event]).unwrap();
    }
}

#[test]
fn a_table_of_the_applications_takes_what_it_has_columns_for() {
    let outbox = database(BARE);
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let error = appender.append(&[keyed("k", "1")]).unwrap_err().to_string();
    assert_eq!(
        error,
        "item 1: key can't be kept: the outbox's table has no such column"
    );
    appender.append(&[event("1")]).unwrap();
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let row = tail.row(id(1)).unwrap().unwrap();
    assert!(matches!(row, Row::Event(_)), "{row:?}");
}

#[test]
fn what_the_applications_own_rules_refuse_is_an_error_and_adds_nothing() {
    let trigger = "CREATE TRIGGER no BEFORE INSERT ON outbox WHEN NEW.data = '3'
                   BEGIN SELECT RAISE(ABORT, 'no threes'); END;
                   CREATE TRIGGER hush BEFORE INSERT ON outbox WHEN NEW.data = '4'
                   BEGIN SELECT RAISE(IGNORE); END;";
    let outbox = database(&format!("{BARE} {trigger}"));
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    for data in ["3", "4"] {
        let error = appender.append(&[event("1"), event(data)]).unwrap_err();
        let AppendError::Outbox(error @ Error::Append { .. }) = error else {
            panic!("{error:?}")
        };
        assert!(!error.is_busy());
    }
    assert_eq!(insert(&app(&outbox.path)), 1);
}

#[test]
fn a_hundred_thousand_events_are_one_call() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let events: Vec<_> = (0..100_000).map(|n| keyed(&n.to_string(), "{}")).collect();
    let answers = appender.append(&events).unwrap();
    assert_eq!(answers.last(), Some(&Appended::New(id(100_000))));
}
