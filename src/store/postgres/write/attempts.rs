//! The rows of attempts: all of a call in one statement, a column an array.
//!
//! Texts stand in the row itself, the answer's body as bytes. Left out: what follows from an attempt (`records`).

use std::borrow::Cow;

use super::Transaction;
use super::bodies::keeps_answer;
use super::values::{
    clean, ints, maybe_blobs, maybe_ints, maybe_smalls, maybe_texts, maybe_truths, maybe_words,
    short, smalls, texts, words,
};
use crate::model::{Answer, Attempt, AttemptId, Bodies, Class, Phases};
use crate::postgres::{Trouble, Value};

const ATTEMPT: &str = "WITH made AS (
  INSERT INTO webhooksd.attempt (delivery_id, webhook, payload_id, origin, number, time, waited, took, outcome, status,
    duration_us, name_us, connect_us, proxy_us, tls_us, head_us, body_us, class, error, note, peer, url, request_headers,
    response_truncated, response_headers, response_body, batch)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::int[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::text[], $10::int[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[],
    $24::boolean[], $25::text[], $26::bytea[], $27::text[])
  RETURNING id)
SELECT max(id) FROM made";

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
    let webhooks: Vec<&str> = of(attempts, |a| &*a.due.webhook);
    let payloads = of(attempts, |a| a.due.payload_id.get());
    let origins: Vec<&str> = of(attempts, |a| a.due.origin.name());
    let numbers = of(attempts, |a| short(a.number));
    let times = of(attempts, |a| a.started_at_ms);
    let waited = of(attempts, |a| a.started_at_ms - a.due.created_at_ms);
    let took = of(attempts, |a| a.finished_at_ms - a.started_at_ms);
    let delivery: [Value<'_>; 8] = [
        ints(&ids),
        words(&webhooks),
        ints(&payloads),
        words(&origins),
        smalls(&numbers),
        ints(&times),
        ints(&waited),
        ints(&took),
    ];
    let statuses = of(attempts, |a| {
        answer(a).map(|answer| i32::from(answer.status))
    });
    let durations = of(attempts, |a| a.exchange.duration_us);
    let phases = [
        phase(attempts, |p| p.name_us),
        phase(attempts, |p| p.connect_us),
        phase(attempts, |p| p.proxy_us),
        phase(attempts, |p| p.tls_us),
        phase(attempts, |p| p.head_us),
        phase(attempts, |p| p.body_us),
    ];
    let outcomes = outcomes.to_vec();
    let mut values = Vec::with_capacity(27);
    values.extend(delivery);
    values.extend([words(&outcomes), maybe_smalls(&statuses), ints(&durations)]);
    values.extend(phases.iter().map(maybe_ints));
    let words_of = Words::of(attempts, bodies);
    values.extend(words_of.values());
    let last = t.first(ATTEMPT, &values, |row| row.try_get(0))?;
    Ok(AttemptId::new(last.unwrap_or_default()))
}

/// The columns that are text, or the answer's.
struct Words<'a> {
    classes: Vec<Option<&'a str>>,
    errors: Vec<Option<Cow<'a, str>>>,
    notes: Vec<Option<Cow<'a, str>>>,
    peers: Vec<Option<Cow<'a, str>>>,
    urls: Vec<&'a str>,
    requests: Vec<Cow<'a, str>>,
    truncated: Vec<Option<bool>>,
    headers: Vec<Option<Cow<'a, str>>>,
    answers: Vec<Option<&'a [u8]>>,
    batches: Vec<Option<&'a str>>,
}

impl<'a> Words<'a> {
    fn of(attempts: &'a [Attempt], bodies: Bodies) -> Self {
        let body = |a: &'a Attempt| {
            let answer = answer(a).filter(|_| keeps_answer(bodies, a));
            answer.map(|answer| &*answer.body)
        };
        let request = |a: &'a Attempt| match a.request_headers.text() {
            Cow::Borrowed(text) => clean(text),
            Cow::Owned(text) => Cow::Owned(clean(&text).into_owned()),
        };
        Self {
            classes: of(attempts, |a| a.exchange.class().map(Class::name)),
            errors: of(attempts, |a| a.error.as_deref().map(clean)),
            notes: of(attempts, |a| a.exchange.note.as_deref().map(clean)),
            peers: of(attempts, |a| {
                a.exchange.peer.map(|peer| peer.to_string().into())
            }),
            urls: of(attempts, |a| a.url.text()),
            requests: of(attempts, request),
            truncated: of(attempts, |a| answer(a).map(|answer| answer.truncated)),
            headers: of(attempts, |a| {
                answer(a).map(|answer| clean(answer.headers.lines()))
            }),
            answers: of(attempts, body),
            batches: of(attempts, |a| {
                a.posted.as_ref().map(|posted| &*posted.batch.name)
            }),
        }
    }

    fn values(&self) -> [Value<'_>; 10] {
        [
            maybe_words(&self.classes),
            maybe_texts(&self.errors),
            maybe_texts(&self.notes),
            maybe_texts(&self.peers),
            words(&self.urls),
            texts(&self.requests),
            maybe_truths(&self.truncated),
            maybe_texts(&self.headers),
            maybe_blobs(&self.answers),
            maybe_words(&self.batches),
        ]
    }
}
