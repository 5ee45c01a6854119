//! What is withheld from the log's user: while the daemon runs it says which, waits, and goes on by itself once it is
//! given back; before a start `check` says so, and `run`. Nothing is lost, and nothing comes twice.

use super::{logging_apart, logging_by};
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Database, Postgres, Receiver, SOON, World, check, eventually, hook};

/// What a person does to a user, in the log's database; how it is undone; and the words by which it is told.
struct Trial {
    name: &'static str,
    taken: &'static str,
    given: &'static str,
    /// The connections that there are have to end for it to be felt.
    ends: bool,
    told: &'static [&'static str],
}

const TRIALS: [Trial; 9] = [
    Trial {
        name: "the schema",
        taken: "REVOKE ALL ON SCHEMA webhooksd FROM {user}",
        given: "GRANT ALL ON SCHEMA webhooksd TO {user}",
        ends: false,
        told: &[
            "permission denied for schema webhooksd",
            "owns the schema webhooksd",
        ],
    },
    Trial {
        name: "the tables",
        taken: "REVOKE ALL ON ALL TABLES IN SCHEMA webhooksd FROM {user}",
        given: "GRANT ALL ON ALL TABLES IN SCHEMA webhooksd TO {user}",
        ends: false,
        told: &["permission denied for", "owns the schema webhooksd"],
    },
    Trial {
        name: "all that it owns",
        taken: "REASSIGN OWNED BY {user} TO {user}_other",
        given: "REASSIGN OWNED BY {user}_other TO {user}",
        ends: false,
        told: &["permission denied for", "REASSIGN OWNED"],
    },
    Trial {
        name: "its login",
        taken: "ALTER ROLE {user} NOLOGIN",
        given: "ALTER ROLE {user} LOGIN",
        ends: true,
        told: &["is not permitted to log in", "pg_hba.conf"],
    },
    Trial {
        name: "its connections",
        taken: "ALTER ROLE {user} CONNECTION LIMIT 0",
        given: "ALTER ROLE {user} CONNECTION LIMIT -1",
        ends: true,
        told: &["too many connections for role", "raise max_connections"],
    },
    Trial {
        name: "the right to write",
        taken: "ALTER ROLE {user} SET default_transaction_read_only = on",
        given: "ALTER ROLE {user} RESET default_transaction_read_only",
        ends: true,
        told: &["it takes no writes", "default_transaction_read_only"],
    },
    Trial {
        name: "its time",
        taken: "ALTER ROLE {user} SET statement_timeout = 1; UPDATE webhooksd.slot SET owner = owner",
        given: "ALTER ROLE {user} RESET statement_timeout",
        ends: true,
        told: &[],
    },
    Trial {
        name: "its place in the database",
        taken: "REVOKE CONNECT ON DATABASE {database} FROM public",
        given: "GRANT CONNECT ON DATABASE {database} TO public",
        ends: true,
        told: &["permission denied for database", "pg_hba.conf"],
    },
    Trial {
        name: "its tables' names",
        taken: "ALTER SCHEMA webhooksd RENAME TO webhooksd_away",
        given: "ALTER SCHEMA webhooksd_away RENAME TO webhooksd",
        ends: false,
        told: &["there is no log in", "put back from a backup"],
    },
];

/// An outbox and a log of one server, the log by a user of its own.
struct Log<'s> {
    server: &'s Postgres,
    outbox: Database,
    log: Database,
    user: String,
}

impl<'s> Log<'s> {
    fn new(server: &'s Postgres, user: &str) -> Self {
        let (outbox, log) = (server.database(), server.database());
        let user = user.to_owned();
        log.sql(&format!(
            "CREATE ROLE {user} LOGIN; CREATE ROLE {user}_other; CREATE SCHEMA webhooksd AUTHORIZATION {user}"
        ));
        Self {
            server,
            outbox,
            log,
            user,
        }
    }

    fn world(&self, receiver: &Receiver) -> World {
        let urls = (&*self.outbox.url(), &*self.log.url_as(&self.user));
        logging_apart(urls, SECTION, &[hook("one", receiver.url("/"))])
    }

    fn sql(&self, sql: &str) {
        let sql = sql.replace("{user}", &self.user);
        self.log.sql(&sql.replace("{database}", &self.log.name));
    }

    fn end_connections(&self) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.user
        );
        self.server.psql("postgres", &sql);
    }
}

#[test]
fn what_is_taken_while_it_runs_is_told_of_and_waited_for() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let log = Log::new(server, "withheld");
    let receiver = Receiver::ok();
    let world = log.world(&receiver);
    let mut daemon = world.start();
    let mut sent = 0;
    let mut emit = || {
        sent += 1;
        log.outbox.emit("e", &format!("{{\"n\":{sent}}}"));
        usize::try_from(sent).unwrap()
    };
    for trial in &TRIALS {
        let (n, before) = (emit(), daemon.journal().len());
        receiver.wait(n, SOON);
        log.sql(trial.taken);
        if trial.ends {
            log.end_connections();
        }
        let n = emit();
        for word in trial.told {
            eventually(&format!("{word:?} of {}", trial.name), SOON, || {
                let journal = daemon.journal();
                let new = journal.get(before..).unwrap_or_default();
                check(new.contains(word), || journal.clone())
            });
        }
        if !trial.told.is_empty() {
            eventually("it is not well", SOON, || {
                let health = curl(&world, "/health", &[]);
                check(health.status == 503, || health.body)
            });
        }
        assert_eq!(daemon.ended(), None, "{}: {}", trial.name, daemon.journal());
        log.sql(trial.given);
        // What is set is felt by connections that are made then.
        if trial.ends {
            log.end_connections();
        }
        receiver.wait(n, SOON);
        eventually("it is well", SOON, || {
            let health = curl(&world, "/health", &[]);
            check(health.status == 200, || {
                format!("{}: {}", trial.name, health.body)
            })
        });
    }
    daemon.stop();
    assert_eq!(receiver.count(), 2 * TRIALS.len(), "each once");
}

#[test]
fn what_is_withheld_before_a_start_is_told_by_check_and_run() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let log = Log::new(server, "withheld_before");
    let receiver = Receiver::ok();
    let world = log.world(&receiver);
    let refused = |taken: &str, given: &str, words: &[&str]| {
        log.sql(taken);
        let checked = world.command(&["check"]).expect(2).stderr;
        let mut daemon = world.spawn(&[]);
        assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
        for said in [checked, daemon.journal()] {
            for word in words {
                assert!(said.contains(word), "{word:?} in {said}");
            }
        }
        log.sql(given);
    };
    // Before there is one.
    refused(
        "DROP SCHEMA webhooksd",
        "CREATE SCHEMA webhooksd AUTHORIZATION {user}",
        &["may not make the schema of log", "GRANT CREATE ON DATABASE"],
    );
    world.command(&["check"]).expect(0);
    world.start().stop();
    for (at, words) in [
        (0, &["permission denied for schema webhooksd"][..]),
        (2, &["permission denied for", "REASSIGN OWNED"]),
        (3, &["is not permitted to log in"]),
        (5, &["it takes no writes", "default_transaction_read_only"]),
        (7, &["permission denied for database"]),
    ] {
        refused(TRIALS[at].taken, TRIALS[at].given, words);
    }
    // Tables that are another's, though this user may write them.
    refused(
        "ALTER TABLE webhooksd.attempt OWNER TO {user}_other; GRANT ALL ON webhooksd.attempt TO {user}",
        "ALTER TABLE webhooksd.attempt OWNER TO {user}",
        &["may not change the tables of log", "REASSIGN OWNED"],
    );
    // A right to a table and to a sequence, of their owner.
    refused(
        "REVOKE INSERT, DELETE ON webhooksd.attempt FROM {user}; REVOKE USAGE ON SEQUENCE webhooksd.delivery_id FROM {user}",
        "GRANT ALL ON webhooksd.attempt TO {user}; GRANT ALL ON SEQUENCE webhooksd.delivery_id TO {user}",
        &[
            "this user lacks INSERT, DELETE of attempt; USAGE of delivery_id in log",
            "GRANT ALL ON ALL TABLES IN SCHEMA webhooksd",
        ],
    );
    world.start().stop();
}

#[test]
fn a_server_that_has_no_connection_is_waited_for_by_a_start() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let log = Log::new(server, "withheld_crowded");
    let receiver = Receiver::ok();
    let world = log.world(&receiver);
    log.outbox.emit("e", "{\"n\":1}");
    log.sql("ALTER ROLE {user} CONNECTION LIMIT 0");
    let told = world.command(&["check"]).expect(2).stderr;
    assert!(told.contains("raise max_connections"), "{told}");
    let mut daemon = world.spawn(&[]);
    daemon.wait_journal("the start waits until that has passed");
    daemon.wait_journal("too many connections for role");
    log.sql("ALTER ROLE {user} CONNECTION LIMIT -1");
    daemon.wait_ready();
    daemon.stop();
}

/// Time-outs and an isolation that some give all their users: no transaction is lost by them, nor made twice.
#[test]
fn a_user_with_odd_settings_loses_nothing() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    database.sql(
        "CREATE ROLE withheld_odd LOGIN; CREATE SCHEMA webhooksd AUTHORIZATION withheld_odd;
         GRANT SELECT, DELETE ON outbox TO withheld_odd;
         ALTER ROLE withheld_odd SET default_transaction_isolation = 'serializable';
         ALTER ROLE withheld_odd SET lock_timeout = '10ms';
         ALTER ROLE withheld_odd SET idle_in_transaction_session_timeout = '10ms';
         ALTER ROLE withheld_odd SET idle_session_timeout = '300ms'",
    );
    let receiver = Receiver::ok();
    let hooks: Vec<_> = (0..4)
        .map(|n| hook(&format!("w{n}"), receiver.url(&format!("/{n}"))))
        .collect();
    let world = logging_by(&database.url_as("withheld_odd"), "", &hooks);
    let one = world.start_with(&["--node", "one"]);
    let two = world.start_with(&["--node", "two"]);
    for n in 0..40 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    eventually("all is in the log", SOON, || {
        let states = database.sql("SELECT state, count(*) FROM webhooksd.delivery GROUP BY state");
        check(states == "delivered|160", || states)
    });
    two.stop();
    one.stop();
    assert_eq!(receiver.count(), 160, "each once");
}
