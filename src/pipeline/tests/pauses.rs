//! Pauses: nothing begins, nothing is held in memory, and nothing is lost or spent.

use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::Dialect;

async fn after(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_lane_holds_nothing_and_costs_the_others_nothing() {
    let hooks = ["a", "b"]
        .map(|name| webhook(name, Dialect::BoldCms))
        .to_vec();
    let mut world = World::new(hooks, |_, _| Act::Answer(200, 10)).await;
    world.dispatch.pause_webhook("a", None).await.unwrap();
    world.admit(3_000).await;
    after(60_000).await;
    assert!(world.seen().iter().all(|seen| &*seen.webhook == "b"));
    assert_eq!(world.seen().len(), 3_000);
    let lane = world.dispatch.lane("a").unwrap();
    assert!(lane.load().is_idle && lane.load().queued == 0);
    assert_eq!(world.dispatch.capacity_in_use().queued_bytes, 0);
    assert!(world.dispatch.resume_webhook("a").await.unwrap());
    world.settled().await;
    assert_eq!(world.seen().len(), 6_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_ends_and_its_retry_waits() {
    let slow = webhook("a", Dialect::BoldCms);
    let mut world = World::new(vec![slow], |_, before| {
        Act::Answer([500, 200][before.min(1)], 1_000)
    })
    .await;
    world.admit(1).await;
    after(500).await;
    world
        .dispatch
        .pause_webhook("a", Some(3_600_000))
        .await
        .unwrap();
    after(60_000).await;
    assert_eq!(world.seen().len(), 1, "in flight when it was paused");
    assert_eq!(world.dispatch.store().attempts().unwrap(), 1);
    world.settled().await;
    let times = world.times_ms();
    assert_eq!(times.len(), 2);
    let late = times[1] - 3_600_500;
    assert!(
        (0..2_000).contains(&late),
        "the pause ended on time: {times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_lasts_through_a_restart() {
    let hook = webhook("a", Dialect::BoldCms);
    let mut world = World::new(vec![hook.clone()], |_, _| Act::Answer(200, 0)).await;
    world.dispatch.pause_webhook("a", None).await.unwrap();
    world.admit(5).await;
    let wreck = world.crash().await;
    let world = wreck.restart(vec![hook], |_, _| Act::Answer(200, 0)).await;
    after(60_000).await;
    assert_eq!(world.seen().len(), 0);
    world.dispatch.resume_webhook("a").await.unwrap();
    world.settled().await;
    assert_eq!(world.seen().len(), 5);
}
