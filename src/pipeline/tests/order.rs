//! Order while deliveries are in flight, fail, wait and are cancelled.

use std::time::Duration;

use super::world::{Act, Seen, World, webhook};
use crate::model::{DeliveryId, Dialect, Order, Webhook};

fn ordered(holds: bool) -> Webhook {
    Webhook {
        order: Some(Order { by: None, holds }),
        ..webhook("w", Dialect::BoldCms)
    }
}

fn numbers(world: &World) -> Vec<i64> {
    let number = |seen: &Seen| {
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        let data = body.pointer("/v1/data/n");
        data.and_then(serde_json::Value::as_i64)
            .unwrap_or_else(|| panic!("{}", seen.body))
    };
    world.seen().iter().map(number).collect()
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_in_their_order_however_many_may_fly() {
    let mut world = World::new(vec![ordered(false)], |_, _| Act::Answer(200, 100)).await;
    world.admit(20).await;
    world.admit(20).await;
    world.settled().await;
    assert_eq!(numbers(&world), (1..=40).collect::<Vec<_>>());
    let most = &world.dispatch.transport().most_in_flight;
    assert_eq!(most.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_what_is_behind_it_and_a_failure_lets_go() {
    let script = |seen: &Seen, _| match seen.body.contains("\"n\":2") {
        true => Act::Answer(500, 10),
        false => Act::Answer(200, 10),
    };
    let mut world = World::new(vec![ordered(false)], script).await;
    world.admit(3).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(numbers(&world), [1, 2, 2], "10 s apart");
    world.settled().await;
    assert_eq!(numbers(&world), [1, 2, 2, 2, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_waits_through_restarts_until_it_is_let_go() {
    let script = |seen: &Seen, _| match seen.body.contains("\"n\":1") {
        true => Act::Answer(500, 10),
        false => Act::Answer(200, 10),
    };
    let mut world = World::new(vec![ordered(true)], script).await;
    world.admit(3).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(numbers(&world), [1; 4]);
    let wreck = world.crash().await;
    let world = wreck.restart(vec![ordered(true)], script).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(numbers(&world), [0_i64; 0]);
    let answers = world
        .dispatch
        .cancel(vec![DeliveryId::new(1)])
        .await
        .unwrap();
    assert!(answers[0].1.is_ok());
    world.settled().await;
    assert_eq!(numbers(&world), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_in_flight_keeps_its_turn_until_its_end() {
    let mut world = World::new(vec![ordered(false)], |_, _| Act::Answer(500, 2_000)).await;
    world.admit(2).await;
    while world.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    world
        .dispatch
        .cancel(vec![DeliveryId::new(1)])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(numbers(&world), [1]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(numbers(&world), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn without_the_key_what_was_in_order_stays_so_and_what_comes_is_not() {
    let mut world = World::new(vec![ordered(false)], |_, _| Act::Answer(200, 1_000)).await;
    world.admit(3).await;
    world
        .reconfigure(vec![webhook("w", Dialect::BoldCms)], 4_096)
        .await;
    world.admit(2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(numbers(&world), [1, 4, 5]);
    world.settled().await;
    assert_eq!(numbers(&world), [1, 4, 5, 2, 3]);
}
