//! Another transaction holds what a statement needs: it is told who that is, in the journal, `/health` and by commands, and
//! all goes on once it has ended. Nothing is lost, and nothing comes twice.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};

use super::logging_by;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Database, Receiver, SOON, check, eventually, hook, postgres};

/// A session of somebody else's, in the midst of a transaction.
pub(super) struct Held {
    input: ChildStdin,
    session: Child,
}

impl Held {
    /// Begins one and has it run a statement.
    pub(super) fn by(database: &Database, sql: &str) -> Self {
        let mut session = database.psql().stdout(Stdio::null()).spawn().unwrap();
        let mut input = session.stdin.take().unwrap();
        writeln!(input, "BEGIN; {sql}; SELECT pg_advisory_lock(4711);").unwrap();
        eventually("it is held", SOON, || {
            let held = database.sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 4711
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            );
            check(held == "1", || held)
        });
        Self { input, session }
    }

    /// Ends it, as if it had not been.
    pub(super) fn roll_back(mut self) {
        writeln!(self.input, "ROLLBACK;").unwrap();
        drop(self.input);
        self.session.wait().unwrap();
    }
}

#[test]
fn who_is_in_the_way_of_the_log_is_told_and_it_goes_on_behind() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    // A user who may do what a group may, which owns the log and may not see what the user waits for.
    database.sql(
        "CREATE ROLE blocked_group; CREATE ROLE blocked_user LOGIN NOINHERIT IN ROLE blocked_group;
         ALTER ROLE blocked_user SET role = blocked_group;
         CREATE SCHEMA webhooksd AUTHORIZATION blocked_group; GRANT SELECT, DELETE ON outbox TO blocked_group;
         GRANT USAGE ON SCHEMA public TO blocked_group",
    );
    let hooks = [hook("one", receiver.url("/"))];
    let world = logging_by(&database.url_as("blocked_user"), SECTION, &hooks);
    let daemon = world.start();
    database.emit("e", "{\"n\":0}");
    receiver.wait(1, SOON);
    // Tables for itself, as a VACUUM FULL has them; and the row that a node's transactions begin with.
    for (n, held, command) in [
        (
            1,
            "LOCK TABLE webhooksd.attempt, webhooksd.pending IN ACCESS EXCLUSIVE MODE",
            Some("status"),
        ),
        (2, "SELECT FROM webhooksd.node FOR UPDATE", None),
    ] {
        let before = daemon.journal().len();
        let held = Held::by(&database, held);
        database.emit("e", &format!("{{\"n\":{n}}}"));
        let told = |said: &str| {
            said.contains("another transaction is in the way: process ")
                && said.contains("psql")
                && said.contains("pg_terminate_backend")
        };
        eventually("it is told", SOON, || {
            let journal = daemon.journal().split_off(before);
            check(told(&journal), || journal)
        });
        eventually("it is not well", SOON, || {
            let health = curl(&world, "/health", &[]);
            let is_told = health.body.contains("another transaction is in the way");
            check(health.status == 503 && is_told, || health.body)
        });
        if let Some(command) = command {
            let said = world.command(&[command]).expect(1).stderr;
            assert!(told(&said), "{command}: {said}");
        }
        held.roll_back();
        receiver.wait(n + 1, SOON);
        eventually("it is well", SOON, || {
            let health = curl(&world, "/health", &[]);
            check(health.status == 200, || health.body)
        });
    }
    daemon.stop();
    assert_eq!(receiver.count(), 3, "each once");
}
