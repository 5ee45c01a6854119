//! Several events in one POST, as `openboxes-lift` announces it: the array, its id, and what an answer
//! means for each of them.
//!
//! The vendor has published no more than the name; the form is this project's own, pinned in the manual. An
//! element is to the byte what would have gone alone. Left out: which events come together (`pipeline`).

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::verdict::{again, verdict};
use crate::model::{Answer, DeliveryId, Dialect, Due, Exchange, Fate, Verdict};

/// Bytes of an array that are none of its elements': two brackets, and a comma less than elements.
pub(crate) const BRACKETS: usize = 2;

/// Digits of a batch's id: half of a SHA-256.
const ID_BYTES: usize = 16;

/// Characters of a receiver's own words that are kept.
const WORDS: usize = 255;

/// Whether the dialect knows batches.
#[must_use]
pub(crate) fn is_batched(dialect: Dialect) -> bool {
    dialect == Dialect::OpenboxesLift
}

/// The body: the elements as they stand, in that order, `,` between.
#[must_use]
pub(crate) fn array<'a>(elements: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let bytes = elements
        .clone()
        .map(|element| element.len() + 1)
        .sum::<usize>();
    let mut array = Vec::with_capacity(bytes + 1);
    array.push(b'[');
    for (place, element) in elements.enumerate() {
        if place > 0 {
            array.push(b',');
        }
        array.extend_from_slice(element);
    }
    array.push(b']');
    array.into()
}

/// The batch's id, `batch-` and 32 hexadecimal digits: of what is in it, and of its first delivery, so that
/// the same event sent again by hand is another batch.
#[must_use]
pub(crate) fn batch_id(first: DeliveryId, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(first.get().to_be_bytes());
    hash.update(body);
    let digest = hash.finalize();
    let mut id = String::from("batch-");
    for byte in digest.iter().take(ID_BYTES) {
        for digit in [byte >> 4, byte & 15] {
            id.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    id
}

/// What a POST came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// For each delivery, with the words why it was no success.
    pub(crate) verdicts: Vec<(Verdict, Option<String>)>,
    /// For the batch.
    pub(crate) fate: Fate,
    /// What of the answer was passed over.
    pub(crate) warning: Option<String>,
}

/// What follows from the POST of these deliveries, which ended at `now_ms`.
#[must_use]
pub(crate) fn verdicts(
    dues: &[Due],
    max_attempts: u32,
    exchange: &Exchange,
    now_ms: i64,
) -> Judged {
    match exchange.status_of_the_endpoint() {
        Some(200..=299) => partial(dues, max_attempts, exchange, now_ms),
        Some(status) if dues.len() > 1 && splits(status) => {
            let error = format!("answered {status}; the batch of {} was split", dues.len());
            Judged {
                verdicts: vec![(Verdict::RetryAt(now_ms), Some(error)); dues.len()],
                fate: Fate::Split,
                warning: None,
            }
        }
        _ => {
            let judge = |due| verdict(due, max_attempts, exchange, now_ms);
            let verdicts: Vec<_> = dues.iter().map(judge).collect();
            Judged {
                fate: fate(&verdicts),
                verdicts,
                warning: None,
            }
        }
    }
}

/// Whether the status may be the fault of one event among them. 408 and 429 speak of the moment.
#[must_use]
pub(crate) fn splits(status: u16) -> bool {
    (400..=499).contains(&status) && !matches!(status, 408 | 429)
}

/// A 2xx: all are delivered but those that the answer names.
fn partial(dues: &[Due], max_attempts: u32, exchange: &Exchange, now_ms: i64) -> Judged {
    let mut judged = Judged {
        verdicts: vec![(Verdict::Delivered, None); dues.len()],
        fate: Fate::Over,
        warning: None,
    };
    let Ok(answer) = &exchange.result else {
        return judged;
    };
    if answer.truncated {
        return cut(judged, dues, max_attempts, (answer, now_ms));
    }
    let failures = match failures(&answer.body) {
        Ok(failures) => failures,
        Err(why) => {
            judged.warning = Some(format!("the answer's body was passed over: {why}"));
            return judged;
        }
    };
    let mut unknown = 0;
    for (id, words) in failures {
        let mut is_known = false;
        for (due, judged) in dues.iter().zip(&mut judged.verdicts) {
            if element_id(&due.body) == Some(&*id) {
                is_known = true;
                let error = format!(
                    "answered {}, but named it a failure: {words}",
                    answer.status
                );
                *judged = (again(due, max_attempts, now_ms), Some(error));
            }
        }
        unknown += usize::from(!is_known);
    }
    if unknown > 0 {
        judged.warning = Some(format!(
            "{unknown} of the failures in the answer's body name no event of the batch"
        ));
    }
    judged
}

/// A body that was not read whole. Where it speaks of failures nobody knows which events are among them: all of
/// them go again, as they are, for what comes twice is told apart by its id and what never comes is not.
fn cut(mut judged: Judged, dues: &[Due], max_attempts: u32, at: (&Answer, i64)) -> Judged {
    let (answer, now_ms) = at;
    if !speaks_of_failures(&answer.body) {
        judged.warning = Some("the answer's body was not read whole, and not looked at".to_owned());
        return judged;
    }
    let error = format!(
        "answered {}, but its list of failures was cut: which events it took is not known",
        answer.status
    );
    let judge = |due| (again(due, max_attempts, now_ms), Some(error.clone()));
    judged.verdicts = dues.iter().map(judge).collect();
    judged.fate = fate(&judged.verdicts);
    judged
}

/// What becomes of a batch that goes again whole, or has ended.
fn fate(verdicts: &[(Verdict, Option<String>)]) -> Fate {
    let goes_on = |(verdict, _): &(Verdict, _)| matches!(verdict, Verdict::RetryAt(_));
    match verdicts.iter().all(goes_on) {
        true => Fate::Again,
        false => Fate::Over,
    }
}

fn speaks_of_failures(body: &[u8]) -> bool {
    body.windows(10).any(|word| word == br#""failures""#)
}

/// The ids that a body names, with the receiver's words. None where it speaks of no failures.
fn failures(body: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    const FORM: &str = r#"it is not {"failures":[{"id":"evt-...","error":"..."}]}"#;
    if !speaks_of_failures(body) {
        return Ok(Vec::new());
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(FORM);
    };
    let Some(failures) = value.get("failures") else {
        return Ok(Vec::new());
    };
    let list = failures.as_array().ok_or(FORM)?;
    let named = |failure: &Value| {
        let id = failure.get("id")?.as_str()?;
        let words = failure
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("no reason given");
        let plain = words.chars().take(WORDS);
        let words = plain
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Some((id.to_owned(), words))
    };
    list.iter().map(named).collect::<Option<_>>().ok_or(FORM)
}

/// The event's id in an element, which begins with it.
fn element_id(body: &[u8]) -> Option<&str> {
    let rest = body.strip_prefix(br#"{"id":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::body;
    use crate::dialect::tests::event;
    use crate::model::{Class, EventId, Failure, PayloadId, Phases, Trigger};

    const NOW_MS: i64 = 1_619_007_030_964;

    fn due(id: i64, attempts: u32) -> Due {
        Due {
            id: DeliveryId::new(id),
            event_id: EventId::new(id),
            event: "e".into(),
            webhook: "w".into(),
            dialect: Dialect::OpenboxesLift,
            origin: Trigger::Event,
            attempts,
            due_at_ms: 0,
            created_at_ms: 0,
            payload_id: PayloadId::NONE,
            body: body(Dialect::OpenboxesLift, &event(id, "e", NOW_MS, "{}"), None),
            message: None,
            batch: None,
        }
    }

    fn answered(status: u16, body: &str) -> Exchange {
        Exchange {
            result: Ok(Answer {
                status,
                headers: "".into(),
                body: body.into(),
                truncated: false,
                turned_away: None,
            }),
            phases: Phases::default(),
            peer: None,
            duration_us: 1,
            note: None,
        }
    }

    fn judged(dues: &[Due], exchange: &Exchange) -> Judged {
        verdicts(dues, 10, exchange, NOW_MS)
    }

    #[test]
    fn an_array_is_its_elements_and_nothing_else() {
        let elements = [due(1, 0).body, due(2, 0).body];
        let two = array(elements.iter());
        let text = format!(
            "[{},{}]",
            str::from_utf8(&elements[0]).unwrap(),
            str::from_utf8(&elements[1]).unwrap()
        );
        assert_eq!(two, text);
        assert_eq!(
            two.len(),
            BRACKETS + elements[0].len() + 1 + elements[1].len()
        );
        assert_eq!(array([Bytes::from_static(b"{}")].iter()), "[{}]");
    }

    #[test]
    fn an_id_is_of_what_is_in_it() {
        let id = |first, body: &[u8]| batch_id(DeliveryId::new(first), body);
        // By Python's hashlib over eight bytes of 1 and the body.
        assert_eq!(id(1, b"[{}]"), "batch-d4cfdc6e181af777bff36b60a595c43d");
        assert_eq!(id(1, b"[{}]"), id(1, b"[{}]"));
        assert_ne!(id(1, b"[{}]"), id(2, b"[{}]"));
        assert_ne!(id(1, b"[{}]"), id(1, b"[{},{}]"));
    }

    #[test]
    fn a_2xx_delivers_all_but_those_that_it_names() {
        let dues = [due(1, 0), due(2, 0), due(3, 2)];
        let all = judged(&dues, &answered(200, "ok"));
        assert_eq!(all.verdicts, vec![(Verdict::Delivered, None); 3]);
        assert_eq!((all.fate, all.warning), (Fate::Over, None));
        let id = element_id(&dues[2].body).unwrap().to_owned();
        let body = format!(r#"{{"failures":[{{"id":"{id}","error":"no such\nbin"}}]}}"#);
        let but_one = judged(&dues, &answered(202, &body));
        assert_eq!(but_one.verdicts[..2], vec![(Verdict::Delivered, None); 2]);
        let error = "answered 202, but named it a failure: no such bin";
        let again = Verdict::RetryAt(NOW_MS + 1_800_000);
        assert_eq!(but_one.verdicts[2], (again, Some(error.into())));
        assert_eq!((but_one.fate, but_one.warning), (Fate::Over, None));
    }

    #[test]
    fn what_a_2xx_says_otherwise_is_passed_over_with_a_warning() {
        let dues = [due(1, 0), due(2, 0)];
        for (body, warned) in [
            ("", false),
            (r#"{"ok":true}"#, false),
            (r#"{"failures":[]}"#, false),
            (r#"{"failures":[{"id":"evt-other"}]}"#, true),
            (r#"{"failures":{}}"#, true),
            (r#"{"failures":["evt-1"]}"#, true),
            (r#"{"failures":["#, true),
        ] {
            let judged = judged(&dues, &answered(200, body));
            assert_eq!(judged.warning.is_some(), warned, "{body}");
            assert!(judged.verdicts.iter().all(|v| v.0 == Verdict::Delivered));
        }
    }

    #[test]
    fn a_list_of_failures_that_was_cut_has_all_go_again() {
        let dues = [due(1, 0), due(2, 0)];
        let cut = |body: &str| {
            let mut exchange = answered(200, body);
            if let Ok(answer) = &mut exchange.result {
                answer.truncated = true;
            }
            judged(&dues, &exchange)
        };
        for body in [r#"{"failures":["#, r#"{"failures":[]}"#] {
            let judged = cut(body);
            let again = Verdict::RetryAt(NOW_MS + 60_000);
            assert!(judged.verdicts.iter().all(|v| v.0 == again));
            assert_eq!(judged.fate, Fate::Again);
        }
        for body in ["", r#"{"fai"#, "ok, and much more"] {
            let judged = cut(body);
            assert!(judged.verdicts.iter().all(|v| v.0 == Verdict::Delivered));
            assert!(judged.warning.is_some(), "it is told of");
        }
    }

    #[test]
    fn a_4xx_splits_what_is_more_than_one() {
        let dues = [due(1, 0), due(2, 0)];
        for status in [400, 401, 404, 413, 422, 499] {
            let split = judged(&dues, &answered(status, ""));
            assert_eq!(split.fate, Fate::Split);
            assert!(
                split
                    .verdicts
                    .iter()
                    .all(|v| v.0 == Verdict::RetryAt(NOW_MS))
            );
            let alone = judged(&dues[..1], &answered(status, ""));
            assert_eq!(alone.fate, Fate::Again);
            assert_eq!(alone.verdicts[0].0, Verdict::RetryAt(NOW_MS + 60_000));
        }
        for status in [302, 408, 429, 500, 503] {
            assert_eq!(judged(&dues, &answered(status, "")).fate, Fate::Again);
        }
        let gone = Exchange {
            result: Err(Failure {
                class: Class::Refused,
                text: "refused".into(),
            }),
            ..answered(200, "")
        };
        assert_eq!(judged(&dues, &gone).fate, Fate::Again);
        let last = [due(1, 5), due(2, 5)];
        let over = judged(&last, &answered(500, ""));
        assert!(over.verdicts.iter().all(|v| v.0 == Verdict::Failed));
        assert_eq!(over.fate, Fate::Over);
    }
}
