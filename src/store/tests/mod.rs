//! Tests of the log as a whole, on real files in folders of their own.
//!
//! What is shared here makes admissions and attempts as the pipeline does. Time is what a test says
//! it is, but for the view `health`, which asks SQLite for the time.

mod alike;
mod bodies;
mod contract;
mod days;
mod earlier;
mod early;
mod engine;
mod faulty;
mod files;
mod gaps;
mod held;
mod keep;
// One rule for all tests: what is not installed is said, and in CI is a failure.
#[path = "../../../tests/it/support/need.rs"]
mod need;
mod nodes;
mod own;
mod pauses;
mod people;
mod rights;
mod server;
mod shapes;
mod taken;
mod together;
mod turns;
mod unanswered;
mod versions;
mod whole;
mod withdraw;
mod work;
mod written;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use rusqlite::Connection;

use super::*;
use crate::model::print::Columns;
use crate::model::{
    Admission, Answer, Attempt, Class, Clock, Cursor, Dialect, Due, EventId, Exchange, Failure,
    FanOut, Generation, Phases, Print, Rejected, SentHeaders, Url, Verdict,
};

const NOW: i64 = 1_700_000_000_123;

struct Log {
    _folder: TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        Self {
            _folder: folder,
            path,
        }
    }

    fn open(&self) -> Store {
        Store::open(&self.path, NOW).unwrap()
    }

    /// What a query of one value says, on a connection of its own.
    fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let connection = connect::reader(&self.path).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        let connection = Connection::open(&self.path)?;
        let mut persist = 1;
        connection.file_control(
            None::<&str>,
            rusqlite::FileControl::PersistWal(&mut persist),
        )?;
        connection.execute_batch(sql)
    }
}

fn cursor(event_id: i64) -> Cursor {
    Cursor {
        generation: Generation::new(3),
        event_id: EventId::new(event_id),
        fingerprints: vec![
            (
                EventId::new(event_id),
                Print::Columns(Columns::from_bytes([7; 16])),
            ),
            (EventId::new(1), Print::Whole([255; 16])),
        ],
        former: Vec::new(),
        time_ms: NOW,
        snapshot: None,
    }
}

/// One event for each id, for each of the webhooks.
fn admission(ids: std::ops::RangeInclusive<i64>, webhooks: &[&str]) -> Admission {
    let last = *ids.end();
    let events = ids.map(|event_id| FanOut {
        event_id: EventId::new(event_id),
        event: "story-approve".into(),
        message: None,
        bodies: vec![
            (Dialect::BoldCms, format!("{{\"cms\":{event_id}}}").into()),
            (Dialect::OpenboxesLift, Bytes::from("{\"lift\":\"\u{e4}\"}")),
        ],
        webhooks: webhooks
            .iter()
            .enumerate()
            .map(|(n, name)| ((*name).into(), n % 2))
            .collect(),
        turns: Vec::new(),
        tenant: None,
    });
    Admission {
        events: events.collect(),
        rejected: Vec::new(),
        cursor: cursor(last),
        gaps: Vec::new(),
    }
}

fn attempt(due: &Due, started_at_ms: i64, verdict: Verdict) -> Attempt {
    let result = if verdict == Verdict::Delivered {
        Ok(Answer {
            status: 204,
            headers: "server: x".into(),
            body: b"fine".to_vec(),
            truncated: false,
            turned_away: None,
        })
    } else {
        Err(Failure {
            class: Class::Refused,
            text: "refused".into(),
        })
    };
    Attempt {
        due: due.clone(),
        number: due.attempts + 1,
        started_at_ms,
        finished_at_ms: started_at_ms + 12,
        url: Arc::new(Url::parse("https://h.example/x").unwrap()),
        request_headers: SentHeaders::of("Host: h.example".into(), None),
        trace: None,
        exchange: Exchange {
            result,
            phases: Phases {
                connect_us: Some(1500),
                proxy_us: Some(2500),
                ..Phases::default()
            },
            peer: Some("127.0.0.1:443".parse().unwrap()),
            duration_us: 12_345,
            note: None,
        },
        verdict,
        error: (verdict != Verdict::Delivered).then(|| "refused".to_owned()),
        posted: None,
        held_until_ms: None,
    }
}
