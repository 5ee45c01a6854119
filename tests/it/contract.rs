//! What is promised of an outbox, of either engine: the same tests over SQLite and PostgreSQL.
//!
//! Each test knows an [`Outbox`] that an application writes and a daemon that follows it, and no engine. What only one of
//! them can do is in `outboxes.rs` and `postgres/`.

mod adding;
mod past;

pub(crate) use past::judged;

use std::collections::BTreeSet;

use crate::support::{
    Answer, Database, Hook, Received, Receiver, SOON, World, check, eventually, hook, postgres,
    stays,
};

/// An application's database of one engine.
enum Engine {
    Sqlite,
    Postgres(Database),
}

/// An outbox with a daemon's folder beside it.
struct Outbox {
    world: World,
    engine: Engine,
}

/// The outboxes that there are, with a daemon for these webhooks.
fn each(hooks: &[Hook], more: &str, mut test: impl FnMut(&Outbox)) {
    let mut engines = vec![Engine::Sqlite];
    engines.extend(postgres().map(|server| Engine::Postgres(server.database())));
    for engine in engines {
        let world = World::bare(hooks);
        let outbox = Outbox { world, engine };
        outbox.configure(hooks, more);
        if matches!(outbox.engine, Engine::Sqlite) {
            outbox.world.make_outbox("WAL");
        }
        println!("engine: {}", outbox.name());
        test(&outbox);
    }
}

impl Outbox {
    fn name(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        }
    }

    fn configure(&self, hooks: &[Hook], more: &str) {
        self.world.configure_with(more, hooks);
        if let Engine::Postgres(database) = &self.engine {
            let text = std::fs::read_to_string(self.world.path("webhooks.toml")).unwrap();
            let url = format!("url = {:?}", database.url());
            let text = text.replacen("path = \"outbox.db\"", &url, 1);
            self.world.write("webhooks.toml", text);
        }
    }

    /// Runs statements, which must succeed.
    fn sql(&self, sql: &str) {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn try_sql(&self, sql: &str) -> Result<(), String> {
        match &self.engine {
            Engine::Sqlite => {
                let ran = self.world.outbox().execute_batch(sql);
                ran.map_err(|error| error.to_string())
            }
            Engine::Postgres(database) => database.try_sql(sql).map(drop),
        }
    }

    /// How many rows there are.
    fn count(&self) -> i64 {
        self.number("SELECT count(*) FROM outbox")
    }

    /// The highest id of a row.
    fn newest(&self) -> i64 {
        self.number("SELECT max(id) FROM outbox")
    }

    fn number(&self, sql: &str) -> i64 {
        match &self.engine {
            Engine::Sqlite => {
                let outbox = self.world.outbox();
                outbox.query_row(sql, [], |row| row.get(0)).unwrap()
            }
            Engine::Postgres(database) => database.sql(sql).parse().unwrap(),
        }
    }

    /// Commits one event.
    fn emit(&self, event: &str, data: &str) {
        let data = data.replace('\'', "''");
        self.sql(&format!(
            "INSERT INTO outbox (event, data) VALUES ('{event}', '{data}')"
        ));
    }

    /// A time of UNIX milliseconds as the column has it.
    fn time(&self, ms: i64) -> String {
        match self.engine {
            Engine::Sqlite => ms.to_string(),
            Engine::Postgres(_) => format!("to_timestamp({ms}::numeric / 1000)"),
        }
    }

    /// Takes the table's rules away, as a table of the application's own may lack them.
    fn without_rules(&self) {
        match self.engine {
            Engine::Sqlite => {
                self.world.remove_outbox();
                let table = "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time, tenant, key)";
                self.sql(table);
            }
            Engine::Postgres(_) => self.sql(
                "ALTER TABLE outbox DROP CONSTRAINT \"event is 1 to 255 of A-Z a-z 0-9 - _ . : /\";
                 ALTER TABLE outbox DROP CONSTRAINT \"tenant is text\";
                 ALTER TABLE outbox DROP CONSTRAINT \"time is from 1970 to 9999\";
                 ALTER TABLE outbox ALTER data TYPE text; ALTER TABLE outbox ALTER time DROP NOT NULL;",
            ),
        }
    }
}

/// The members `n` of what arrived, in the order of arrival.
fn arrived(receiver: &Receiver) -> Vec<i64> {
    receiver.received().iter().map(Received::n).collect()
}

#[test]
fn each_event_comes_once_and_in_order_and_goes_on_after_a_restart() {
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/")).line("in_order = true")];
    let mut seen = 0;
    each(&hooks, "", |outbox| {
        let daemon = outbox.world.start();
        // One by one, and many in one transaction, more than one read takes.
        for n in 0..5 {
            outbox.emit("e", &format!("{{\"n\":{n}}}"));
        }
        let values: Vec<_> = (5..1_200)
            .map(|n| format!("('e', '{{\"n\":{n}}}')"))
            .collect();
        outbox.sql(&format!(
            "INSERT INTO outbox (event, data) VALUES {}",
            values.join(", ")
        ));
        receiver.wait(seen + 1_200, SOON);
        daemon.stop();
        // While nobody follows it.
        for n in 1_200..1_210 {
            outbox.emit("e", &format!("{{\"n\":{n}}}"));
        }
        let daemon = outbox.world.start();
        outbox.emit("e", "{\"n\":1210}");
        receiver.wait(seen + 1_211, SOON);
        let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        outbox.world.wait_number(delivered, 1_211, SOON);
        daemon.stop();
        let all: Vec<i64> = (0..1_211).collect();
        assert_eq!(arrived(&receiver)[seen..], all, "{}", outbox.name());
        seen += 1_211;
    });
}

#[test]
fn what_was_rolled_back_is_never_seen() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], "", |outbox| {
        let daemon = outbox.world.start();
        for n in 0..10 {
            let end = if n % 2 == 0 { "COMMIT" } else { "ROLLBACK" };
            outbox.sql(&format!(
                "BEGIN; INSERT INTO outbox (event, data) VALUES ('e', '{{\"n\":{n}}}'); {end};"
            ));
        }
        outbox.emit("e", "{\"n\":10}");
        receiver.wait(seen + 6, SOON);
        daemon.stop();
        let mut all = arrived(&receiver)[seen..].to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 2, 4, 6, 8, 10], "{}", outbox.name());
        seen += 6;
    });
}

#[test]
fn data_time_and_tenant_arrive_as_they_were_written() {
    let receiver = Receiver::ok();
    let texts = [
        "{\"b\":1,\"a\":2,\"a\":3}",
        "{ \"n\" : 1.50, \"big\" : 12345678901234567890123, \"e\" : 1E400 }",
        "\"half a pair: \\ud800, a zero: \\u0000, \u{e9}\u{1f600}\"",
        "  [1,\t2]  ",
    ];
    let mut seen = 0;
    let hooks = [hook("one", receiver.url("/")).dialect("bold-cms")];
    each(&hooks, "", |outbox| {
        let daemon = outbox.world.start();
        for (text, at) in texts.iter().zip(seen..) {
            let ms = 1_700_000_000_123;
            let time = outbox.time(ms);
            let sql = format!(
                "INSERT INTO outbox (event, data, time, tenant) VALUES ('a.b', '{text}', {time}, 'caf\u{e9}')"
            );
            outbox.sql(&sql);
            let request = &receiver.wait(at + 1, SOON)[at];
            let body = request.text();
            assert!(body.contains(text), "{}: {body}", outbox.name());
            assert!(body.contains(&format!("\"time\":{ms}")), "{body}");
        }
        daemon.stop();
        seen += texts.len();
    });
}

#[test]
fn rows_that_cannot_be_sent_are_set_aside_with_the_same_words() {
    let receiver = Receiver::ok();
    let mut told: Vec<Vec<Vec<String>>> = Vec::new();
    let mut seen = 0;
    let more = "max_data_bytes = 100";
    each(&[hook("one", receiver.url("/"))], more, |outbox| {
        outbox.without_rules();
        let daemon = outbox.world.start();
        let (long, time) = ("x".repeat(101), outbox.time(1_700_000_000_000));
        let name = "y".repeat(5_000);
        for (event, data, time, tenant) in [
            ("bad name", "{}", &*time, "NULL"),
            ("webhooksd.mine", "{}", &time, "NULL"),
            ("e", "{\"n\":", &time, "NULL"),
            ("e", &*format!("\"{long}\""), &time, "NULL"),
            ("e", "{}", &outbox.time(253_402_300_800_000), "NULL"),
            ("e", "{}", &time, "''"),
            (&name, "{}", &time, "NULL"),
            ("e", "{}", "NULL", "NULL"),
        ] {
            outbox.sql(&format!(
                "INSERT INTO outbox (event, data, time, tenant) VALUES ('{event}', '{data}', {time}, {tenant})"
            ));
        }
        outbox.sql(&format!(
            "INSERT INTO outbox (event, data, time) VALUES ('e', '{{\"n\":7}}', {time})"
        ));
        receiver.wait(seen + 1, SOON);
        assert_eq!(arrived(&receiver)[seen..], [7]);
        seen += 1;
        outbox
            .world
            .wait_number("SELECT count(*) FROM rejected", 8, SOON);
        told.push(
            outbox
                .world
                .log("SELECT event, reason FROM rejected ORDER BY id"),
        );
        daemon.stop();
    });
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:#?}");
    let reasons: BTreeSet<&str> = told[0].iter().map(|row| &*row[1]).collect();
    assert_eq!(reasons.len(), 8, "{reasons:#?}");
}

#[test]
fn the_table_refuses_what_breaks_its_rules() {
    each(&[], "", |outbox| {
        let refused = |columns: &str, values: &str, rule: &str| {
            let sql = format!("INSERT INTO outbox ({columns}) VALUES ({values})");
            let said = outbox.try_sql(&sql).unwrap_err();
            assert!(said.contains(rule), "{}: {sql}: {said}", outbox.name());
        };
        let (event, tenant, key) = (
            "event is 1 to 255 of A-Z a-z 0-9 - _ . : /",
            "tenant is text",
            "key is text",
        );
        refused("event, data", "'a b', '{}'", event);
        refused("event, data", "'', '{}'", event);
        refused("event, data, tenant", "'a', '{}', ''", tenant);
        refused("event, data, key", "'a', '{}', ''", key);
        outbox.emit("a", "{}");
        outbox.sql("DELETE FROM outbox");
        refused(
            "id, event, data",
            "1, 'a', '{}'",
            "outbox.id is given by the database",
        );
        outbox
            .try_sql("INSERT INTO outbox (event, data) VALUES ('a', '{')")
            .unwrap_err();
        let with_key = "INSERT INTO outbox (event, data, key) VALUES ('a', '{}', 'k')";
        outbox.sql(with_key);
        outbox.try_sql(with_key).unwrap_err();
    });
}

#[test]
fn a_person_decides_where_a_new_log_begins_in_an_old_outbox() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], "", |outbox| {
        let old = outbox.time(1_600_000_000_000);
        for n in 0..3 {
            outbox.sql(&format!(
                "INSERT INTO outbox (event, data, time) VALUES ('e', '{{\"n\":{n}}}', {old})"
            ));
        }
        let mut daemon = outbox.world.spawn(&[]);
        assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
        let journal = daemon.journal();
        assert!(journal.contains("3 events since"), "{journal}");
        let checked = outbox.world.command(&["check"]).expect(2);
        assert!(
            checked.stderr.contains("3 events since"),
            "{}",
            checked.stderr
        );
        outbox.world.command(&["start-from", "now"]).expect(0);
        outbox.emit("e", "{\"n\":3}");
        let daemon = outbox.world.start();
        receiver.wait(seen + 1, SOON);
        daemon.stop();
        assert_eq!(arrived(&receiver)[seen..], [3]);
        outbox.world.command(&["start-from", "beginning"]).expect(0);
        let daemon = outbox.world.start();
        receiver.wait(seen + 5, SOON);
        daemon.stop();
        let mut all = arrived(&receiver)[seen + 1..].to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        seen += 5;
    });
}

#[test]
fn what_people_ask_is_answered() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let more = "[socket]\npath = \"webhooksd.sock\"";
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], more, |outbox| {
        let checked = outbox.world.command(&["check"]).expect(0);
        assert!(checked.stdout.contains("no errors"), "{}", checked.stdout);
        let daemon = outbox.world.start();
        outbox.emit("e", "{\"n\":0}");
        receiver.wait(seen + 1, SOON);
        let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        outbox.world.wait_number(delivered, 1, SOON);
        let id = outbox.world.log("SELECT event_id FROM delivery")[0][0].clone();
        let told = outbox.world.command(&["explain", &id]).expect(0).stdout;
        assert!(told.contains("one") && !told.contains("alone"), "{told}");
        let status = outbox.world.command(&["status"]).expect(0).stdout;
        assert!(status.contains("one"), "{status}");
        outbox.world.command(&["redeliver", "1"]).expect(0);
        receiver.wait(seen + 2, SOON);
        // Nothing more comes of one row.
        stays(
            "no third request",
            std::time::Duration::from_millis(300),
            || {
                check(receiver.count() == seen + 2, || {
                    receiver.count().to_string()
                })
            },
        );
        daemon.stop();
        seen += 2;
    });
}

#[test]
fn a_daemon_that_is_killed_sends_what_it_had_not() {
    let receiver = Receiver::ok();
    let mut from = 0;
    each(&[hook("one", receiver.url("/"))], "", |outbox| {
        for round in 0..4 {
            let daemon = outbox.world.start();
            let values: Vec<_> = (0..200)
                .map(|n| format!("('e', '{{\"n\":{}}}')", round * 200 + n))
                .collect();
            outbox.sql(&format!(
                "INSERT INTO outbox (event, data) VALUES {}",
                values.join(", ")
            ));
            // Somewhere in the middle of them.
            let least = receiver.count() + 20 * (round + 1);
            eventually("some came", SOON, || {
                let seen = receiver.count();
                check(seen >= least || round > 0, || seen.to_string())
            });
            daemon.kill();
        }
        let daemon = outbox.world.start();
        eventually("all came", SOON, || {
            let all: BTreeSet<i64> = arrived(&receiver)[from..].iter().copied().collect();
            check(all.len() == 800, || all.len().to_string())
        });
        daemon.stop();
        from = receiver.count();
    });
}
