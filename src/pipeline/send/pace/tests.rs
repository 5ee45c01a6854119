//! What a lane's next request waits for, step by step: no loop and no alarm runs beside it.

use proptest::prelude::*;

use super::*;
use crate::model::{Dialect, EventId, PayloadId};

const NOW_MS: i64 = 1_731_576_737_000;
const GAP: Duration = Duration::from_millis(200);

fn paced(clock: &Clock) -> Spacing {
    let mut spacing = Spacing::default();
    spacing.set(Some(GAP), false, clock.instant());
    spacing
}

fn due(number: i64) -> Due {
    Due {
        id: DeliveryId::new(number),
        event_id: EventId::new(1),
        event: "e".into(),
        webhook: "w".into(),
        dialect: Dialect::BoldFactory,
        origin: Trigger::Event,
        attempts: 0,
        due_at_ms: NOW_MS,
        created_at_ms: NOW_MS,
        payload_id: PayloadId::NONE,
        body: "{}".into(),
        message: None,
        batch: None,
    }
}

fn id(number: i64) -> DeliveryId {
    DeliveryId::new(number)
}

async fn pass(span: Duration) {
    tokio::time::advance(span).await;
}

#[tokio::test(start_paused = true)]
async fn one_is_handed_out_at_a_time_and_the_next_a_gap_after_it_began() {
    let clock = Clock::follow_tokio(NOW_MS);
    let mut spacing = paced(&clock);
    let opens = |spacing: &Spacing| spacing.opens(false, &clock);
    assert_eq!(opens(&spacing), Opens::Now);
    spacing.hand_out(id(1));
    pass(GAP * 9).await;
    assert_eq!(opens(&spacing), Opens::Behind);
    // It waited for something else meanwhile: the gap counts from its begin.
    assert!(spacing.claim(&due(1), &clock));
    let begun = clock.instant();
    spacing.begins(id(1), begun);
    assert_eq!(opens(&spacing), Opens::At(begun + GAP));
    assert!(
        !spacing.claim(&due(2), &clock),
        "it was taken without a pace"
    );
    pass(GAP).await;
    assert_eq!(opens(&spacing), Opens::Now);
    assert!(spacing.claim(&due(2), &clock));
    assert!(
        !spacing.claim(&due(3), &clock),
        "another one is about to begin"
    );
    spacing.give_back(Some(id(3)));
    assert_eq!(opens(&spacing), Opens::Behind);
    spacing.give_back(Some(id(2)));
    assert_eq!(opens(&spacing), Opens::Now, "it was not sent");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_pace_counts_from_the_last_request() {
    let clock = Clock::follow_tokio(NOW_MS);
    let mut spacing = paced(&clock);
    let begun = clock.instant();
    spacing.begins(id(1), begun);
    pass(GAP / 2).await;
    spacing.set(Some(GAP * 5), true, clock.instant());
    assert_eq!(spacing.opens(false, &clock), Opens::At(begun + GAP * 5));
    spacing.set(Some(GAP / 2), true, clock.instant());
    assert_eq!(spacing.opens(false, &clock), Opens::Now);
    spacing.set(None, true, clock.instant());
    assert_eq!(spacing.opens(false, &clock), Opens::Now);
    // Requests may have begun right before this.
    spacing.set(Some(GAP), true, clock.instant());
    assert_eq!(
        spacing.opens(false, &clock),
        Opens::At(begun + GAP / 2 + GAP)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_told_of_once_the_latest_counts_and_a_test_goes() {
    let clock = Clock::follow_tokio(NOW_MS);
    let mut spacing = Spacing::default();
    assert!(spacing.hold(NOW_MS + 5_000, NOW_MS));
    assert!(!spacing.hold(NOW_MS + 9_000, NOW_MS), "it is held already");
    assert!(!spacing.hold(NOW_MS + 7_000, NOW_MS));
    let until = clock.instant() + Duration::from_secs(9);
    assert_eq!(spacing.opens(false, &clock), Opens::At(until));
    assert_eq!(spacing.opens(true, &clock), Opens::Now);
    assert!(!spacing.claim(&due(1), &clock));
    let test = Due {
        origin: Trigger::Test,
        ..due(2)
    };
    assert!(spacing.claim(&test, &clock));
    // What comes later of pace and hold counts, and a test has its turn by the pace.
    spacing.set(Some(GAP), true, clock.instant());
    assert_eq!(spacing.opens(false, &clock), Opens::At(until));
    assert_eq!(
        spacing.opens(true, &clock),
        Opens::At(clock.instant() + GAP)
    );
    // By the wall clock.
    clock.step(8_000);
    let one = clock.instant() + Duration::from_secs(1);
    assert_eq!(spacing.opens(false, &clock), Opens::At(one));
    assert!(spacing.hold_at_most_until(NOW_MS + 8_500));
    pass(Duration::from_millis(500)).await;
    assert_eq!(spacing.opens(false, &clock), Opens::Now);
    assert!(
        spacing.hold(NOW_MS + 9_500, clock.now_ms()),
        "the one before is over"
    );
}

proptest! {
    /// Whatever is taken, given back and changed: no two begin nearer than the pace of the moment says, and
    /// something may begin whenever the gap is over and nothing is handed out.
    #[test]
    fn no_two_begin_too_near(steps in prop::collection::vec((0_u64..500, 0_u8..6), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        let held: Result<(), TestCaseError> = runtime.block_on(async {
            let clock = Clock::follow_tokio(NOW_MS);
            let mut spacing = paced(&clock);
            let (mut gap, mut last) = (GAP, None::<Instant>);
            let (mut number, mut out) = (0, None);
            for (wait_ms, step) in steps {
                pass(Duration::from_millis(wait_ms)).await;
                let now = clock.instant();
                let over = last.is_none_or(|last| now >= last + gap);
                match (step, out.take()) {
                    (0, Some(taken)) => spacing.give_back(Some(id(taken))),
                    (1, taken) => {
                        gap = Duration::from_millis(wait_ms + 1);
                        spacing.set(Some(gap), true, now);
                        out = taken;
                    }
                    (_, Some(taken)) => {
                        prop_assert_eq!(spacing.claim(&due(taken), &clock), over);
                        if over {
                            spacing.begins(id(taken), now);
                            last = Some(now);
                        }
                    }
                    (_, None) => {
                        prop_assert_eq!(spacing.opens(false, &clock) == Opens::Now, over);
                        if over {
                            number += 1;
                            spacing.hand_out(id(number));
                            out = Some(number);
                        }
                    }
                }
            }
            Ok(())
        });
        held?;
    }
}
