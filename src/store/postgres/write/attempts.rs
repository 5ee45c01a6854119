//! The rows of attempts: all of a call in one statement, a column an array.
//!
//! Texts stand in the row itself, the answer's body as bytes. Left out: what follows from an attempt (`records`).

use std::borrow::Cow;

use super::Transaction;
use super::bodies::keeps_answer;
use super::rows::{Of, Rows};
use super::values::{clean, short};
use crate::model::{Answer, Attempt, AttemptId, Bodies, Class, Phases};
use crate::postgres::Trouble;

fn of<'a, T>(attempts: &'a [Attempt], column: impl Fn(&'a Attempt) -> T) -> Vec<T> {
    attempts.iter().map(column).collect()
}

fn answer(attempt: &Attempt) -> Option<&Answer> {
    attempt.exchange.result.as_ref().ok()
}

fn phase(attempts: &[Attempt], which: impl Fn(&Phases) -> Option<i64>) -> Vec<Option<i64>> {
    of(attempts, |attempt| which(&attempt.exchange.phases))
}

/// Writes them with these outcomes. Returns the last one's id.
pub(super) fn insert(
    t: &Transaction<'_>,
    bodies: Bodies,
    attempts: &[Attempt],
    outcomes: &[&str],
) -> Result<AttemptId, Trouble> {
    let ids = of(attempts, |a| a.due.id.get());
    let mut rows = Rows::new("attempt", "delivery_id", Of::Int, ids);
    add_what_it_was(&mut rows, attempts, outcomes);
    add_texts(&mut rows, bodies, attempts);
    let sql = format!(
        "WITH made AS ({} RETURNING id) SELECT max(id) FROM made",
        rows.sql()
    );
    let last = t.first(&sql, &rows.values(), |row| row.try_get(0))?;
    Ok(AttemptId::new(last.unwrap_or_default()))
}

/// Which delivery, when, and what came of it.
fn add_what_it_was<'a>(rows: &mut Rows<'a>, attempts: &'a [Attempt], outcomes: &[&'a str]) {
    let status = |a: &Attempt| answer(a).map(|answer| i32::from(answer.status));
    let waited = |a: &Attempt| a.started_at_ms - a.due.created_at_ms;
    let took = |a: &Attempt| a.finished_at_ms - a.started_at_ms;
    rows.add("webhook", Of::Word, of(attempts, |a| &*a.due.webhook))
        .add(
            "payload_id",
            Of::Int,
            of(attempts, |a| a.due.payload_id.get()),
        )
        .add("origin", Of::Word, of(attempts, |a| a.due.origin.name()))
        .add("number", Of::Small, of(attempts, |a| short(a.number)))
        .add("time", Of::Int, of(attempts, |a| a.started_at_ms))
        .add("waited", Of::Int, of(attempts, waited))
        .add("took", Of::Int, of(attempts, took))
        .add("outcome", Of::Word, outcomes.to_vec())
        .add("status", Of::Small, of(attempts, status))
        .add(
            "duration_us",
            Of::Int,
            of(attempts, |a| a.exchange.duration_us),
        )
        .add("name_us", Of::Int, phase(attempts, |p| p.name_us))
        .add("connect_us", Of::Int, phase(attempts, |p| p.connect_us))
        .add("proxy_us", Of::Int, phase(attempts, |p| p.proxy_us))
        .add("tls_us", Of::Int, phase(attempts, |p| p.tls_us))
        .add("head_us", Of::Int, phase(attempts, |p| p.head_us))
        .add("body_us", Of::Int, phase(attempts, |p| p.body_us));
}

/// What was sent and answered.
fn add_texts<'a>(rows: &mut Rows<'a>, bodies: Bodies, attempts: &'a [Attempt]) {
    let body = |a: &'a Attempt| {
        let answer = answer(a).filter(|_| keeps_answer(bodies, a));
        answer.map(|answer| &*answer.body)
    };
    let request = |a: &'a Attempt| match a.request_headers.text() {
        Cow::Borrowed(text) => clean(text),
        Cow::Owned(text) => Cow::Owned(clean(&text).into_owned()),
    };
    let peer = |a: &Attempt| a.exchange.peer.map(|peer| peer.to_string());
    let headers = |a: &'a Attempt| answer(a).map(|answer| clean(answer.headers.lines()));
    let batch = |a: &'a Attempt| a.posted.as_ref().map(|posted| &*posted.batch.name);
    let truncated = |a: &Attempt| answer(a).map(|answer| answer.truncated);
    let (error, note) = (
        |a: &'a Attempt| a.error.as_deref().map(clean),
        |a: &'a Attempt| a.exchange.note.as_deref().map(clean),
    );
    let class = |a: &Attempt| a.exchange.class().map(Class::name);
    rows.add("class", Of::Word, of(attempts, class))
        .add("error", Of::Word, of(attempts, error))
        .add("note", Of::Word, of(attempts, note))
        .add("peer", Of::Word, of(attempts, peer))
        .add("url", Of::Word, of(attempts, |a| a.url.text()))
        .add("request_headers", Of::Word, of(attempts, request))
        .add("response_truncated", Of::Truth, of(attempts, truncated))
        .add("response_headers", Of::Word, of(attempts, headers))
        .add("response_body", Of::Bytes, of(attempts, body))
        .add("batch", Of::Word, of(attempts, batch));
}
