//! `explain`: every reason there is, told of events whose rows and traces are made here.

use rusqlite::params;

use super::prints;
use super::scene::{NOON_MS, Scene, Tried};

fn row(scene: &Scene, event: &str, tenant: Option<&str>) -> i64 {
    let outbox = scene.outbox();
    outbox
        .execute(
            "INSERT INTO outbox (event, data, time, tenant) VALUES (?1, '{\"a\":1}', ?2, ?3)",
            params![event, NOON_MS, tenant],
        )
        .unwrap();
    outbox.last_insert_rowid()
}

fn delivery(
    event_id: i64,
    event: &'static str,
    webhook: &'static str,
    outcome: &'static str,
) -> Tried<'static> {
    Tried {
        event_id,
        event,
        webhook,
        outcome,
        number: 2,
        time_ms: NOON_MS,
        status: (outcome == "delivered").then_some(204),
        error: (outcome != "delivered").then_some("answered \u{1b}[31m500"),
    }
}

/// Three rows that were taken, one that was not; `late` is active since the second.
fn some_events() -> Scene {
    let scene = Scene::new();
    for (event, tenant) in [
        ("story-submit", Some("acme")),
        ("story-approve", None),
        ("production.done", Some("globex")),
        ("story-later", None),
    ] {
        row(&scene, event, tenant);
    }
    scene.sql(&format!(
        "REPLACE INTO cursor VALUES (1, 0, 3, x'', {NOON_MS});
         INSERT INTO webhook (name, state, created_at, since, generation, after_event_id) VALUES
           ('search-index', 'active', 0, 0, 0, 0), ('erp', 'active', 0, 0, 0, 0),
           ('late', 'active', {NOON_MS}, {NOON_MS}, 0, 2), ('newsletter', 'inactive', 0, 0, 0, 0);"
    ));
    scene.tried(&delivery(1, "story-submit", "search-index", "failed"));
    scene.tried(&delivery(1, "story-submit", "search-index", "delivered"));
    scene.sql("UPDATE attempt SET origin = 1 WHERE delivery_id = 2");
    scene.tried(&delivery(1, "story-submit", "erp", "failed"));
    scene.tried(&delivery(1, "story-submit", "gone", "delivered"));
    scene.tried(&delivery(2, "story-approve", "search-index", "retry"));
    scene.sql("UPDATE parked SET due_at = 7258118400000");
    scene.tried(&delivery(2, "story-approve", "newsletter", "cancelled"));
    // Their bodies are made of the rows.
    scene.sql(&format!(
        "UPDATE payload SET body = '{{\"v1\":{{\"event\":{{\"id\":' || event_id || ',\"name\":\"' ||
           event ||
           '\",\"time\":{NOON_MS}}},\"data\":{{\"a\":1}}}}}}'"
    ));
    scene
}

#[test]
fn every_reason_is_told() {
    let scene = some_events();
    for (name, id) in [
        ("explain-delivered.txt", "1"),
        ("explain-pending.txt", "2"),
        ("explain-untaken.txt", "4"),
        ("explain-unknown.txt", "5"),
        ("explain-no-id.txt", "evt_nonsense"),
    ] {
        aged(&scene, name, &["explain", id]);
    }
    scene.sql(&format!(
        "INSERT INTO rejected (generation, event_id, event, reason, time)
         VALUES (0, 3, 'production.done', 'data is not JSON: \u{1b}[2J', {NOON_MS})"
    ));
    aged(&scene, "explain-rejected.txt", &["explain", "3"]);
    scene
        .outbox()
        .execute("DELETE FROM outbox WHERE id = 1", [])
        .unwrap();
    aged(&scene, "explain-pruned.txt", &["explain", "1"]);
}

#[test]
fn string_ids_lead_to_their_event_only() {
    let scene = some_events();
    let told = scene.run(&["explain", "3"], None).stdout;
    let mut words = told.split([' ', '\n']);
    let factory = words.find(|word| word.starts_with("evt_")).unwrap();
    let found = scene.run(&["explain", factory], None);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert_eq!(found.stdout.lines().nth(1), told.lines().nth(1));
    scene
        .outbox()
        .execute("UPDATE outbox SET tenant = 'initech' WHERE id = 3", [])
        .unwrap();
    let other = scene.run(&["explain", factory], None);
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.contains("row 3 is another event"),
        "{}",
        other.stderr
    );
}

/// As `prints`, with how long ago noon was taken out.
#[track_caller]
fn aged(scene: &Scene, name: &str, arguments: &[&str]) {
    let printed = scene.run(arguments, None);
    let text = scene.plain(&printed.whole());
    let mut lines = String::new();
    for line in text.lines() {
        let ages = |line: &str| {
            let (before, rest) = line.split_once(" (")?;
            let (age, after) = rest.split_once(')')?;
            let is_age = age.ends_with(" ago") || age.starts_with("in ");
            is_age.then(|| format!("{before} (AGE){after}"))
        };
        lines.push_str(&ages(line).unwrap_or_else(|| line.to_owned()));
        lines.push('\n');
    }
    super::same(name, &lines);
}

#[test]
fn without_log_and_outbox_nothing_is_known() {
    prints(
        &Scene::bare(),
        "explain-nothing.txt",
        &["explain", "1"],
        None,
    );
}
