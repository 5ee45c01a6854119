//! Webhooks with a pace: no two requests begin nearer than it says, and none begins later than it has to.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Builder;

use super::world::{Act, START_MS, World, webhook};
use crate::model::{Dialect, Rate, Webhook};

/// A timer may ring so much later.
const TICK_MS: i64 = 2;

fn paced(name: &str, per_second: f64) -> Webhook {
    let rate = Rate::new(per_second);
    assert!(rate.is_some());
    Webhook {
        max_per_second: rate,
        ..webhook(name, Dialect::BoldCms)
    }
}

/// When requests came to a webhook, milliseconds after the beginning.
fn times_of(world: &World, name: &str) -> Vec<i64> {
    let seen = world.seen().into_iter();
    seen.filter(|seen| *seen.webhook == *name)
        .map(|seen| seen.at_ms - START_MS)
        .collect()
}

fn gaps(times: &[i64]) -> Vec<i64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whenever events come, in whatever number, and however long answers take.
    #[test]
    fn requests_are_apart_and_none_is_late(
        per_second in prop::sample::select(vec![1.0, 5.0, 20.0, 100.0]),
        answer_ms in 0_u64..1_500,
        arrivals in prop::collection::vec((0_u64..3_000, 1_i64..20), 1..6),
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async {
            let script = move |_: &_, _| Act::Answer(200, answer_ms);
            let mut world = World::new(vec![paced("w", per_second)], script).await;
            let mut arrived = Vec::new();
            for (wait_ms, count) in arrivals {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                let now_ms = world.clock.now_ms() - START_MS;
                arrived.extend((0..count).map(|_| now_ms));
                world.admit(count).await;
            }
            world.settled().await;
            let times = times_of(&world, "w");
            prop_assert_eq!(times.len(), arrived.len());
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number of milliseconds")]
            let gap_ms = (1_000.0 / per_second) as i64;
            let mut free_ms = 0;
            for (time_ms, arrived_ms) in times.iter().zip(arrived) {
                let first_ms = arrived_ms.max(free_ms);
                prop_assert!(*time_ms >= free_ms, "{times:?}");
                prop_assert!(*time_ms <= first_ms + TICK_MS, "{times:?}: not at {first_ms}");
                free_ms = time_ms + gap_ms;
            }
            Ok(())
        });
        result?;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_sent_counts_and_another_webhook_waits_for_nothing() {
    // The first fails: its retry is due in the midst of the others.
    let script = |seen: &super::world::Seen, before| match (&*seen.webhook, before) {
        ("slow", 0..2) => Act::Answer(500, 1),
        _ => Act::Answer(200, 1),
    };
    let webhooks = vec![paced("slow", 0.5), webhook("swift", Dialect::BoldCms)];
    let mut world = World::new(webhooks, script).await;
    world.admit(10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(times_of(&world, "swift").len(), 10, "all at once");
    assert_eq!(times_of(&world, "slow").len(), 1, "no burst");
    let in_use = world.dispatch.capacity_in_use();
    assert_eq!(world.dispatch.in_flight(), 0, "who waits has no worker");
    assert_eq!((in_use.permits, in_use.flying_bytes), (0, 0));
    // A person's test takes the next turn.
    let test = world.dispatch.test("slow", None, None).await.unwrap();
    assert!(test.attempt.is_some());
    world.settled().await;
    let times = times_of(&world, "slow");
    assert_eq!(times.len(), 12, "ten, a retry and a test");
    let apart = 2_000..=2_000 + TICK_MS;
    assert!(
        gaps(&times).iter().all(|gap| apart.contains(gap)),
        "{times:?}"
    );
    world.assert_running();
    world.stop().await;
}

/// A test for which nobody waits any more would be sent before real work.
#[tokio::test(start_paused = true)]
async fn a_test_that_can_not_begin_in_time_or_was_abandoned_is_cancelled() {
    let mut world = World::new(vec![paced("w", 0.001)], |_, _| Act::Answer(200, 1)).await;
    world.admit(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tested = world.dispatch.test("w", None, None).await.unwrap();
    assert!(tested.attempt.is_none());
    let cancelled = |count| [("cancelled".to_owned(), count), ("delivered".to_owned(), 1)];
    assert_eq!(world.states().await, cancelled(1));
    let test = world.dispatch.test("w", None, None);
    let answer = tokio::time::timeout(Duration::from_secs(20), test).await;
    assert!(answer.is_err(), "it waits for its pace");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.states().await, cancelled(2));
    tokio::time::sleep(Duration::from_secs(4_000)).await;
    assert_eq!(times_of(&world, "w").len(), 1, "nothing is sent later");
    world.assert_running();
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_pace_and_remembers_the_last_request() {
    let mut world = World::new(vec![paced("w", 0.1)], |_, _| Act::Answer(200, 1)).await;
    world.admit(8).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Faster: the alarm that was set for later is not waited for.
    world.reconfigure(vec![paced("w", 0.125)], 4_096).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.reconfigure(vec![paced("w", 1.0)], 4_096).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let times = times_of(&world, "w");
    assert_eq!(times.len(), 3, "{times:?}");
    assert!((6_000..=6_000 + TICK_MS).contains(&times[1]), "{times:?}");
    // Slower, from the last one on; and away and back again, where nothing is forgotten.
    world.reconfigure(vec![paced("w", 0.1)], 4_096).await;
    let closed = Webhook {
        active: false,
        ..paced("w", 0.1)
    };
    world.reconfigure(vec![closed], 4_096).await;
    world.reconfigure(vec![paced("w", 0.1)], 4_096).await;
    world.admit(1).await;
    world.settled().await;
    let last = *times_of(&world, "w").last().unwrap();
    let next_ms = times[2] + 10_000;
    assert!(
        (next_ms..=next_ms + TICK_MS).contains(&last),
        "{last}, not {next_ms}"
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pace_that_is_given_to_a_webhook_at_work_holds_from_then_on() {
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], |_, _| {
        Act::Answer(200, 1)
    })
    .await;
    world.admit(5).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(times_of(&world, "w").len(), 5);
    world.reconfigure(vec![paced("w", 1.0)], 4_096).await;
    world.admit(2).await;
    world.settled().await;
    let times = times_of(&world, "w");
    assert!((1_010..1_015).contains(&times[5]), "{times:?}");
    assert!((2_010..2_015).contains(&times[6]), "{times:?}");
    // And none once it has no pace again.
    world
        .reconfigure(vec![webhook("w", Dialect::BoldCms)], 4_096)
        .await;
    let begun_ms = world.clock.now_ms() - START_MS;
    world.admit(3).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(
        times_of(&world, "w")
            .iter()
            .skip(7)
            .all(|ms| *ms < begun_ms + 5)
    );
    assert_eq!(times_of(&world, "w").len(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_and_not_sent_gives_its_turn_back() {
    let script = |_: &_, before| match before {
        1 => Act::Fault,
        2 => Act::Panic,
        _ => Act::Answer(200, 1),
    };
    let mut world = World::new(vec![paced("w", 2.0)], script).await;
    world.admit(5).await;
    world.settled().await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 5)]);
    let times = times_of(&world, "w");
    assert!(gaps(&times).iter().all(|gap| *gap >= 500), "{times:?}");
    world.stop().await;
}

/// The rest of a backlog is in the log, and the lane asks for it as it goes.
#[tokio::test(start_paused = true)]
async fn a_backlog_goes_on_at_its_pace_and_the_stop_does_not_wait_for_it() {
    let mut world = World::new(vec![paced("w", 100.0)], |_, _| Act::Answer(200, 1)).await;
    for _ in 0..5 {
        world.admit(1_000).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let sent = times_of(&world, "w").len();
    assert!((2_900..=3_001).contains(&sent), "{sent}");
    assert!(gaps(&times_of(&world, "w")).iter().all(|gap| *gap >= 10));
    let begun = world.clock.instant();
    world.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}
