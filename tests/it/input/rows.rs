//! Rows of an application's table without rules: every type, every odd text.

use rusqlite::types::Value;

use super::{harmless, lax_outbox};
use crate::support::{Received, Receiver, SOON, World, hmac_hex, hook};

const DIALECTS: [&str; 3] = ["bold-cms", "bold-factory", "openboxes-lift"];

const SECRET: &str = "a key of a test";

/// A row, and a word of the reason why it is set aside; of one that is sent, none.
struct Odd {
    event: Value,
    data: Value,
    time: Value,
    tenant: Value,
    reason: Option<&'static str>,
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// An unspoilt row.
fn plain() -> Odd {
    Odd {
        event: text("e"),
        data: text(r#"{"n":0}"#),
        time: Value::Integer(1_700_000_000_000),
        tenant: Value::Null,
        reason: None,
    }
}

fn event(event: Value, reason: &'static str) -> Odd {
    Odd {
        event,
        reason: Some(reason),
        ..plain()
    }
}

fn sent(data: impl Into<String>) -> Odd {
    Odd {
        data: text(data),
        ..plain()
    }
}

fn data(data: Value, reason: &'static str) -> Odd {
    Odd {
        data,
        reason: Some(reason),
        ..plain()
    }
}

fn time(time: Value, reason: Option<&'static str>) -> Odd {
    Odd {
        time,
        reason,
        ..plain()
    }
}

fn tenant(tenant: Value, reason: Option<&'static str>) -> Odd {
    Odd {
        tenant,
        reason,
        ..plain()
    }
}

fn names() -> Vec<Odd> {
    vec![
        event(Value::Null, "event is NULL"),
        event(Value::Integer(7), "event is a number"),
        event(Value::Real(0.5), "event is a number"),
        event(Value::Blob(b"e".to_vec()), "event is a BLOB"),
        event(text(""), "is not 1 to 255"),
        event(text("e\0"), "is not 1 to 255"),
        event(text("e\r\nX-Evil: 1"), "is not 1 to 255"),
        event(text("\u{1b}[2J\u{1b}]0;owned\u{7}"), "is not 1 to 255"),
        event(text("\u{202e}\u{200b}\u{9b}31m"), "is not 1 to 255"),
        event(text("a\"b"), "is not 1 to 255"),
        event(text("é"), "is not 1 to 255"),
        event(text("x".repeat(256)), "is not 1 to 255"),
        event(text("x".repeat(1 << 20)), "event is 1048576 bytes long"),
        Odd {
            event: text("Az09-_.:/".repeat(28)),
            ..plain()
        },
    ]
}

fn texts() -> Vec<Odd> {
    let digits = "1234567890".repeat(1_000);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    vec![
        sent(format!(
            "[{digits},-{digits},0.{digits},1e{digits},-0,-0.0e-0]"
        )),
        sent(r#"{"a":1,"a":2,"":{"":0},"a":3}"#),
        sent(r#"["\ud800","\udc00\ud800","\u0000","\/","é\u2028"]"#),
        sent(" \t\r\n{ } \n"),
        sent("\"\u{7f}\u{9b}\u{202e}\u{feff}\u{ffff}\""),
        sent(nested(1_000)),
        sent(objects(1_000)),
        data(text(nested(1_001)), "nested over 1,000 deep"),
        data(text(nested(100_000)), "nested over 1,000 deep"),
        data(text(objects(100_000)), "nested over 1,000 deep"),
        data(text("[".repeat(100_000)), "nested over 1,000 deep"),
        data(text("\u{feff}{}"), "not JSON"),
        data(text("{}\0"), "not JSON"),
        data(text("\"a\0b\""), "not JSON"),
        data(text("\"a\nb\""), "not JSON"),
        data(text(""), "not JSON"),
        data(text("{} {}"), "not JSON"),
        data(text("NaN"), "not JSON"),
        data(text("{a:'b'}"), "not JSON"),
        data(text("[1,]"), "not JSON"),
        data(text("// x\n1"), "not JSON"),
        data(text("0x10"), "not JSON"),
        data(text("\u{a0}1"), "not JSON"),
        data(Value::Null, "data is NULL"),
        data(Value::Integer(1), "data is a number"),
        data(Value::Real(1.5), "data is a number"),
        data(Value::Blob(b"{}".to_vec()), "data is a BLOB"),
    ]
}

fn times_and_tenants() -> Vec<Odd> {
    vec![
        time(Value::Integer(0), None),
        time(Value::Integer(253_402_300_799_999), None),
        time(Value::Integer(-1), Some("time -1 is not")),
        time(Value::Integer(253_402_300_800_000), Some("is not in 0 to")),
        time(Value::Integer(i64::MIN), Some("is not in 0 to")),
        time(Value::Integer(i64::MAX), Some("is not in 0 to")),
        time(Value::Real(1e300), Some("time is not an integer")),
        time(Value::Null, Some("time is not an integer")),
        time(text("1700000000000"), Some("time is not an integer")),
        time(Value::Blob(vec![0]), Some("time is not an integer")),
        tenant(text("a\r\nX-Evil: 1\u{1b}[2J\"\\\0"), None),
        tenant(text("\u{202e}".repeat(255)), None),
        tenant(text(""), Some("tenant has 0")),
        tenant(text("t".repeat(256)), Some("tenant has 256")),
        tenant(text("t".repeat(1 << 20)), Some("tenant is 1048576 bytes")),
        tenant(Value::Blob(b"acme".to_vec()), Some("tenant is a BLOB")),
        tenant(Value::Integer(3), Some("tenant is a number")),
    ]
}

fn world(receiver: &Receiver) -> World {
    let hooks = DIALECTS.map(|dialect| {
        let hook = hook(dialect, receiver.url(&format!("/{dialect}")));
        hook.dialect(dialect).secret(SECRET)
    });
    World::bare(&hooks)
}

/// Holds that a request carries that data to the byte, signed, in a head of the usual lines only.
#[track_caller]
fn sound(request: &Received, data: &str) {
    let body = request.text();
    let end = format!("\"data\":{data}");
    let whole = body.strip_suffix("}}").or_else(|| body.strip_suffix('}'));
    assert!(
        body.ends_with(&format!("{end}}}")) || whole.is_some_and(|b| b.ends_with(&end)),
        "{body:.300}"
    );
    assert_eq!(request.header("X-Evil"), None);
    let count = request.names().len();
    assert!((6..=7).contains(&count), "{}", request.head_text());
    let names = ["X-Qt-Signature", "X-Bold-Signature", "X-Webhook-Signature"];
    let signature = names.iter().find_map(|name| request.header(name)).unwrap();
    let hex = hmac_hex(SECRET, &request.body);
    assert_eq!(signature.trim_start_matches("sha256="), hex);
}

#[test]
fn every_odd_row_is_sent_to_the_byte_or_set_aside_and_those_behind_follow() {
    let receiver = Receiver::ok();
    let world = world(&receiver);
    let outbox = lax_outbox(&world);
    let daemon = world.start();
    let rows: Vec<Odd> = [names(), texts(), times_and_tenants()]
        .into_iter()
        .flatten()
        .collect();
    let sql = "INSERT INTO outbox (event, data, time, tenant) VALUES (?1, ?2, ?3, ?4)";
    for row in &rows {
        let values = (&row.event, &row.data, &row.time, &row.tenant);
        outbox.execute(sql, values).unwrap();
    }
    // Text that is no UTF-8, which can't be bound as text.
    let raw = "INSERT INTO outbox (event, data, time, tenant) VALUES
        (CAST(X'65ff' AS TEXT), '{}', 1, NULL), ('e', CAST(X'22eda08022' AS TEXT), 1, NULL),
        ('e', CAST(X'22c022' AS TEXT), 1, NULL), ('e', '{}', 1, CAST(X'ff' AS TEXT))";
    outbox.execute_batch(raw).unwrap();
    outbox
        .execute_batch("INSERT INTO outbox (event, data, time) VALUES ('last', '{}', 1)")
        .unwrap();

    let good: Vec<&Odd> = rows.iter().filter(|row| row.reason.is_none()).collect();
    let count = (good.len() + 1) * DIALECTS.len();
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, i64::try_from(count).unwrap(), SOON);
    for dialect in DIALECTS {
        let start = format!("POST /{dialect} ");
        let all = receiver.received();
        let mine = all
            .iter()
            .filter(|request| request.head_text().starts_with(&start));
        let mut texts: Vec<&str> = good
            .iter()
            .map(|row| match &row.data {
                Value::Text(text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        texts.push("{}");
        let mut left = texts.clone();
        for request in mine {
            let place = left
                .iter()
                .position(|data| request.text().contains(&format!("\"data\":{data}}}")));
            let place = place.unwrap_or_else(|| panic!("{:.300}", request.text()));
            sound(request, left.remove(place));
        }
        assert!(left.is_empty(), "{dialect}: {left:?}");
    }
    set_aside(&world, &rows);
    told_harmlessly(&world, rows.len() + 5);
    let peak = daemon.memory_kib("VmHWM");
    println!("{} rows, peak {peak} KiB", rows.len() + 5);
    assert!(peak < 64 << 10, "{peak} KiB");
    harmless(&daemon.journal());
    daemon.stop();
}

/// Holds that each bad row is in `rejected` with its reason.
#[track_caller]
fn set_aside(world: &World, rows: &[Odd]) {
    let rejected = world.log("SELECT event_id, reason, event FROM rejected ORDER BY event_id");
    let mut expected: Vec<(usize, &str)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at + 1, row.reason?)))
        .collect();
    expected.extend((1..=4).map(|n| (rows.len() + n, "not UTF-8")));
    assert_eq!(rejected.len(), expected.len(), "{rejected:?}");
    for (row, (id, reason)) in rejected.iter().zip(expected) {
        assert_eq!(row[0], id.to_string(), "{row:?}");
        assert!(row[1].contains(reason), "{reason}: {row:?}");
        assert!(
            row[1].len() < 1_000 && row[2].chars().count() <= 255,
            "{row:?}"
        );
        harmless(&row.concat());
    }
}

/// Holds that what the commands print of all this is obeyed by no terminal.
#[track_caller]
fn told_harmlessly(world: &World, rows: usize) {
    for id in 1..=rows {
        let told = world.command(&["explain", &id.to_string()]).expect(0);
        harmless(&told.stdout);
        harmless(&told.stderr);
    }
    for arguments in [
        &["logs", "-n", "1000", "-v"][..],
        &["logs", "--json"],
        &["status"],
        &["status", "--json"],
    ] {
        let told = world.command(arguments);
        harmless(&told.stdout.replace('\t', " "));
        harmless(&told.stderr);
    }
}
