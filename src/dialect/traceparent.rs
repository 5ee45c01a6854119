//! The `traceparent` of an attempt (W3C Trace Context, version 00), so that a receiver's traces meet our log.
//!
//! A trace is a delivery's: its retries are further spans of it, and a delivery that is made anew, by a redelivery or a
//! replay, is another trace, for it may come when whoever keeps traces has long closed the first. Events with
//! thousands of webhooks, and receivers who know nothing of each other, are no reason to share one; the event's id is
//! what they have in common. An attempt that a crash kept out of the log is made again as the same span.
//!
//! A POST of several events has one header, by the lowest of its deliveries, which is how a batch is known in the log.
//! Its name goes into the span: a batch that was refused and goes in halves was no send of any delivery, so that the
//! first half has the same number.
//!
//! Left out: a trace that an event's data may carry: `data` is not looked into, and what is sent on would be a promise
//! about a span of somebody else.

use sha2::{Digest, Sha256};

use crate::model::{DeliveryId, LogId, Traceparent};

/// The header's name, in the case of the specification.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// What a hash begins with, so that none means two things.
const OF_TRACE: &[u8] = b"webhooksd trace\0";
const OF_SPAN: &[u8] = b"webhooksd span\0";

/// The trace of a delivery, and the span in it that its attempt of that number is. `batch`: the name of the batch that
/// goes, whose lowest delivery it is. The same arguments give the same, always.
#[must_use]
pub(crate) fn traceparent(
    log: LogId,
    delivery: DeliveryId,
    attempt: u32,
    batch: Option<&str>,
) -> Traceparent {
    let hash = |of: &[u8], more: &[u8]| -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(of);
        hash.update(log.0);
        hash.update(delivery.get().to_be_bytes());
        hash.update(more);
        hash.finalize().into()
    };
    let name = batch.unwrap_or_default().as_bytes();
    let trace = u128::from_be_bytes(first(hash(OF_TRACE, &[])));
    let span = hash(OF_SPAN, &[&attempt.to_be_bytes(), name].concat());
    Traceparent::new(trace, u64::from_be_bytes(first(span)))
}

/// The first of its bytes.
fn first<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    std::array::from_fn(|place| hash[place])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(log: u8, delivery: i64, attempt: u32, batch: Option<&str>) -> [String; 2] {
        let made = traceparent(LogId([log; 16]), DeliveryId::new(delivery), attempt, batch);
        let all = made.to_string();
        let span = all.split('-').nth(2).unwrap().to_owned();
        [made.trace_id(), span]
    }

    // Made by Python's hashlib from what stands above.
    #[test]
    fn frozen() {
        let made = traceparent(LogId(*b"0123456789abcdef"), DeliveryId::new(1024), 3, None);
        let value = "00-4d58cbc85ef9ca3105b362248343bb6f-08609ec1f2e82817-01";
        assert_eq!(made.to_string(), value);
        let batch = Some("batch_01f3t5dhnm00000000403pttgq");
        let made = traceparent(LogId(*b"0123456789abcdef"), DeliveryId::new(1024), 3, batch);
        let value = "00-4d58cbc85ef9ca3105b362248343bb6f-ceeea3c427a9a9d7-01";
        assert_eq!(made.to_string(), value);
    }

    #[test]
    fn a_trace_is_a_deliverys_and_a_span_an_attempts() {
        let (mut traces, mut spans) = (HashSet::new(), HashSet::new());
        for log in 0..3 {
            for delivery in -1..20 {
                for attempt in 1..12 {
                    for batch in [None, Some("a"), Some("b")] {
                        let [trace, span] = of(log, delivery, attempt, batch);
                        assert_eq!(
                            [&trace, &span],
                            of(log, delivery, attempt, batch).each_ref()
                        );
                        traces.insert(trace);
                        assert!(spans.insert(span), "{log} {delivery} {attempt} {batch:?}");
                    }
                }
            }
        }
        assert_eq!(traces.len(), 3 * 21);
    }
}
