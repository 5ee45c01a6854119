//! A log in PostgreSQL goes by whole days: in weeks of its own time, with readers that stay and leaders that die.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Engine as _, admit};
use super::server::{ServerLog, postgres};
use super::*;
use crate::postgres::Link;
use crate::store::WalBounds;
use crate::store::postgres::Writer;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A midnight behind every clock: ids are of the days that a test says it is.
const BEGIN: i64 = 46_300 * DAY;

/// Longer than anything takes.
const SOON: Duration = Duration::from_secs(60);

/// What one question says.
macro_rules! ask {
    ($kind:ty, $link:expr, $sql:expr $(,)?) => {
        $link.rows("ask", $sql, &[]).unwrap()[0].get::<_, $kind>(0)
    };
}

/// How many tables of days there are for a kind, from that day on.
fn tables(link: &Link, of: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'webhooksd'::regnamespace AND relkind = 'r'
          AND relname ~ '^{of}_2096[0-9]{{4}}$'"
    );
    ask!(_, link, &sql)
}

/// What a leader does once in a day, and two events, of which `ends` says what comes of their second.
fn day(log: &mut dyn LogWriter, server: &ServerLog, day: i64, ends: Verdict) -> Vec<Due> {
    let now_ms = BEGIN + day * DAY + HOUR;
    make_days(&server.server, now_ms).unwrap();
    log.mark(now_ms).unwrap();
    work(log, now_ms, day, ends)
}

/// The `n`th two events.
fn work(log: &mut dyn LogWriter, now_ms: i64, n: i64, ends: Verdict) -> Vec<Due> {
    let two = admission(2 * n + 1..=2 * n + 2, &["a"]);
    let made = admit(log, &two, now_ms);
    log.record(&[
        attempt(&made[0], now_ms, Verdict::Delivered),
        attempt(&made[1], now_ms, ends),
    ])
    .unwrap();
    made
}

fn sweep(log: &mut dyn LogWriter, before_ms: i64) -> usize {
    let mut rows = 0;
    for _ in 0..1_000 {
        let swept = log.sweep(before_ms, 50).unwrap();
        rows += swept.rows;
        if !swept.more {
            return rows;
        }
    }
    panic!("the sweep does not end");
}

fn is_there(engine: &ServerLog, due: &Due) -> bool {
    engine.reads().delivery(due.id).unwrap().is_some()
}

#[test]
fn forty_days_go_by_and_the_last_ten_stay_with_all_that_is_pending() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let mut log = engine.open();
    let (mut made, mut dropped) = (Vec::new(), 0);
    for n in 0..40 {
        let ends = match n {
            3 => Verdict::RetryAt(BEGIN + 99 * DAY),
            5 => Verdict::Failed,
            _ => Verdict::Delivered,
        };
        made.push(day(&mut *log, &engine, n, ends));
        if n == 20 {
            // Another one leads from now on.
            drop(log);
            log = Box::new(Writer::open(&engine.server, "other", NOW).unwrap());
        }
        let before_ms = BEGIN + n * DAY + HOUR - 10 * DAY;
        let gone = expire_days(&engine.server, before_ms).unwrap();
        assert_eq!(gone.held, None);
        dropped += gone.tables;
        sweep(&mut *log, before_ms);
        // Ten whole days, today's, the one that is not over yet at its edge, and a week to come.
        let attempts = tables(&link, "attempt");
        assert!(attempts <= 10 + 1 + 1 + 8, "{attempts} on day {n}");
        // Bodies a day longer, and those that somebody needs.
        let bodies = tables(&link, "payload");
        assert!(bodies <= attempts + 2, "{bodies} on day {n}");
    }
    // Of day 3 the body stays. Those that the server's clock had made, before the test's, are nine.
    assert_eq!(dropped, 29 + 28 + 2 * 9);
    for (n, made) in made.iter().enumerate() {
        let there = (is_there(&engine, &made[0]), is_there(&engine, &made[1]));
        assert_eq!(there, (n >= 29, n >= 29 || n == 3), "day {n}");
    }
    let left = log.due("a", BEGIN + 100 * DAY, 9, usize::MAX, &|_| false);
    let left = left.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].body, made[3][1].body, "with all that it needs");
    let bodies: i64 = ask!(
        _,
        &link,
        "SELECT count(*) FROM webhooksd.payload WHERE event_id < 50",
    );
    assert_eq!(bodies, 1, "the others of its day have gone");
    // Once it is sent its day is like the others.
    let now_ms = BEGIN + 40 * DAY + HOUR;
    log.record(&[attempt(&left[0], now_ms, Verdict::Delivered)])
        .unwrap();
    for n in 41..54 {
        day(&mut *log, &engine, n, Verdict::Delivered);
        expire_days(&engine.server, BEGIN + n * DAY + HOUR - 10 * DAY).unwrap();
    }
    assert!(tables(&link, "payload") <= 10 + 1 + 1 + 8);
    assert!(!ask!(
        bool,
        &link,
        "SELECT EXISTS (SELECT FROM webhooksd.payload_old)"
    ));
}

/// Twelve days, of which two may go.
fn twelve(engine: &ServerLog) -> (Box<dyn LogWriter>, i64) {
    let mut log = engine.open();
    for n in 0..12 {
        day(&mut *log, engine, n, Verdict::Delivered);
    }
    (log, BEGIN + 2 * DAY + HOUR)
}

#[test]
fn what_a_leader_left_half_done_is_finished_by_the_next() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let (log, before_ms) = twelve(&engine);
    let days: Vec<String> = link
        .rows(
            "ask",
            "SELECT relname::text FROM pg_class WHERE relname ~ '^attempt_2096[0-9]{4}$' AND relkind = 'r' ORDER BY 1",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let there = tables(&link, "attempt");
    // One died behind its mark, another one between the two steps.
    let marked =
        |day: &String| format!("COMMENT ON TABLE webhooksd.{day} IS 'webhooksd: this day goes'");
    link.batch("mark", &marked(&days[0])).unwrap();
    link.batch("mark", &marked(&days[1])).unwrap();
    let detach = format!(
        "ALTER TABLE webhooksd.attempt DETACH PARTITION webhooksd.{} CONCURRENTLY",
        days[1]
    );
    link.batch("detach", &detach).unwrap();
    // And somebody keeps a day by hand.
    let kept = format!(
        "ALTER TABLE webhooksd.attempt DETACH PARTITION webhooksd.{}",
        days[2]
    );
    link.batch("detach", &kept).unwrap();
    drop(log);
    let mut log: Box<dyn LogWriter> = Box::new(Writer::open(&engine.server, "other", NOW).unwrap());
    expire_days(&engine.server, before_ms).unwrap();
    assert_eq!(tables(&link, "attempt"), there - 2);
    assert_eq!(
        expire_days(&engine.server, before_ms).unwrap(),
        Gone::default()
    );
    let rows: i64 = ask!(
        _,
        &link,
        &format!("SELECT count(*) FROM webhooksd.{}", days[2]),
    );
    assert_eq!(rows, 2, "a day that somebody took out stays");
    day(&mut *log, &engine, 12, Verdict::Delivered);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a server answers in real time")]
fn nobody_waits_for_a_day_whose_reader_stays() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let (mut log, before_ms) = twelve(&engine);
    let there = tables(&link, "attempt");
    let reader = Link::open(&engine.server).unwrap();
    reader
        .batch("read", "BEGIN; SELECT count(*) FROM webhooksd.log")
        .unwrap();
    let (told, hears) = mpsc::channel();
    let server = engine.server.clone();
    let expires = thread::spawn(move || {
        for _ in 0..2 {
            told.send(expire_days(&server, before_ms).unwrap()).unwrap();
        }
    });
    // Whoever comes meanwhile is through at once.
    link.batch("hurry", "SET lock_timeout = '300ms'").unwrap();
    let begun = Instant::now();
    let (mut rounds, mut n, now_ms) = (Vec::new(), 12, BEGIN + 12 * DAY);
    while rounds.len() < 2 {
        assert!(begun.elapsed() < SOON);
        rounds.extend(hears.try_recv());
        link.batch(
            "read",
            "SELECT count(*) FROM webhooksd.log; SELECT count(*) FROM webhooksd.delivery",
        )
        .unwrap();
        let waiting: i64 = ask!(
            _,
            &link,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND query !~ 'DETACH PARTITION'",
        );
        assert_eq!(waiting, 0);
        work(&mut *log, now_ms, n, Verdict::Delivered);
        n += 1;
    }
    expires.join().unwrap();
    assert!(
        rounds[0].held.is_some() && rounds[1].held.is_some(),
        "{rounds:?}"
    );
    assert_eq!(tables(&link, "attempt"), there);
    reader.batch("read", "COMMIT").unwrap();
    let gone = expire_days(&engine.server, before_ms).unwrap();
    assert_eq!(gone.held, None);
    assert_eq!(tables(&link, "attempt"), there - 2);
    work(&mut *log, now_ms, n, Verdict::Delivered);
}

#[test]
fn a_log_that_is_too_large_loses_whole_days() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let mut log = engine.open();
    let ends = Verdict::RetryAt(BEGIN + 99 * DAY);
    let made: Vec<_> = (0..5)
        .map(|n| {
            day(
                &mut *log,
                &engine,
                n,
                if n == 1 { ends } else { Verdict::Delivered },
            )
        })
        .collect();
    let now_ms = BEGIN + 4 * DAY + 2 * HOUR;
    link.batch("count", "ANALYZE").unwrap();
    let bounds = |used| SizeBounds {
        file: used,
        used,
        wal: WalBounds::NONE,
    };
    let shed = |used| shed_days(&engine.server, &bounds(used), now_ms).unwrap().0;
    let fits = shed(u64::MAX).unwrap();
    assert!(fits.used > 1_000 && !fits.more && !fits.stuck, "{fits:?}");
    assert!(shed(fits.used - 1).unwrap().more);
    let there = |n: usize| {
        (
            is_there(&engine, &made[n][0]),
            is_there(&engine, &made[n][1]),
        )
    };
    assert_eq!((there(0), there(1)), ((false, false), (true, true)));
    for _ in 0..3 {
        assert!(shed(0).unwrap().more);
    }
    assert_eq!(shed(0), None, "the day that is not over stays");
    assert_eq!((there(1), there(4)), ((false, true), (true, true)));
    assert!(
        log.shrink(&bounds(0), 9, now_ms, &|_, _| false)
            .unwrap()
            .stuck
    );
    let left = log.due("a", BEGIN + 100 * DAY, 9, usize::MAX, &|_| false);
    assert_eq!(left.unwrap()[0].body, made[1][1].body);
    assert!(ask!(bool, &link, "SELECT shortened FROM webhooksd.meta"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a server answers in real time")]
fn two_that_take_the_same_days_away_are_no_fault() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let mut log = engine.open();
    let days = 8;
    for n in 0..days {
        day(&mut *log, &engine, n, Verdict::Delivered);
    }
    let now_ms = BEGIN + days * DAY + HOUR;
    make_days(&engine.server, now_ms).unwrap();
    log.mark(now_ms).unwrap();
    let bounds = SizeBounds {
        file: 0,
        used: 0,
        wal: WalBounds::NONE,
    };
    let one_round = |which: usize| match which {
        0 => shed_days(&engine.server, &bounds, now_ms).map(|(_, gone)| gone.refused),
        _ => expire_days(&engine.server, now_ms).map(|gone| gone.refused),
    };
    let begun = Instant::now();
    // Today's, the one at the edge of the last mark, and a week to come.
    while tables(&link, "attempt") > 1 + 1 + 8 {
        assert!(begun.elapsed() < SOON, "{}", tables(&link, "attempt"));
        thread::scope(|scope| {
            let rounds = [0, 1, 1].map(|which| scope.spawn(move || one_round(which)));
            for round in rounds {
                assert_eq!(round.join().unwrap().unwrap(), []);
            }
        });
    }
}

#[test]
fn a_day_that_the_server_does_not_let_go_of_is_told_of_and_keeps_no_other() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = Link::open(&engine.server).unwrap();
    let (_log, before_ms) = twelve(&engine);
    let first: String = ask!(
        _,
        &link,
        "SELECT min(relname)::text FROM pg_class WHERE relname ~ '^attempt_2096[0-9]{4}$' AND relkind = 'r'",
    );
    let there = tables(&link, "attempt");
    let made = format!("CREATE VIEW mine AS SELECT * FROM webhooksd.{first}");
    link.batch("make", &made).unwrap();
    for left in [1, 1] {
        let gone = expire_days(&engine.server, before_ms).unwrap();
        let [(table, why)] = &*gone.refused else {
            panic!("{gone:?}");
        };
        assert_eq!(*table, first);
        assert!(why.contains("view mine depends on table"), "{why}");
        assert!(!why.contains('\n'), "{why}");
        assert_eq!(tables(&link, "attempt"), there - 2 + left);
    }
    link.batch("drop", "DROP VIEW mine").unwrap();
    let gone = expire_days(&engine.server, before_ms).unwrap();
    assert_eq!((gone.tables, &*gone.refused), (1, &[][..]));
    assert_eq!(tables(&link, "attempt"), there - 2);
}
