//! `emit -` with lines that are broken, endless, or meant for the terminal.

use std::path::Path;

use super::harmless;
use crate::support::{World, hook};

/// Address space for a command that reads ahead and writes batches: what a thread reserves is most
/// of it, and the lines below would not fit.
const SPACE_BYTES: u64 = 256 << 20;

const GOOD: &str = r#"{"event":"e","data":{"n":1}}"#;

fn rows(world: &World) -> i64 {
    let sql = "SELECT count(*) FROM outbox";
    world.outbox().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_line_that_is_no_event_ends_it_with_the_lines_number() {
    let deep = format!(
        r#"{{"event":"e","data":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let deep_name = format!(r#"{{"event":{}"#, "[".repeat(100_000));
    let bad: [(&[u8], &str); 16] = [
        (b"{\"event\":\"e\",\"data\":", "EOF"),
        (b"}", "expected value"),
        (b"[]", "a JSON object, not an array"),
        (
            b"[\"e\",{\"n\":1},null,null,null]",
            "a JSON object, not an array",
        ),
        (b"\"e\"", "a JSON object, not a text"),
        (b"\xff\xfe", "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        (b"{\"event\":\"e\",\"data\":\"\xed\xa0\x80\"}", "UTF-8"),
        (
            b"{\"event\":\"e\",\"data\":1,\"\\u001b[2J\\u001b]0;x\\u0007\":1}",
            "unknown field",
        ),
        (b"{\"event\":\"\\u001b[2J\\u202e\",\"data\":1}", "event"),
        (b"{\"event\":\"e\\r\\nX-Evil: 1\",\"data\":1}", "event"),
        (
            b"{\"event\":\"e\",\"event\":\"f\",\"data\":1}",
            "duplicate field",
        ),
        (
            b"{\"event\":\"e\",\"data\":1,\"time\":9223372036854775808}",
            "time",
        ),
        (b"{\"event\":\"e\",\"data\":1,\"key\":\"\\u0000\"}", "key"),
        (deep.as_bytes(), "nested over 1,000 deep"),
        (deep_name.as_bytes(), "EOF"),
    ];
    for (line, word) in bad {
        let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
        let lines = [GOOD.as_bytes(), b"", line, GOOD.as_bytes()].join(&b'\n');
        world.write("lines", lines);
        let failed = world.command_with_input(&["emit", "-"], "lines").expect(2);
        let words = failed.stderr;
        assert!(
            words.contains("line 3: ") && words.contains(word),
            "{word}: {words}"
        );
        assert!(words.len() < 1_000, "{words}");
        harmless(&words);
        assert_eq!(rows(&world), 1, "{words}");
    }
}

#[test]
fn a_half_line_at_the_end_is_an_event_or_an_error() {
    let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
    world.write("lines", format!("{GOOD}\r\n\n  \n{GOOD}"));
    world.command_with_input(&["emit", "-"], "lines").expect(0);
    assert_eq!(rows(&world), 2);
    world.write("lines", format!("{GOOD}\n{}", GOOD.get(..15).unwrap()));
    let words = world
        .command_with_input(&["emit", "-"], "lines")
        .expect(2)
        .stderr;
    assert!(words.contains("line 2: EOF"), "{words}");
    assert_eq!(rows(&world), 3);
}

#[test]
fn a_line_without_an_end_is_refused_in_bounded_memory() {
    let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
    let large = format!(
        "{GOOD}\n{{\"event\":\"e\",\"data\":\"{}\"}}\n{GOOD}\n",
        "x".repeat(100 << 20)
    );
    world.write("lines", large);
    for (stdin, line, stored) in [
        (world.path("lines").as_path(), 2, 1),
        (Path::new("/dev/zero"), 1, 1),
    ] {
        let failed = world
            .command_within(SPACE_BYTES, &["emit", "-"], stdin)
            .expect(2);
        let words = failed.stderr;
        assert!(
            words.contains(&format!("line {line}: longer than")),
            "{words}"
        );
        assert!(words.contains("max_data_bytes"), "{words}");
        assert_eq!(rows(&world), stored);
    }
}

#[test]
fn large_lines_that_wait_for_the_outbox_are_not_read_ahead_without_bound() {
    let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
    let text = "x".repeat((1 << 20) - 2);
    let line = format!("{{\"event\":\"e\",\"data\":\"{text}\"}}\n");
    world.write("lines", line.repeat(250));
    // For the 5 s that a writer waits, nothing is written and all could be read.
    let outbox = world.outbox();
    outbox.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = world.command_within(SPACE_BYTES, &["emit", "-"], &world.path("lines"));
    let words = failed.expect(1).stderr;
    assert!(words.contains("0 events are in the outbox"), "{words}");
    assert!(words.contains("lock") || words.contains("busy"), "{words}");
    outbox.execute_batch("ROLLBACK").unwrap();
    world.write("lines", line.repeat(20));
    let done = world.command_within(SPACE_BYTES, &["emit", "-"], &world.path("lines"));
    done.expect(0);
    assert_eq!(rows(&world), 20);
}

#[test]
fn a_file_of_data_that_is_too_large_or_has_no_end_is_refused_in_bounded_memory() {
    let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
    let none = Path::new("/dev/null");
    let zero = world.command_within(SPACE_BYTES, &["emit", "e", "@/dev/zero"], none);
    let words = zero.expect(2).stderr;
    assert!(words.contains("max_data_bytes"), "{words}");
    world.write("bytes", b"\"\xff\"");
    let file = format!("@{}", world.path("bytes").display());
    let words = world.command(&["emit", "e", &file]).expect(2).stderr;
    assert!(words.contains("not UTF-8 from byte 2 on"), "{words}");
    world.write("bytes", format!("\"{}\"", "x".repeat((1 << 20) - 2)));
    world.command(&["emit", "e", &file]).expect(0);
    assert_eq!(rows(&world), 1);
}
