//! Schedules, limits and order, by the dialects' documents.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::Dialect;

const MINUTE: i64 = 60_000;

#[tokio::test(start_paused = true)]
async fn lift_sends_six_times_over_half_a_day_and_gives_up() {
    let lift = webhook("w", Dialect::OpenboxesLift);
    let mut world = World::new(vec![lift], |_, _| Act::Answer(500, 0)).await;
    world.admit(1).await;
    world.settled().await;
    let ladder = [0, 1, 5, 30, 120, 720].map(|minutes: i64| minutes * MINUTE);
    let times = world.times_ms();
    assert_eq!(times.len(), 6, "{times:?}");
    for (pair, step) in times.windows(2).zip(&ladder[1..]) {
        let gap = pair[1] - pair[0];
        assert!(
            (*step..step + 100).contains(&gap),
            "{gap} instead of {step}: {times:?}"
        );
    }
    assert_eq!(world.states().await, [("failed".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn cms_tries_a_silent_endpoint_four_times_ten_seconds_after_each_failure() {
    let cms = webhook("w", Dialect::BoldCms);
    let mut world = World::new(vec![cms], |_, _| Act::Silence).await;
    world.admit(1).await;
    world.settled().await;
    let times = world.times_ms();
    assert_eq!(times.len(), 4, "{times:?}");
    for pair in times.windows(2) {
        assert!((13_000..13_100).contains(&(pair[1] - pair[0])), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn factory_backs_off_up_to_an_hour_and_never_sooner() {
    let mut factory = webhook("w", Dialect::BoldFactory);
    factory.max_attempts = 14;
    let mut world = World::new(vec![factory], |_, _| Act::Answer(503, 0)).await;
    world.admit(1).await;
    world.settled().await;
    let times = world.times_ms();
    assert_eq!(times.len(), 14, "{times:?}");
    for (n, pair) in times.windows(2).enumerate() {
        let base = (10_000_i64 << n).min(3_600_000);
        let gap = pair[1] - pair[0];
        assert!(
            (base..base + base / 10 + 100).contains(&gap),
            "retry {n}: {gap} for {base}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_survives_a_crash_and_keeps_its_bytes() {
    let lift = || vec![webhook("w", Dialect::OpenboxesLift)];
    let mut world = World::new(lift(), |_, _| Act::Answer(500, 0)).await;
    world.admit(1).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(
        world.times_ms().len(),
        2,
        "the first send and the retry after a minute"
    );
    let bodies = world.seen();
    let world = world
        .crash()
        .await
        .restart(lift(), |_, _| Act::Answer(200, 0))
        .await;
    world.settled().await;
    let seen = world.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, bodies[0].body);
    let due_ms = bodies[1].at_ms + 5 * MINUTE;
    assert!(
        (due_ms..due_ms + 100).contains(&seen[0].at_ms),
        "the third send is due as before"
    );
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_at_a_crash_is_sent_again() {
    let cms = || vec![webhook("w", Dialect::BoldCms)];
    let mut world = World::new(cms(), |_, _| Act::Answer(200, 2_000)).await;
    world.admit(3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = world.seen();
    assert_eq!(before.len(), 3);
    let world = world
        .crash()
        .await
        .restart(cms(), |_, _| Act::Answer(200, 0))
        .await;
    world.settled().await;
    let bodies = |seen: &[super::world::Seen]| {
        let mut bodies: Vec<String> = seen.iter().map(|s| s.body.clone()).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&before), bodies(&world.seen()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_attempts_end_and_records_them() {
    let cms = || vec![webhook("w", Dialect::BoldCms)];
    let mut world = World::new(cms(), |_, _| Act::Answer(200, 2_000)).await;
    world.admit(3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let world = world
        .stop()
        .await
        .restart(cms(), |_, _| Act::Answer(200, 0))
        .await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 3)]);
    assert!(
        world.seen().is_empty(),
        "nothing is sent twice after an orderly stop"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_goes_back_a_day_delays_no_retry_for_a_day() {
    let cms = webhook("w", Dialect::BoldCms);
    let script =
        |_: &super::world::Seen, before| Act::Answer(if before == 0 { 500 } else { 200 }, 0);
    let mut world = World::new(vec![cms.clone()], script).await;
    world.admit(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.clock.step(-86_400_000);
    // A look around finds the step; here the restart of the daemon is what looks.
    let world = world
        .crash()
        .await
        .restart(vec![cms], |_, _| Act::Answer(200, 0))
        .await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn limits_of_a_webhook_and_of_all_are_kept() {
    let mut one = webhook("one", Dialect::BoldCms);
    one.max_in_flight = 7;
    let mut world = World::new(vec![one.clone()], |_, _| Act::Answer(200, 50)).await;
    world.admit(100).await;
    world.settled().await;
    let dispatch = world.dispatch.clone();
    let most = &dispatch.transport().most_in_flight;
    assert_eq!(most.swap(0, Ordering::SeqCst), 7);

    // Three webhooks: 4 each are always theirs, and 5 more in all.
    let three = ["a", "b", "c"]
        .map(|name| webhook(name, Dialect::BoldCms))
        .to_vec();
    world.reconfigure(three, 5).await;
    world.admit(60).await;
    world.settled().await;
    assert_eq!(most.load(Ordering::SeqCst), 3 * 4 + 5);
    assert_eq!(world.seen().len(), 100 + 3 * 60);
}

#[tokio::test(start_paused = true)]
async fn silent_endpoints_cost_a_healthy_one_nothing() {
    let mut all: Vec<_> = (0..20)
        .map(|n| webhook(&format!("silent-{n}"), Dialect::BoldCms))
        .collect();
    all.push(webhook("healthy", Dialect::BoldCms));
    let script = |seen: &super::world::Seen, _| match &*seen.webhook {
        "healthy" => Act::Answer(200, 1),
        _ => Act::Silence,
    };
    let mut world = World::new(all.clone(), script).await;
    world.reconfigure(all, 40).await;
    for _ in 0..50 {
        let begun_ms = world.clock.now_ms();
        world.admit(1).await;
        world.materialize().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let newest = world
            .seen()
            .into_iter()
            .rfind(|seen| &*seen.webhook == "healthy")
            .unwrap();
        assert!(
            newest.at_ms - begun_ms <= 5,
            "waited {} ms",
            newest.at_ms - begun_ms
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_sent_once_and_in_order() {
    let mut one = webhook("w", Dialect::BoldCms);
    one.max_in_flight = 1;
    let mut world = World::new(vec![one], |_, _| Act::Answer(200, 0)).await;
    for _ in 0..10 {
        world.admit(1_000).await;
    }
    world.settled().await;
    let ids: Vec<i64> = world
        .seen()
        .iter()
        .map(|seen| {
            seen.body
                .split("\"n\":")
                .nth(1)
                .unwrap()
                .trim_end_matches('}')
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(ids, (1..=10_000).collect::<Vec<i64>>());
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_gets_the_place_that_another_gives_back() {
    let two = ["a", "b"].map(|name| webhook(name, Dialect::BoldCms));
    let mut world = World::new(two.to_vec(), |_, _| Act::Answer(200, 100)).await;
    // Four each are theirs; the one place above is for both in turn.
    world.reconfigure(two.to_vec(), 4).await;
    world.admit(400).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = world.seen();
    let of = |name: &str| seen.iter().filter(|seen| &*seen.webhook == name).count();
    assert!(
        of("a").abs_diff(of("b")) < 20,
        "{} and {}",
        of("a"),
        of("b")
    );
    world.settled().await;
}

/// A worker keeps a place that others want for 5 ms, and not for one attempt of 1 ms, nor for ever.
#[tokio::test(start_paused = true)]
async fn a_place_changes_hands_after_a_shift() {
    let two = ["a", "b"].map(|name| webhook(name, Dialect::BoldCms));
    let mut world = World::new(two.to_vec(), |_, _| Act::Answer(200, 1)).await;
    world.reconfigure(two.to_vec(), 1).await;
    world.admit(1_500).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let seen = world.seen();
    // Who begins five in a millisecond has the place above the floors.
    let mut begun: BTreeMap<(i64, &str), usize> = BTreeMap::new();
    for seen in &seen {
        *begun.entry((seen.at_ms, &seen.webhook)).or_default() += 1;
    }
    let holders = begun.iter().filter(|(_, count)| **count == 5);
    let holders: Vec<&str> = holders.map(|((_, name), _)| *name).collect();
    let changes = holders.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(holders.len() > 90, "{holders:?}");
    assert!(
        (10..=holders.len() / 4).contains(&changes),
        "{changes} of {}",
        holders.len()
    );
    world.settled().await;
}

/// After a commit results are gathered for 5 ms, but not those that make a batch.
#[tokio::test(start_paused = true)]
async fn a_batch_of_results_waits_for_nothing_and_the_rest_for_more() {
    let five = ["a", "b", "c", "d", "e"].map(|name| webhook(name, Dialect::BoldCms));
    let script =
        |_: &super::world::Seen, before| Act::Answer(200, if before == 0 { 20 } else { 22 });
    let mut world = World::new(five.to_vec(), script).await;
    world.admit(61).await;
    for (ms, count) in [(21, 1), (3, 1 + 256), (8, 305)] {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let states = world.states().await;
        let delivered = states.iter().find(|(state, _)| state == "delivered");
        assert_eq!(delivered.map(|(_, count)| *count), Some(count));
    }
}

/// Twenty endpoints that have shown that they don't answer, one that does, and a last event of which
/// the deliveries to the twenty are put off.
async fn owing() -> (World, Vec<crate::model::Webhook>) {
    let mut all: Vec<_> = (0..20)
        .map(|n| webhook(&format!("silent-{n}"), Dialect::BoldCms))
        .collect();
    all.push(webhook("healthy", Dialect::BoldCms));
    let script = |seen: &super::world::Seen, _| match &*seen.webhook {
        "healthy" => Act::Answer(200, 1),
        _ => Act::Silence,
    };
    let mut world = World::new(all.clone(), script).await;
    world.admit(4).await;
    assert!(world.owed.is_empty(), "nobody is known to be silent yet");
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.admit(1).await;
    assert_eq!(world.owed.len(), 1);
    assert_eq!(world.owed[0].webhooks.len(), 20);
    (world, all)
}

fn deliveries(states: &[(String, i64)]) -> i64 {
    states.iter().map(|(_, count)| count).sum()
}

#[tokio::test(start_paused = true)]
async fn what_is_put_off_is_made_once() {
    let (world, all) = owing().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let of_last = |world: &World| world.seen().len() - 4 * 21;
    assert_eq!(of_last(&world), 1, "the healthy one has it");
    assert_eq!(deliveries(&world.states().await), 4 * 21 + 1);
    assert!(world.materialize().await);
    assert!(!world.materialize().await, "a debt is paid once");
    // A reload pays too, and finds nothing.
    world.reconfigure(all, 100).await;
    assert_eq!(deliveries(&world.states().await), 5 * 21);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_at_a_crash_is_made_by_the_next_start() {
    let (world, all) = owing().await;
    let wreck = world.crash().await;
    let world = wreck.restart(all, |_, _| Act::Answer(200, 1)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let states = world.states().await;
    assert_eq!(states, [("delivered".to_owned(), 5 * 21)]);
}
