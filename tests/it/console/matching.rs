//! `match`: past events judged by the file as it is on disk, and how that differs from what was sent.

use serde_json::{Value, json};

use crate::support::{Receiver, SOON, World, hook};

const SECTION: &str = "[socket]\npath = \"webhooksd.sock\"";

const DEPOT: &str = "where = [ { path = \"$.at\", in = [\"a\", \"b\"] }, \
    { any = [ { path = \"$.n\", gte = 5 }, { path = \"$.rush\", exists = true }, { path = \"$.n\", eq = 1 } ] } ]";

const ROWS: [(&str, &str); 6] = [
    ("stock.moved", "{\"at\":\"a\",\"n\":1}"),
    ("stock.moved", "{\"at\":\"c\",\"n\":9}"),
    ("stock.moved", "{\"at\":\"b\",\"n\":2}"),
    ("stock.counted", "{\"at\":\"b\",\"n\":2,\"rush\":null}"),
    ("other", "{\"at\":\"a\",\"n\":7}"),
    ("stock.counted", "[1]"),
];

fn fill(world: &World) {
    for (event, data) in ROWS {
        world.emit(event, data);
    }
}

#[track_caller]
fn told(world: &World, arguments: &[&str]) -> Value {
    let told = world
        .command(&[&["match"], arguments, &["--json"]].concat())
        .expect(0)
        .stdout;
    assert_eq!(told.lines().count(), 1, "{told}");
    serde_json::from_str(&told).unwrap()
}

/// The numbers of some keys.
fn numbers(told: &Value, keys: &[&str]) -> Vec<i64> {
    keys.iter()
        .map(|key| told[key].as_i64().unwrap_or(-1))
        .collect()
}

const COUNTS: [&str; 7] = [
    "events",
    "matched",
    "turned_away",
    "would_add",
    "would_drop",
    "not_taken",
    "forgotten",
];

#[test]
fn without_a_daemon_and_a_log_the_outbox_is_judged_and_nothing_is_a_difference() {
    let world = World::new(&[hook("depot", "http://127.0.0.1:9/")
        .events("stock.*")
        .line(DEPOT)]);
    fill(&world);
    let depot = told(&world, &["depot"]);
    assert_eq!(numbers(&depot, &COUNTS), [6, 2, 3, 0, 0, 2, 0], "{depot}");
    assert_eq!(depot["webhook"], "depot");
    assert_eq!(
        depot["by_rule"],
        json!([{"rule": 1, "path": "$.at", "count": 2}, {"rule": 2, "path": "$.n, $.rush", "count": 1}])
    );
    assert_eq!(
        depot["samples"],
        json!({"matched": [1, 4], "turned_away": [2, 3, 6], "would_add": [], "would_drop": []})
    );
    assert!(!world.path("log.db").exists(), "nothing is made");
    let text = world.command(&["match", "depot"]).expect(0);
    for words in [
        "depot: 6 events since ",
        "match                            2  1, 4",
        "turned away by where             3  2, 3, 6",
        "rule 1, $.at in [\"a\", \"b\"]",
    ] {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            squeezed(&text.stdout).contains(&squeezed(words)),
            "{words}: {}",
            text.stdout
        );
    }
    assert!(
        text.stderr.contains("there is no log yet"),
        "{}",
        text.stderr
    );

    // A part of them, by name and by time.
    let counted = told(&world, &["depot", "--event", "stock.c*"]);
    assert_eq!(numbers(&counted, &COUNTS), [2, 1, 1, 0, 0, 1, 0]);
    let sql = "UPDATE outbox SET time = time - 864000000 WHERE id <= 3";
    world.outbox().execute(sql, []).unwrap();
    assert_eq!(numbers(&told(&world, &["depot"]), &COUNTS[..3]), [3, 1, 1]);
    let all = ["depot", "--since", "11d"];
    assert_eq!(numbers(&told(&world, &all), &COUNTS[..3]), [6, 2, 3]);
    let none = ["depot", "--since", "2999-01-01"];
    assert_eq!(numbers(&told(&world, &none), &COUNTS[..3]), [0, 0, 0]);
}

#[test]
fn what_is_wrong_in_the_question_or_the_file_is_said() {
    let world = World::new(&[
        hook("depot", "http://127.0.0.1:9/").line(DEPOT),
        hook("all", "http://127.0.0.1:9/"),
    ]);
    let unknown = world.command(&["match", "depott"]).expect(2).stderr;
    assert!(
        unknown.contains("no webhook is called \"depott\""),
        "{unknown}"
    );
    assert!(unknown.contains("there are all, depot"), "{unknown}");
    for bad in ["", "a b", "stock-\u{e4}*"] {
        let refused = world.command(&["match", "all", "--event", bad]).expect(2);
        assert!(
            refused.stderr.contains("a pattern is 1 to 255"),
            "{}",
            refused.stderr
        );
    }
    world
        .command(&["match", "all", "--since", "yesterday"])
        .expect(2);
    world.command(&["match"]).expect(2);

    world.configure(&[
        hook("depot", "http://127.0.0.1:9/").line("where = [ { path = \"at\", eq = 1 } ]")
    ]);
    let broken = world.command(&["match", "depot"]).expect(2).stderr;
    assert!(broken.contains("a path begins with $"), "{broken}");

    world.configure(&[hook("all", "http://127.0.0.1:9/")]);
    world.write(
        "log.db",
        "no log at all, and long enough for a header ".repeat(30),
    );
    let damaged = world.command(&["match", "all"]);
    assert_eq!(damaged.code, Some(1), "{}", damaged.stderr);
    assert!(damaged.stderr.contains("log.db"), "{}", damaged.stderr);
    std::fs::remove_file(world.path("log.db")).unwrap();
    world.remove_outbox();
    let absent = world.command(&["match", "all"]);
    assert_eq!(absent.code, Some(1), "{}", absent.stderr);
    assert!(absent.stderr.contains("outbox.db"), "{}", absent.stderr);
}

#[test]
fn the_difference_is_to_what_was_sent_and_what_is_not_taken_is_none() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let with = |line: &str| {
        let hook = hook("w", receiver.url("/")).events("stock.*").line(line);
        world.configure_with(SECTION, &[hook]);
    };
    with("where = [ { path = \"$.at\", eq = \"b\" } ]");
    let daemon = world.start();
    fill(&world);
    receiver.wait(2, SOON);
    let ended = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(ended, 2, SOON);
    world.wait_number("SELECT event_id FROM cursor", 6, SOON);
    let as_sent = told(&world, &["w"]);
    assert_eq!(
        numbers(&as_sent, &COUNTS),
        [6, 2, 3, 0, 0, 0, 0],
        "{as_sent}"
    );
    // A test is no event of the outbox, and changes nothing.
    world.command(&["test", "w"]).expect(0);

    // The file on disk says something else than the daemon runs by.
    with("where = [ { path = \"$.n\", lt = 3 }, { path = \"$.rush\", exists = false } ]");
    let other = told(&world, &["w"]);
    assert_eq!(numbers(&other, &COUNTS), [6, 2, 3, 1, 1, 0, 0], "{other}");
    assert_eq!(
        other["samples"],
        json!({"matched": [1, 3], "turned_away": [2, 4, 6], "would_add": [1], "would_drop": [4]})
    );
    // Nor does the name decide alone.
    let hook = hook("w", receiver.url("/"))
        .events("other")
        .line("active = false");
    world.configure_with(SECTION, &[hook]);
    let named = world.command(&["match", "w", "--json"]).expect(0);
    assert!(
        named.stderr.contains("if it were active"),
        "{}",
        named.stderr
    );
    let named: Value = serde_json::from_str(&named.stdout).unwrap();
    assert_eq!(numbers(&named, &COUNTS), [6, 1, 0, 1, 2, 0, 0], "{named}");

    // What comes while nothing runs is taken later, by what runs then.
    with("where = [ { path = \"$.at\", eq = \"b\" } ]");
    daemon.stop();
    world.emit("stock.moved", "{\"at\":\"b\"}");
    let waiting = told(&world, &["w"]);
    assert_eq!(
        numbers(&waiting, &COUNTS),
        [7, 3, 3, 0, 0, 1, 0],
        "{waiting}"
    );
    assert_eq!(receiver.received().len(), 3, "nothing was sent for it");

    // An outbox that is another one is not compared.
    world.remove_outbox();
    world.make_outbox("DELETE");
    world.emit("stock.moved", "{\"at\":\"b\"}");
    let another = world.command(&["match", "w", "--json"]).expect(0);
    assert!(
        another.stderr.contains("another outbox"),
        "{}",
        another.stderr
    );
    let another: Value = serde_json::from_str(&another.stdout).unwrap();
    assert_eq!(another["matched"], 1);
    assert_eq!(another["would_add"], Value::Null);
}

#[test]
fn what_the_log_no_longer_keeps_is_no_difference() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    fill(&world);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        6,
        SOON,
    );
    daemon.stop();
    assert_eq!(
        numbers(&told(&world, &["w"]), &COUNTS),
        [6, 6, 0, 0, 0, 0, 0]
    );
    // As retention leaves it after 30 days.
    for sql in [
        "DELETE FROM attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE event_id <= 4)",
        "INSERT OR REPLACE INTO mark SELECT 1, generation, 3, 3, 3, 3, 0, 0 FROM cursor",
        "DELETE FROM payload WHERE event_id <= 4",
    ] {
        world.change_log(sql).unwrap();
    }
    let old = told(&world, &["w"]);
    assert_eq!(numbers(&old, &COUNTS), [6, 6, 0, 1, 0, 0, 3], "{old}");
    assert_eq!(old["samples"]["would_add"], json!([4]));
    // Nor what went early, for the log may only be so large.
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let sized = text.replacen(
        "path = \"log.db\"",
        "path = \"log.db\"\nmax_size = \"64MB\"",
        1,
    );
    world.write("webhooks.toml", sized);
    let early = told(&world, &["w"]);
    assert_eq!(numbers(&early, &COUNTS), [6, 6, 0, 0, 0, 0, 4], "{early}");
}

#[test]
fn a_hundred_thousand_events_are_judged_in_seconds() {
    let world = World::new(&[hook("depot", "http://127.0.0.1:9/").line(DEPOT)]);
    let sql = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
        INSERT INTO outbox (event, data)
        SELECT 'stock.moved', json_object('n', n, 'at', CASE n % 4 WHEN 0 THEN 'a' ELSE 'c' END) FROM c";
    world.outbox().execute(sql, []).unwrap();
    // A command has no longer than that: `SOON`.
    let depot = told(&world, &["depot"]);
    assert_eq!(
        numbers(&depot, &COUNTS[..3]),
        [100_000, 24_999, 75_001],
        "{depot}"
    );
    assert_eq!(
        depot["samples"]["matched"],
        json!([99_984, 99_988, 99_992, 99_996, 100_000])
    );
}
