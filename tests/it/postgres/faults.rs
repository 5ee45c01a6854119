//! Bad days with three nodes on one log, by real processes and servers: nodes are killed and stand still, the server is
//! killed, a standby that lacks the last commits takes over.
//!
//! Each holds that nothing is lost that the server has, that what comes twice was on its way when the fault came, that no
//! webhook has more in flight than it may have and that an order holds. `WEBHOOKSD_FAULT_ROUNDS=10` runs each ten times
//! and under more load, and prints what came of it; alone on the machine, and with `--release`. `WEBHOOKSD_FAULT_LEASE=3s` has
//! the nodes take that lease in place of a second, for those that are killed. Left out: every node that comes and goes in
//! peace (`nodes`).

mod endpoints;
mod round;

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Database, Postgres, SOON, check, eventually, nap, postgres};
use endpoints::Fails;
use round::{Figures, Round};

/// How often each is run where that is asked for.
fn asked() -> Option<usize> {
    let told = std::env::var("WEBHOOKSD_FAULT_ROUNDS").ok();
    told.map(|text| text.parse().unwrap())
}

/// Between two commits of events: some 250 deliveries a second, or 700.
fn pause() -> Duration {
    Duration::from_millis(if asked().is_some() { 65 } else { 190 })
}

/// A failure in 25; where the test is short, only at its begin, for they are tried again after 5 s.
fn fails() -> Fails {
    Fails {
        one_in: 25,
        below: if asked().is_some() { i64::MAX } else { 20 },
        below_in_order: 20,
    }
}

/// Runs a fault as often as asked for, and shows what came of it.
fn rounds(what: &str, mut round: impl FnMut() -> Option<Figures>) {
    let count = asked().unwrap_or(1);
    let all: Option<Vec<Figures>> = (0..count).map(|_| round()).collect();
    // Where there is no server that was said.
    let Some(all) = all else { return };
    let sum = |of: fn(&Figures) -> usize| all.iter().map(of).sum::<usize>();
    let mut took: Vec<_> = all.iter().flat_map(|one| &one.took_over).collect();
    took.sort();
    let half = took.get(took.len() / 2).zip(took.last());
    let twice: Vec<_> = all.iter().map(|one| one.twice).collect();
    let text = format!(
        "{what}: 0 lost of {} events, {} requests, twice {} {twice:?}, sent and not in the outbox that is left {}, \
         again after (half of them, all) {half:.2?} of {}",
        sum(|one| one.events),
        sum(|one| one.requests),
        sum(|one| one.twice),
        sum(|one| one.unknown),
        took.len()
    );
    println!("{text}");
}

#[test]
fn without_a_fault_each_comes_once() {
    let Some(server) = postgres() else { return };
    rounds("none", || {
        let database = server.database();
        let url = database.url();
        let round = Round::begin(&url, vec![database], fails(), pause());
        nap(Duration::from_secs(2));
        Some(round.end())
    });
}

#[test]
fn nodes_that_are_killed_are_taken_over() {
    let Some(server) = postgres() else { return };
    rounds("kill -9, four times, two of them in a row", || {
        let database = server.database();
        let url = database.url();
        let mut round = Round::begin(&url, vec![database], fails(), pause());
        for nodes in [1, 2, 1] {
            round.kill(nodes);
        }
        Some(round.end())
    });
}

#[test]
fn nodes_that_stand_still_are_taken_over_and_begin_anew() {
    let Some(server) = postgres() else { return };
    rounds("SIGSTOP of 3, 2.5, 0.6 s, and of two at once", || {
        let database = server.database();
        let url = database.url();
        let mut round = Round::begin(&url, vec![database], fails(), pause());
        for (nodes, ms) in [(1, 3_000), (1, 2_500), (1, 600), (2, 2_500)] {
            round.stop(nodes, Duration::from_millis(ms));
        }
        Some(round.end())
    });
}

#[test]
fn a_server_that_is_killed_is_waited_for_and_nobody_taken_over() {
    let Some(mut server) = Postgres::own(&["fsync=on"]) else {
        return;
    };
    rounds("server killed twice, once away for 2 s", || {
        let database = server.database();
        let url = database.url();
        let mut round = Round::begin(&url, vec![database], fails(), pause());
        for away in [Duration::ZERO, Duration::from_secs(2)] {
            // What its WAL's writer had not written yet.
            round.forgets(Duration::from_millis(600));
            server.kill();
            nap(away);
            server.up();
            round.serves_again();
        }
        Some(round.end())
    });
}

/// Two servers, and both in one URL.
fn pair() -> Option<(Postgres, Postgres, String, Vec<Database>)> {
    let primary = Postgres::own(&["fsync=on"])?;
    let database = primary.database();
    let standby = primary.standby();
    let other = standby.named(&database.name);
    let url = super::failover::both(&database, &other);
    Some((primary, standby, url, vec![database, other]))
}

/// Has a standby take over that is behind by so much; `stopped` nodes stand still across it.
fn fail_over(fails: Fails, stopped: usize) -> Option<Figures> {
    let (mut primary, standby, url, databases) = pair()?;
    let mut round = Round::begin(&url, databases, fails, pause());
    let behind = Duration::from_millis(700);
    standby.detach();
    nap(behind);
    if stopped > 0 {
        round.send(stopped, Signal::STOP);
        nap(Duration::from_millis(300));
    }
    round.forgets(behind + Duration::from_millis(600));
    primary.kill();
    standby.promote();
    round.left_with(1);
    if stopped > 0 {
        nap(Duration::from_secs(1));
        round.goes_on(stopped);
    }
    round.serves_again();
    eventually("it is written to", SOON, || {
        let written = standby.psql("postgres", "SELECT NOT pg_is_in_recovery()");
        check(written == "t", || written)
    });
    nap(Duration::from_secs(1));
    Some(round.end())
}

#[test]
fn a_standby_that_is_behind_takes_over() {
    rounds("failover to a standby 0.7 s behind", || {
        fail_over(fails(), 0)
    });
}

#[test]
fn a_standby_takes_over_while_two_nodes_stand_still() {
    rounds(
        "the same across two stopped nodes, endpoints that fail once",
        || {
            fail_over(
                Fails {
                    one_in: 1,
                    below: 14,
                    below_in_order: 3,
                },
                2,
            )
        },
    );
}
