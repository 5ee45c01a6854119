//! Several events in one POST: what an endpoint sees of it, and what that means for each of them.
//!
//! The form is written down here a second time: the array, and which answers split it. Held besides: the same
//! batch has the same bytes, whatever happens in between, until it is split or some of it ended otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::hooks::Sending;
use super::oracle::Oracle;
use super::rng::Rng;
use super::traced::Traces;
use crate::model::{Dialect, Request};

/// What is known of the batches of a run, by their ids.
#[derive(Default)]
pub(super) struct Batches {
    known: BTreeMap<String, (Vec<i64>, Bytes)>,
    /// The batch that a delivery last went in, which it has to go in again.
    again: BTreeMap<i64, String>,
    /// The ids that bodies were sent with as messages, by the bodies' ids.
    pub(super) messages: BTreeMap<i64, String>,
    pub(super) traces: Traces,
}

/// What an answer means for one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meant {
    /// The batch goes in halves.
    pub(super) split: bool,
    /// A success that names this event a failure.
    pub(super) named: bool,
}

/// The header's value, where the request is an array.
fn batch(request: &Request) -> Option<String> {
    let header = request.headers.iter().find(|h| h.name == "X-Webhook-Batch");
    header.map(|header| header.value.to_string())
}

/// Whether the status may be one event's fault.
fn splits(status: Option<u16>) -> bool {
    matches!(status, Some(400..=499)) && !matches!(status, Some(408 | 429))
}

impl Oracle {
    /// A request begins, of one event or several.
    pub(super) fn begin_all(
        &mut self,
        to: &Arc<str>,
        sending: &[Sending],
        request: &Request,
        act: &str,
    ) {
        let batch = batch(request);
        self.is_message(sending, request);
        self.is_traced(sending, request);
        for (place, one) in sending.iter().enumerate() {
            let body = if batch.is_some() {
                &one.due.body
            } else {
                &request.body
            };
            self.begin(to, one, body, act, place == 0);
        }
        self.stand_together(to, sending);
        let Some(name) = batch else {
            for one in sending {
                self.batches.again.remove(&one.due.id.get());
            }
            if sending.len() != 1 {
                self.broke("several events went without a batch");
            }
            return;
        };
        self.count("arrays");
        if sending.len() > 1 {
            self.count("arrays of several");
        }
        let ids: Vec<i64> = sending.iter().map(|one| one.due.id.get()).collect();
        self.note(&format!("{name} is {ids:?}"));
        let elements: Vec<&[u8]> = sending.iter().map(|one| &*one.due.body).collect();
        let array = [b"[", &*elements.join(&b","[..]), b"]"].concat();
        if array != request.body {
            self.broke(&format!("{name} is not the array of {ids:?}"));
        }
        let first = &sending[0].due;
        let alike = sending.iter().all(|one| {
            one.due.attempts == first.attempts && one.due.dialect == Dialect::OpenboxesLift
        });
        if !alike || !sending.is_sorted_by_key(|one| one.due.event_id) {
            self.broke(&format!("{name}: {ids:?} do not belong together"));
        }
        self.is_the_same(&name, &ids);
        for id in &ids {
            self.batches.again.insert(*id, name.clone());
        }
        let known = (ids, request.body.clone());
        let before = self.batches.known.insert(name.clone(), known.clone());
        if before.is_some_and(|before| before != known) {
            self.broke(&format!("{name} has other bytes than before"));
        }
    }

    /// What went in a batch goes in it again, unless some of that has ended otherwise.
    fn is_the_same(&mut self, name: &str, ids: &[i64]) {
        for id in ids {
            let Some(before) = self.batches.again.get(id).filter(|before| *before != name) else {
                continue;
            };
            let members = self
                .batches
                .known
                .get(before)
                .map_or(&[][..], |(ids, _)| ids);
            let is_whole = |id: &i64| {
                let sent = self.sent.get(id);
                sent.is_some_and(|sent| sent.state == "pending")
                    && self.batches.again.get(id) == Some(before)
            };
            if members.iter().all(is_whole) {
                self.broke(&format!("delivery {id} of {before} goes in {name}"));
                return;
            }
        }
    }

    /// The answer's body, where it names some of the events.
    pub(super) fn names_some(&mut self, sending: &[Sending], request: &Request) -> Vec<usize> {
        if batch(request).is_none() || !self.rng.in_thousand(200) {
            return Vec::new();
        }
        let rng: &mut Rng = &mut self.rng;
        let drawn: Vec<usize> = (0..sending.len())
            .filter(|_| rng.in_thousand(300))
            .collect();
        // An event that was sent again twice goes twice, under one id.
        let is_named = |place: &usize| {
            drawn
                .iter()
                .any(|one| id(sending, *one) == id(sending, *place))
        };
        (0..sending.len()).filter(is_named).collect()
    }

    /// A request ended.
    pub(super) fn end_all(
        &mut self,
        sending: &[Sending],
        request: &Request,
        status: Option<u16>,
        named: &[usize],
    ) {
        let split = batch(request).is_some() && sending.len() > 1 && splits(status);
        if split {
            self.count("splits");
        }
        let goes_again = !split && !matches!(status, Some(200..=299));
        for (place, one) in sending.iter().enumerate() {
            let id = one.due.id.get();
            let named = named.contains(&place);
            if named {
                self.count("named failures");
            }
            if !goes_again {
                self.batches.again.remove(&id);
            }
            self.end(id, status, Meant { split, named });
        }
    }
}

/// The body of a success that names those events.
pub(super) fn failures(sending: &[Sending], named: &[usize]) -> Vec<u8> {
    let ids = named.iter().map(|place| id(sending, *place));
    let list: Vec<String> = ids
        .map(|id| format!(r#"{{"id":"{id}","error":"no"}}"#))
        .collect();
    format!(r#"{{"failures":[{}]}}"#, list.join(",")).into_bytes()
}

/// The id of the event in that place.
fn id(sending: &[Sending], place: usize) -> &str {
    let text = std::str::from_utf8(&sending[place].due.body).unwrap();
    text.split('"').nth(3).unwrap()
}
