//! The verdict on an attempt: delivered, again at a time, or given up; with words for the log.
//!
//! Success is 200 to 299 in every dialect. Bold CMS calls "300 or greater" an error and says nothing
//! of 1xx: an interim answer is not final, so an unasked 101 is a failure. A redirect is one too and
//! is never followed, for the body was signed for this address. A broken or endless body of an
//! answer changes nothing: its status came first.

use super::schedule::delay_ms;
use crate::model::{Due, Exchange, Trigger, Verdict};

/// What follows from the attempt that was due and ended at `now_ms`, and why it was no success.
/// `max_attempts` is the webhook's. A test is sent once in every dialect: a person sees what came of it.
#[must_use]
pub(crate) fn verdict(
    due: &Due,
    max_attempts: u32,
    exchange: &Exchange,
    now_ms: i64,
) -> (Verdict, Option<String>) {
    let error = match &exchange.result {
        Ok(answer) if (200..=299).contains(&answer.status) => return (Verdict::Delivered, None),
        Ok(answer) => match &answer.turned_away {
            Some(failure) => failure.text.clone(),
            None => words(answer.status),
        },
        Err(failure) => failure.text.clone(),
    };
    (again(due, max_attempts, now_ms), Some(error))
}

/// What follows from a send that was no success.
pub(super) fn again(due: &Due, max_attempts: u32, now_ms: i64) -> Verdict {
    let delay_ms = match due.origin {
        Trigger::Test => None,
        Trigger::Event | Trigger::Redelivery | Trigger::Replay => {
            delay_ms(due.dialect, max_attempts, due.id, due.number())
        }
    };
    delay_ms.map_or(Verdict::Failed, |delay_ms| {
        Verdict::RetryAt(now_ms.saturating_add(delay_ms))
    })
}

fn words(status: u16) -> String {
    match status {
        101 => "answered 101 and no other protocol was asked for".to_owned(),
        304 => "answered 304 to a POST".to_owned(),
        300..=399 => format!("answered {status} and redirects are not followed"),
        _ => format!("answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Answer, Class, DeliveryId, Dialect, EventId, Failure, Phases};

    const NOW_MS: i64 = 1_619_007_030_964;

    fn exchange(result: Result<u16, &str>) -> Exchange {
        Exchange {
            result: result
                .map(|status| Answer {
                    status,
                    headers: "".into(),
                    body: Vec::new(),
                    truncated: true,
                    turned_away: None,
                })
                .map_err(|text| Failure {
                    class: Class::Refused,
                    text: text.to_owned(),
                }),
            phases: Phases::default(),
            peer: None,
            duration_us: 1,
            note: None,
        }
    }

    fn due(dialect: Dialect, id: i64, number: u32) -> Due {
        Due {
            id: DeliveryId::new(id),
            event_id: EventId::new(1),
            event: "e".into(),
            webhook: "w".into(),
            dialect,
            origin: Trigger::Event,
            attempts: number.saturating_sub(1),
            due_at_ms: 0,
            created_at_ms: 0,
            payload_id: crate::model::PayloadId::NONE,
            body: bytes::Bytes::new(),
            message: None,
            batch: None,
        }
    }

    fn cms(number: u32, result: Result<u16, &str>) -> (Verdict, Option<String>) {
        let due = due(Dialect::BoldCms, 7, number);
        verdict(&due, 10, &exchange(result), NOW_MS)
    }

    #[test]
    fn a_test_is_sent_once_in_every_dialect() {
        for dialect in Dialect::ALL {
            let test = Due {
                origin: Trigger::Test,
                ..due(dialect, 7, 1)
            };
            let after = |result| verdict(&test, 10, &exchange(result), NOW_MS).0;
            assert_eq!(after(Ok(503)), Verdict::Failed);
            assert_eq!(after(Err("gone")), Verdict::Failed);
            assert_eq!(after(Ok(204)), Verdict::Delivered);
        }
    }

    #[test]
    fn only_2xx_is_success_in_every_dialect() {
        for dialect in Dialect::ALL {
            for status in 100..=999 {
                let due = due(dialect, 1, 1);
                let (verdict, error) = verdict(&due, 10, &exchange(Ok(status)), NOW_MS);
                let success = (200..300).contains(&status);
                assert_eq!(verdict == Verdict::Delivered, success, "{status}");
                assert_eq!(error.is_none(), success, "{status}");
            }
        }
    }

    #[test]
    fn the_words_say_what_happened() {
        for (result, words) in [
            (Ok(101), "answered 101 and no other protocol was asked for"),
            (Ok(302), "answered 302 and redirects are not followed"),
            (Ok(304), "answered 304 to a POST"),
            (Ok(500), "answered 500"),
            (
                Err("the connection was refused"),
                "the connection was refused",
            ),
        ] {
            assert_eq!(cms(1, result).1.as_deref(), Some(words));
        }
    }

    #[test]
    fn bold_cms_fails_for_good_at_the_fourth_send() {
        for number in 1..=3 {
            let again = Verdict::RetryAt(NOW_MS + 10_000);
            assert_eq!(cms(number, Ok(503)).0, again);
        }
        assert_eq!(cms(4, Ok(503)).0, Verdict::Failed);
        assert_eq!(cms(4, Err("gone")).0, Verdict::Failed);
        assert_eq!(cms(4, Ok(204)).0, Verdict::Delivered);
        assert_eq!(cms(u32::MAX, Ok(204)).0, Verdict::Delivered);
    }

    #[test]
    fn only_factory_counts_the_webhooks_own_number() {
        let after = |dialect, max, number| {
            verdict(&due(dialect, 7, number), max, &exchange(Ok(500)), NOW_MS).0
        };
        assert_eq!(after(Dialect::BoldFactory, 3, 3), Verdict::Failed);
        assert!(matches!(
            after(Dialect::BoldFactory, 3, 2),
            Verdict::RetryAt(_)
        ));
        let ladder = Verdict::RetryAt(NOW_MS + 43_200_000);
        assert_eq!(after(Dialect::OpenboxesLift, 3, 5), ladder);
        assert_eq!(after(Dialect::OpenboxesLift, 99, 6), Verdict::Failed);
    }

    proptest! {
        #[test]
        fn no_number_panics(
            max_attempts in any::<u32>(), id in any::<i64>(), number in any::<u32>(), now_ms in any::<i64>()
        ) {
            for dialect in Dialect::ALL {
                let due = due(dialect, id, number);
                let (verdict, _) = verdict(&due, max_attempts, &exchange(Ok(500)), now_ms);
                if let Verdict::RetryAt(due_at_ms) = verdict {
                    prop_assert!(due_at_ms > now_ms || now_ms > i64::MAX - 95_040_000);
                }
            }
        }
    }
}
