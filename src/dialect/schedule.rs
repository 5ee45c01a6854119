//! When to try again and when to stop, and how long an endpoint may take.
//!
//! Delays count from the end of the failed attempt. Where the vendors are silent or at odds, this is
//! what holds: Bold CMS's "retry 3 more times" is four sends; Lift's table has five retries and so
//! means six sends, though the sentence under it says "after 5 failed attempts"; Factory's
//! "exponential back-off" is 10 s doubled up to an hour, plus up to a tenth; Standard Webhooks' example schedule
//! is taken as it stands, with as much more, since it asks for some. The jitter is a hash of delivery and
//! attempt, so a schedule can be worked out again from the log.

use std::time::Duration;

use crate::model::{DeliveryId, Dialect};

const BOLD_CMS_SENDS: u32 = 4;
const BOLD_CMS_DELAY_MS: i64 = 10_000;

const FACTORY_FIRST_MS: i64 = 10_000;
const FACTORY_LONGEST_MS: i64 = 3_600_000;
/// Jitter is at most one part in so many, and only ever makes a delay longer.
const JITTER_PART: i64 = 10;

/// Lift's table: before the 1st to the 5th retry.
const LIFT_LADDER_MS: [i64; 5] = [60_000, 300_000, 1_800_000, 7_200_000, 43_200_000];
const LIFT_SENDS: u32 = 6;

/// The schedule of Standard Webhooks, "Deliverability and reliability": before the 1st to the 9th retry.
const STANDARD_LADDER_MS: [i64; 9] = [
    5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000,
    86_400_000,
];
const STANDARD_SENDS: u32 = 10;

/// Name, TCP and TLS: Bold CMS's documented connection time-out, and "a few seconds" for the others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Request and head of the answer: Bold CMS's documented socket time-out, kept as a total so that an
/// endpoint that drips its head cannot stretch it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for Standard Webhooks, which recommends "somewhere between 15 and 30s".
const STANDARD_RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The answer's body, which only the log wants.
const BODY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an endpoint may take for each part of an attempt. They follow each other, and every wait
/// of an attempt is inside one of them, so [`longest_attempt`] adds them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving the name, connecting and the TLS handshake together.
    pub connect: Duration,
    /// From the first byte written to the end of the answer's head; a 1xx does not extend it.
    pub response: Duration,
    /// Reading the answer's body, after the head; running out of it is no failure.
    pub body: Duration,
}

/// The time-outs of a dialect.
#[must_use]
pub(crate) const fn timeouts(dialect: Dialect) -> Timeouts {
    match dialect {
        Dialect::BoldCms | Dialect::BoldFactory | Dialect::OpenboxesLift => Timeouts {
            connect: CONNECT_TIMEOUT,
            response: RESPONSE_TIMEOUT,
            body: BODY_TIMEOUT,
        },
        Dialect::StandardWebhooks => Timeouts {
            connect: CONNECT_TIMEOUT,
            response: STANDARD_RESPONSE_TIMEOUT,
            body: BODY_TIMEOUT,
        },
    }
}

/// The longest that an attempt of any dialect can last. What waits for attempts counts from here.
#[must_use]
pub(crate) const fn longest_attempt() -> Duration {
    let mut longest = Duration::ZERO;
    let mut rest: &[Dialect] = &Dialect::ALL;
    while let [dialect, others @ ..] = rest {
        let all = longest_attempt_of(*dialect);
        if all.as_nanos() > longest.as_nanos() {
            longest = all;
        }
        rest = others;
    }
    longest
}

/// The same of one dialect. `connect` is in it twice: through a proxy its consent has that long, and TLS behind it
/// again. So is `response`: an attempt that began on a kept connection may have
/// waited that long before it found the connection dead and went again over a new one.
#[must_use]
pub(crate) const fn longest_attempt_of(dialect: Dialect) -> Duration {
    let parts = timeouts(dialect);
    parts
        .connect
        .saturating_mul(2)
        .saturating_add(parts.response.saturating_mul(2))
        .saturating_add(parts.body)
}

/// How many sends a delivery gets in all. Only `bold-factory` reads `max_attempts`, and makes at
/// least one.
#[must_use]
pub(crate) fn sends(dialect: Dialect, max_attempts: u32) -> u32 {
    match dialect {
        Dialect::BoldCms => BOLD_CMS_SENDS,
        Dialect::BoldFactory => max_attempts.max(1),
        Dialect::OpenboxesLift => LIFT_SENDS,
        Dialect::StandardWebhooks => STANDARD_SENDS,
    }
}

/// How long to wait after the failed attempt of that number (1 for the first); `None` when it was
/// the last.
pub(super) fn delay_ms(
    dialect: Dialect,
    max_attempts: u32,
    delivery_id: DeliveryId,
    attempt_number: u32,
) -> Option<i64> {
    if attempt_number >= sends(dialect, max_attempts) {
        return None;
    }
    let base_ms = base_ms(dialect, attempt_number);
    let jitter_ms = match dialect {
        Dialect::BoldFactory | Dialect::StandardWebhooks => {
            let steps = (base_ms / JITTER_PART).unsigned_abs() + 1;
            (hash(delivery_id, attempt_number) % steps).cast_signed()
        }
        Dialect::BoldCms | Dialect::OpenboxesLift => 0,
    };
    Some(base_ms + jitter_ms)
}

/// The longest delay that a delivery with so many attempts behind it can be waiting for; 0 before
/// the first. A due time that is further off than this comes from a clock that was stepped.
#[must_use]
pub(crate) fn longest_delay_ms(dialect: Dialect, attempts_made: u32) -> i64 {
    if attempts_made == 0 {
        return 0;
    }
    let base_ms = base_ms(dialect, attempts_made);
    match dialect {
        Dialect::BoldFactory | Dialect::StandardWebhooks => base_ms + base_ms / JITTER_PART,
        Dialect::BoldCms | Dialect::OpenboxesLift => base_ms,
    }
}

/// The delay after an attempt of that number, without jitter; past the schedule's end, its last.
fn base_ms(dialect: Dialect, attempt_number: u32) -> i64 {
    let retry = attempt_number.saturating_sub(1);
    match dialect {
        Dialect::BoldCms => BOLD_CMS_DELAY_MS,
        Dialect::BoldFactory => {
            // Twelve doublings of 10 s are past the hour already.
            (FACTORY_FIRST_MS << retry.min(12)).min(FACTORY_LONGEST_MS)
        }
        Dialect::OpenboxesLift => rung(&LIFT_LADDER_MS, retry),
        Dialect::StandardWebhooks => rung(&STANDARD_LADDER_MS, retry),
    }
}

/// A ladder's delay before that retry, from 0; past its end, the last.
fn rung(ladder_ms: &[i64], retry: u32) -> i64 {
    let step = usize::try_from(retry).unwrap_or(usize::MAX);
    let rung = ladder_ms.get(step).or(ladder_ms.last());
    rung.copied().unwrap_or_default()
}

/// `SplitMix64` (Steele, Lea, Flood, 2014) of the two: neighbours in either get unlike values.
fn hash(delivery_id: DeliveryId, attempt_number: u32) -> u64 {
    let seed = delivery_id.get().cast_unsigned() ^ u64::from(attempt_number).rotate_left(40);
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // 3 s to a proxy's consent, 3 s for TLS behind it, 15 s for the answer, as much for a kept connection that was dead, and 3 s for its body.
    #[test]
    fn the_longest_attempt_is_that_of_the_slowest_dialect() {
        assert_eq!(longest_attempt(), Duration::from_secs(39));
        for dialect in Dialect::ALL {
            let parts = timeouts(dialect);
            let all = 2 * parts.connect + 2 * parts.response + parts.body;
            assert!(all <= longest_attempt(), "{dialect:?}");
        }
    }

    /// The delays of a whole schedule, one fewer than there are sends.
    fn delays(dialect: Dialect, max_attempts: u32, delivery_id: i64) -> Vec<i64> {
        (1..)
            .map_while(|n| delay_ms(dialect, max_attempts, DeliveryId::new(delivery_id), n))
            .collect()
    }

    #[test]
    fn bold_cms_sends_four_times_ten_seconds_apart() {
        assert_eq!(delays(Dialect::BoldCms, 10, 1), [10_000; 3]);
    }

    #[test]
    fn lift_sends_six_times_by_its_table() {
        let table = [60_000, 300_000, 1_800_000, 7_200_000, 43_200_000];
        assert_eq!(delays(Dialect::OpenboxesLift, 10, 1), table);
    }

    // 00:00:05, 00:05:05 ... 75:35:05 behind the first send, in the specification's table.
    #[test]
    fn standard_webhooks_sends_ten_times_by_its_table() {
        for id in 1..=1_000 {
            let delays = delays(Dialect::StandardWebhooks, 3, id);
            assert_eq!(delays.len(), 9);
            for (delay, rung) in delays.iter().zip(STANDARD_LADDER_MS) {
                assert!((rung..=rung + rung / 10).contains(delay), "{delay}");
            }
        }
        let s = |h: i64, m: i64, s: i64| (h * 3_600 + m * 60 + s) * 1_000;
        let mut behind = 0;
        let since = STANDARD_LADDER_MS.map(|delay| {
            behind += delay;
            behind
        });
        let table = [
            s(0, 0, 5),
            s(0, 5, 5),
            s(0, 35, 5),
            s(2, 35, 5),
            s(7, 35, 5),
            s(17, 35, 5),
            s(31, 35, 5),
            s(51, 35, 5),
            s(75, 35, 5),
        ];
        assert_eq!(since, table);
    }

    #[test]
    fn factory_doubles_from_ten_seconds_to_an_hour() {
        let base: Vec<i64> = (1..=12).map(|n| base_ms(Dialect::BoldFactory, n)).collect();
        let seconds = [
            10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600,
        ];
        assert_eq!(base, seconds.map(|s| s * 1_000));
        assert_eq!(delays(Dialect::BoldFactory, 10, 1).len(), 9);
        assert!(delays(Dialect::BoldFactory, 1, 1).is_empty());
        assert!(delays(Dialect::BoldFactory, 0, 1).is_empty());
    }

    #[test]
    fn jitter_spreads_deliveries_over_the_tenth() {
        let first =
            |id| delay_ms(Dialect::BoldFactory, 10, DeliveryId::new(id), 1).unwrap() - 10_000;
        let spread: Vec<i64> = (1..=1_000).map(first).collect();
        assert_eq!(spread, (1..=1_000).map(first).collect::<Vec<_>>());
        for tenth in 0..10 {
            let inside = spread.iter().filter(|j| **j / 100 == tenth).count();
            assert!((50..200).contains(&inside), "{tenth}: {inside}");
        }
    }

    // Deliveries that failed together must not meet again at every retry.
    #[test]
    fn jitter_of_one_attempt_says_nothing_of_the_next() {
        let at_the_hour =
            |id, n| delay_ms(Dialect::BoldFactory, 99, DeliveryId::new(id), n).unwrap();
        let same = (1..=1_000).filter(|id| at_the_hour(*id, 10) == at_the_hour(*id, 11));
        assert!(same.count() < 10);
    }

    #[test]
    fn three_seconds_for_each_part_but_fifteen_for_an_answer_to_standard_webhooks() {
        for dialect in Dialect::ALL {
            let each = Duration::from_secs(3);
            let Timeouts {
                connect,
                response,
                body,
            } = timeouts(dialect);
            let answer = match dialect {
                Dialect::StandardWebhooks => Duration::from_secs(15),
                _ => each,
            };
            assert_eq!([connect, response, body], [each, answer, each]);
        }
    }

    proptest! {
        #[test]
        fn factory_is_never_early_and_at_most_a_tenth_late(
            id in any::<i64>(), number in any::<u32>(), max_attempts in any::<u32>()
        ) {
            let base = base_ms(Dialect::BoldFactory, number);
            prop_assert!((10_000..=3_600_000).contains(&base));
            match delay_ms(Dialect::BoldFactory, max_attempts, DeliveryId::new(id), number) {
                None => prop_assert!(number >= max_attempts.max(1)),
                Some(delay) => {
                    prop_assert!(number < max_attempts);
                    prop_assert!((base..=base + base / 10).contains(&delay));
                }
            }
        }

        #[test]
        fn schedules_grow_and_end_after_their_sends(id in any::<i64>(), max_attempts in 1_u32..40) {
            for dialect in Dialect::ALL {
                let delays = delays(dialect, max_attempts, id);
                let documented = match dialect {
                    Dialect::BoldCms => 4,
                    Dialect::BoldFactory => max_attempts,
                    Dialect::OpenboxesLift => 6,
                    Dialect::StandardWebhooks => 10,
                };
                prop_assert_eq!(delays.len(), documented as usize - 1);
                // At the hour, only jitter is left to tell Factory's delays apart.
                let growing = delays.iter().filter(|d| **d < FACTORY_LONGEST_MS || dialect != Dialect::BoldFactory);
                prop_assert!(growing.is_sorted());
                for (made, delay) in (1..).zip(&delays) {
                    prop_assert!(*delay <= longest_delay_ms(dialect, made));
                }
            }
        }

        #[test]
        fn no_number_overflows(id in any::<i64>(), number in any::<u32>(), max_attempts in any::<u32>()) {
            for dialect in Dialect::ALL {
                prop_assert_eq!(longest_delay_ms(dialect, 0), 0);
                let longest = longest_delay_ms(dialect, number);
                prop_assert!((0..=95_040_000).contains(&longest));
                let delay = delay_ms(dialect, max_attempts, DeliveryId::new(id), number);
                prop_assert!(delay.is_none_or(|d| d > 0));
            }
        }
    }
}
