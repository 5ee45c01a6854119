//! Steps that fail halfway, and what changes between a look and the deed that follows from it.

use std::sync::Arc;
use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::{Clock, DeliveryId, Dialect, Webhook};
use crate::pipeline::{PipelineConfig, Retention};
use crate::store::person::Person;

const HOUR_MS: i64 = 3_600_000;

/// An endpoint that says nothing: after its first 64 requests, those behind them take turns.
async fn two_hundred_to_one_that_says_nothing() -> (World, Webhook) {
    let mut w = webhook("w", Dialect::OpenboxesLift);
    w.max_in_flight = 200;
    let mut world = World::new(vec![w.clone()], |_, _| Act::Silence).await;
    world.admit(200).await;
    while world.seen().len() < 64 {
        tokio::task::yield_now().await;
    }
    (world, w)
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_while_it_waited_for_its_turn_is_not_sent() {
    let (world, w) = two_hundred_to_one_that_says_nothing().await;
    world.reconfigure(Vec::new(), 4_096).await;
    let begun = world.seen().len();
    assert!(begun < 200, "none waits");
    // It may be back before their turn comes.
    world.reconfigure(vec![w], 4_096).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.seen().len(), begun, "a cancelled delivery was sent");
    assert_eq!(world.states().await, [("cancelled".to_owned(), 200)]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_its_turn_goes_where_the_configuration_of_the_day_says() {
    let (world, w) = two_hundred_to_one_that_says_nothing().await;
    let change = PipelineConfig {
        webhooks: vec![(Arc::new(w), Arc::from("elsewhere"))],
        tenant: None,
        max_in_flight: 4_096,
        max_data_bytes: 1 << 20,
        retention: Retention::default(),
    };
    world.dispatch.reconfigure(change).await.unwrap();
    let begun = world.seen().len();
    assert!(begun < 200, "none waits");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = world.seen();
    assert_eq!(seen.len(), 200);
    let late = seen.iter().skip(begun);
    assert_eq!(late.filter(|seen| &*seen.webhook == "w").count(), 0);
}

/// Its retry would be due by a clock that is gone, and nobody looks for such rows before the next hour.
#[tokio::test(start_paused = true)]
async fn a_result_that_waits_for_the_log_while_the_clock_goes_back_is_tried_again_in_time() {
    let script = |_: &_, before| match before {
        0 => Act::Answer(500, 1_000),
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], script).await;
    world.admit(1).await;
    let mut person = Person::new(&world.log());
    person.hold();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.clock.step(-3 * HOUR_MS);
    person.let_go();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.seen().len(), 2);
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_during_the_start_delays_nothing() {
    let w = webhook("w", Dialect::BoldCms);
    let mut world = World::new(vec![w.clone()], |_, _| Act::Answer(500, 0)).await;
    world.admit(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let wreck = world.crash().await;
    let script = |_: &_, _| Act::Answer(200, 0);
    let world = wreck
        .restart_with_a_step(vec![w], script, -3 * HOUR_MS)
        .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_for_a_webhook_that_was_found_unserved_and_is_served_by_now_stays() {
    let script = |_: &_, _| Act::Answer(200, 1_000);
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], script).await;
    world.admit(1).await;
    let cancelled = world.dispatch.cancel_pending("w".into()).await.unwrap();
    assert_eq!(cancelled, 0);
    world.settled().await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_test_of_a_webhook_that_has_just_become_inactive_leaves_nothing_pending() {
    let w = webhook("w", Dialect::BoldCms);
    let script = |_: &_, _| Act::Answer(200, 5_000);
    let mut world = World::new(vec![w.clone()], script).await;
    world.admit(1).await;
    while world.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // What is in flight keeps its lane.
    world.reconfigure(Vec::new(), 4_096).await;
    let begun = world
        .dispatch
        .with_store(move |this, store| this.begin_test(store, &w, "e", "{}".into()))
        .await;
    assert!(begun.is_err());
    assert_eq!(world.states().await, [("cancelled".to_owned(), 1)]);
}

/// Who asks over the socket may be gone before the answer, and what waits for it goes with him.
#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_done_though_nobody_waits_for_the_answer() {
    let w = webhook("w", Dialect::BoldCms);
    let mut world = World::new(vec![w], |_, _| Act::Answer(200, 0)).await;
    // What SQL makes is due by its own clock.
    let behind_ms = Clock::system().now_ms() - world.clock.now_ms();
    world.clock.step(behind_ms + HOUR_MS);
    world.admit(1).await;
    world.settled().await;
    let (begun, at_once) = (world.clock.instant(), Duration::ZERO);
    let again = world.dispatch.redeliver(vec![DeliveryId::new(1)]);
    let answer = tokio::time::timeout(at_once, again).await;
    assert!(answer.is_err(), "the answer was waited for");
    let test = world.dispatch.test("w", None, None);
    let answer = tokio::time::timeout(at_once, test).await;
    assert!(answer.is_err(), "the answer was waited for");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.states().await, [("delivered".to_owned(), 3)]);
    let took = world.clock.instant() - begun;
    assert!(took < Duration::from_secs(3_000), "a look around helped");
}

/// The clock leaps between two chunks of a sweep: the question whether it leapt was asked before.
#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_during_a_sweep_has_nothing_more_deleted() {
    let mut w = webhook("w", Dialect::BoldCms);
    w.max_in_flight = 64;
    let mut world = World::new(vec![w], |_, _| Act::Answer(200, 0)).await;
    world.admit(1_000).await;
    world.settled().await;
    let retention = Retention {
        log_days: 1,
        ..Retention::default()
    };
    world.dispatch.running().keep_for(retention);
    let sweeps = tokio::spawn(world.dispatch.clone().retain());
    tokio::time::sleep(Duration::from_secs(20 * 3_600)).await;
    world.admit(10).await;
    // Until shortly before the round in which the first go.
    tokio::time::sleep(Duration::from_secs(4 * 3_600 - 10)).await;
    let left = async || world.states().await.iter().map(|(_, n)| n).sum::<i64>();
    assert_eq!(left().await, 1_010);
    for _ in 0..60_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if left().await < 1_010 {
            break;
        }
    }
    assert!((11..1_010).contains(&left().await), "it does not last");
    world.clock.step(365 * 24 * HOUR_MS);
    tokio::time::sleep(Duration::from_secs(6 * 3_600)).await;
    assert_eq!(left().await, 10, "the old ones go, and no others");
    sweeps.abort();
}
