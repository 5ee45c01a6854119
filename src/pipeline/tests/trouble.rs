//! Trouble of our own, and changes while things run.

use std::time::Duration;

use super::world::{Act, Seen, World, webhook};
use crate::model::Dialect;
use crate::pipeline::send::{FLOOR, UNRECORDED};
use crate::store::person::Person;

#[tokio::test(start_paused = true)]
async fn a_fault_of_this_machine_costs_no_try() {
    let script = |_: &Seen, before| match before {
        0..=9 => Act::Fault,
        10 => Act::Panic,
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], script).await;
    world.admit(1).await;
    world.settled().await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
    assert_eq!(world.seen().len(), 12);
    let attempts = world
        .dispatch
        .with_store(|_, store| store.attempts().unwrap())
        .await;
    assert_eq!(attempts, 1, "only what reached the endpoint is in the log");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_leaves_loses_what_was_pending_and_nothing_in_flight() {
    let stays = webhook("stays", Dialect::BoldCms);
    let mut leaves = webhook("leaves", Dialect::BoldCms);
    leaves.max_in_flight = 2;
    let both = vec![stays.clone(), leaves];
    let mut world = World::new(both, |_, _| Act::Answer(200, 1_000)).await;
    world.admit(10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let directed = world.reconfigure(vec![stays], 4_096).await;
    assert_eq!(directed.active, 1);
    // Ten were pending; the two in flight are cancelled in the log until their answer says otherwise.
    assert_eq!(directed.cancelled, [("leaves".into(), 10)]);
    world.settled().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let states = world.states().await;
    assert_eq!(
        states,
        [("cancelled".to_owned(), 8), ("delivered".to_owned(), 12)]
    );
    world.admit(1).await;
    world.settled().await;
    assert_eq!(
        world
            .seen()
            .iter()
            .filter(|seen| &*seen.webhook == "leaves")
            .count(),
        2
    );
}

/// A fault that is found once its webhook has left and come back puts back nothing that was cancelled.
#[tokio::test(start_paused = true)]
async fn what_was_cancelled_while_in_hand_is_not_sent_by_the_webhook_that_came_back() {
    let w = webhook("w", Dialect::BoldCms);
    let script = |_: &Seen, before| match before {
        0 => Act::LateFault(2_000),
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(vec![w.clone()], script).await;
    world.admit(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.seen().len(), 1);
    let directed = world.reconfigure(Vec::new(), 4_096).await;
    assert_eq!(directed.cancelled, [("w".into(), 1)]);
    world.reconfigure(vec![w], 4_096).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.seen().len(), 1, "it was cancelled");
    assert_eq!(world.states().await, [("cancelled".to_owned(), 1)]);
    world.admit(1).await;
    world.settled().await;
    let states = [("cancelled".to_owned(), 1), ("delivered".to_owned(), 1)];
    assert_eq!(world.states().await, states);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_locked_delays_records_and_loses_none() {
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], |_, _| {
        Act::Answer(200, 100)
    })
    .await;
    world.admit(5).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let person = Person::holding(&world.log());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let states = world.states().await;
    assert_eq!(
        states,
        [("pending".to_owned(), 5)],
        "nothing could be recorded"
    );
    drop(person);
    world.settled().await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 5)]);
    assert_eq!(world.seen().len(), 5, "and nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn results_of_others_that_wait_are_no_reason_for_a_webhook_with_few_to_wait() {
    let mut all: Vec<_> = (0..3)
        .map(|n| webhook(&format!("busy-{n}"), Dialect::BoldCms))
        .collect();
    let mut calm = webhook("calm", Dialect::BoldCms);
    calm.max_in_flight = 1;
    all.push(calm);
    let script = |seen: &Seen, _| match &*seen.webhook {
        "calm" => Act::Answer(200, 100),
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(all, script).await;
    world.admit(2_000).await;
    let person = Person::holding(&world.log());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = world.seen();
    let calm = seen.iter().filter(|seen| &*seen.webhook == "calm").count();
    assert!(
        seen.len() < UNRECORDED + 300,
        "{} were sent and can't be recorded",
        seen.len()
    );
    assert!(seen.len() >= UNRECORDED, "only {} were sent", seen.len());
    assert_eq!(calm, FLOOR, "so many results each webhook may have");
    drop(person);
    world.settled().await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 8_000)]);
}

#[tokio::test(start_paused = true)]
async fn dead_endpoints_with_long_queues_leave_memory_to_a_healthy_one() {
    let mut all: Vec<_> = (0..30)
        .map(|n| webhook(&format!("dead-{n}"), Dialect::OpenboxesLift))
        .collect();
    all.push(webhook("healthy", Dialect::BoldCms));
    let script = |seen: &Seen, _| match &*seen.webhook {
        "healthy" => Act::Answer(200, 1),
        _ => Act::Silence,
    };
    let mut world = World::new(all, script).await;
    world.data_bytes = 32 << 10;
    for _ in 0..20 {
        world.admit(50).await;
    }
    let begun_ms = world.clock.now_ms();
    let healthy = |world: &World| {
        world
            .seen()
            .iter()
            .filter(|seen| &*seen.webhook == "healthy")
            .count()
    };
    while healthy(&world) < 1_000 {
        world.assert_running();
        assert!(
            world.clock.now_ms() - begun_ms < 2_000,
            "only {} of 1,000",
            healthy(&world)
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let queued: usize = world
        .dispatch
        .snapshot()
        .webhooks
        .iter()
        .map(|w| w.queued)
        .sum();
    assert!(
        queued * (32 << 10) < 20 << 20,
        "{queued} bodies are in memory"
    );
}
