//! Endpoints that ask to wait by Retry-After: their webhooks are left alone until then, and nothing loses a try.

use std::time::Duration;

use super::world::{Act, START_MS, Seen, World, webhook};
use crate::model::{Dialect, Verdict, Webhook};
use crate::store::person::Person;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Answers take 10 ms, and a timer may ring later.
const TICK_MS: i64 = 30;

fn factory(name: &str) -> Webhook {
    webhook(name, Dialect::BoldFactory)
}

fn times_of(world: &World, name: &str) -> Vec<i64> {
    let seen = world.seen().into_iter();
    seen.filter(|seen| *seen.webhook == *name)
        .map(|seen| seen.at_ms - START_MS)
        .collect()
}

fn is_at(time_ms: i64, wanted_ms: i64) -> bool {
    (wanted_ms..=wanted_ms + TICK_MS).contains(&time_ms)
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Answers the first of a webhook so, and all others well.
fn first(act: Act) -> impl Fn(&Seen, usize) -> Act + Send + Sync + Copy + 'static {
    move |_, before| match before {
        0 => act,
        _ => Act::Answer(200, 1),
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_webhook_waits_and_nothing_else() {
    let script = |seen: &Seen, _| match &*seen.webhook {
        "asks" if seen.at_ms < START_MS + 120_000 => Act::Wait(429, "120"),
        _ => Act::Answer(200, 1),
    };
    let one = Webhook {
        max_in_flight: 1,
        ..factory("asks")
    };
    let mut world = World::new(vec![one, factory("other")], script).await;
    world.admit(5).await;
    pass(60).await;
    assert_eq!(times_of(&world, "other").len(), 5);
    assert_eq!(
        times_of(&world, "asks").len(),
        1,
        "one attempt, and no other loses its try"
    );
    // What comes meanwhile waits as well; who waits has no worker.
    world.admit(2).await;
    pass(50).await;
    assert_eq!(times_of(&world, "asks").len(), 1);
    assert_eq!(
        (
            world.dispatch.in_flight(),
            world.dispatch.capacity_in_use().permits
        ),
        (0, 0)
    );
    world.settled().await;
    let times = times_of(&world, "asks");
    assert_eq!(times.len(), 8, "{times:?}");
    assert!(
        times
            .iter()
            .skip(1)
            .all(|ms| (120_000..121_000).contains(ms)),
        "{times:?}"
    );
    assert_eq!(
        world
            .dispatch
            .with_store(|_, log| log.attempts().unwrap())
            .await,
        15
    );
    world.assert_running();
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_never_shorter_than_the_schedule_and_never_longer_than_a_day() {
    for (value, wanted_ms) in [
        ("3", 60_000),
        ("90", 90_000),
        ("999999999999", DAY_MS),
        ("soon", 60_000),
    ] {
        let lift = webhook("w", Dialect::OpenboxesLift);
        let mut world = World::new(vec![lift], first(Act::Wait(503, value))).await;
        world.admit(1).await;
        world.settled().await;
        let times = times_of(&world, "w");
        assert!(
            times.len() == 2 && is_at(times[1], wanted_ms),
            "{value}: {times:?}"
        );
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bold_cms_and_other_answers_ask_for_nothing() {
    for (dialect, status, delay_ms) in [
        (Dialect::BoldCms, 429, 10_000),
        (Dialect::OpenboxesLift, 500, 60_000),
    ] {
        let script = first(Act::Wait(status, "7200"));
        let mut world = World::new(vec![webhook("w", dialect)], script).await;
        world.admit(1).await;
        world.settled().await;
        let times = times_of(&world, "w");
        assert!(times.len() == 2 && is_at(times[1], delay_ms), "{times:?}");
        world.stop().await;
    }
}

/// Several answers come together: the latest time counts.
#[tokio::test(start_paused = true)]
async fn the_latest_of_several_times_wins() {
    let script = |_: &Seen, before| match before {
        0 => Act::Wait(429, "100"),
        1 => Act::Wait(503, "300"),
        2 => Act::Wait(429, "200"),
        _ => Act::Answer(200, 1),
    };
    let mut world = World::new(vec![factory("w")], script).await;
    world.admit(3).await;
    world.settled().await;
    let times = times_of(&world, "w");
    assert_eq!(times.len(), 6);
    assert!(
        times.iter().skip(3).all(|ms| is_at(*ms, 300_000)),
        "{times:?}"
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn due_at_shows_it_and_a_restart_and_a_reload_know_of_it() {
    let script = first(Act::Wait(429, "7200"));
    let mut world = World::new(vec![factory("w")], script).await;
    world.admit(1).await;
    pass(5).await;
    let row = Person::new(&world.log()).delivery(1).unwrap();
    assert!(
        is_at(row.due_at_ms.unwrap() - START_MS, 2 * HOUR_MS),
        "{row:?}"
    );
    // A reload takes the webhook away and back again.
    world.reconfigure(vec![factory("other")], 4_096).await;
    world.reconfigure(vec![factory("w")], 4_096).await;
    world.admit(1).await;
    pass(60).await;
    assert_eq!(times_of(&world, "w").len(), 1);
    let wreck = world.stop().await;
    let mut world = wreck
        .restart(vec![factory("w")], |_, _| Act::Answer(200, 1))
        .await;
    world.admit(1).await;
    pass(3_600).await;
    assert_eq!(times_of(&world, "w").len(), 0);
    world.settled().await;
    let times = times_of(&world, "w");
    // The first was cancelled when its webhook left.
    assert!(
        times.len() == 2 && times.iter().all(|ms| is_at(*ms, 2 * HOUR_MS)),
        "{times:?}"
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_test_goes_all_the_same_and_a_redelivery_waits() {
    let script = first(Act::Wait(503, "7200"));
    let once = Webhook {
        max_attempts: 1,
        ..factory("w")
    };
    let mut world = World::new(vec![once], script).await;
    world.admit(1).await;
    pass(1).await;
    assert_eq!(
        world.states().await,
        [("failed".to_owned(), 1)],
        "it was the last send"
    );
    // The hourly poll sees it.
    Person::new(&world.log()).redeliver(1, world.clock.now_ms());
    pass(3_700).await;
    assert_eq!(world.dispatch.lane("w").unwrap().load().queued, 1);
    let tested = world.dispatch.test("w", None, None).await.unwrap();
    assert_eq!(tested.attempt.unwrap().verdict, Verdict::Delivered);
    assert_eq!(times_of(&world, "w").len(), 2);
    world.settled().await;
    let times = times_of(&world, "w");
    assert!(
        times.len() == 3 && is_at(times[2], 2 * HOUR_MS),
        "{times:?}"
    );
    world.stop().await;
}

/// The wall clock decides, and nobody is left alone for more than a day from now.
#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_is_seen() {
    for (step_ms, wanted_ms) in [
        (HOUR_MS / 2, HOUR_MS / 2),
        (2 * HOUR_MS, 60_000),
        (-HOUR_MS, 2 * HOUR_MS),
        (-40 * DAY_MS, DAY_MS + 60_000),
    ] {
        let one = Webhook {
            max_in_flight: 1,
            ..factory("w")
        };
        let mut world = World::new(vec![one], first(Act::Wait(429, "3600"))).await;
        // The second is in memory, and waits with the first.
        world.admit(2).await;
        pass(60).await;
        world.clock.step(step_ms);
        // As the poll does that sees the step.
        world.dispatch.clamp().await.unwrap();
        let begun = world.clock.instant();
        for _ in 0..DAY_MS / 1_000 {
            if times_of(&world, "w").len() > 1 {
                break;
            }
            pass(1).await;
        }
        let waited = i64::try_from(begun.elapsed().as_millis()).unwrap() + 60_000;
        assert!(
            (wanted_ms..wanted_ms + 2_000).contains(&waited),
            "{step_ms}: {waited}, not {wanted_ms}"
        );
        world.stop().await;
    }
}
