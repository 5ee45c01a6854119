//! Pauses: nothing begins, nothing is held in memory, and nothing is lost or spent.

use std::time::Duration;

use super::world::{Act, START_MS, Seen, World, webhook};
use crate::model::{Dialect, Webhook};

const MINUTE: i64 = 60_000;

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

/// Pauses itself after ten minutes.
fn pausing() -> Vec<Webhook> {
    let mut hook = webhook("a", Dialect::BoldCms);
    hook.auto_pause_ms = Some(10 * MINUTE);
    vec![hook]
}

/// Fails until then.
fn until(well_ms: i64) -> impl Fn(&Seen, usize) -> Act + Send + Sync + 'static {
    move |seen, _| {
        Act::Answer(
            if seen.at_ms < START_MS + well_ms {
                500
            } else {
                200
            },
            0,
        )
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_pauses_itself_is_tried_and_goes_on_across_a_restart() {
    const WELL: i64 = 5 * 60 * MINUTE;
    let mut world = World::new(pausing(), until(WELL)).await;
    world.admit(3).await;
    after(11 * 60_000).await;
    assert_eq!(world.seen().len(), 12, "three were given up");
    world.admit(20).await;
    after(30_000).await;
    let begun = world.seen().len();
    assert!((20..=32).contains(&begun), "{begun}");
    let of = world.dispatch.gates().of("a").unwrap();
    assert!(of.reason.unwrap().starts_with("auto_pause: all "));
    assert_eq!(world.dispatch.capacity_in_use().queued_bytes, 0);
    // After 1 min, 2 min, 4 min: one attempt each.
    after(8 * 60_000).await;
    assert_eq!(world.seen().len(), begun + 3);
    let wreck = world.crash().await;
    let world = wreck.restart(pausing(), until(WELL)).await;
    // Some 19 min after the beginning it was tried last; then 8, 16, 32, 60, 60 and 60 min later.
    after(4 * 60 * 60_000).await;
    let times: Vec<i64> = world.times_ms().iter().map(|ms| ms / MINUTE).collect();
    assert_eq!(times, [26, 42, 74, 134, 194, 254], "{times:?}");
    world.settled().await;
    let states = world.states().await;
    assert!(
        states
            .iter()
            .any(|(state, count)| state == "delivered" && *count >= 18),
        "{states:?}"
    );
    assert!(world.dispatch.gates().of("a").is_none());
    assert!(world.times_ms().iter().all(|ms| *ms < WELL + 61 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_test_that_passes_ends_a_webhooks_own_pause_and_no_other() {
    let mut world = World::new(pausing(), until(11 * MINUTE + 20_000)).await;
    world.admit(3).await;
    after(11 * 60_000).await;
    world.admit(20).await;
    after(30_000).await;
    assert!(world.dispatch.gates().of("a").is_some());
    let tested = world.dispatch.test("a", None, None).await.unwrap();
    assert!(tested.attempt.is_some());
    assert!(world.dispatch.gates().of("a").is_none());
    world.settled().await;
    world.dispatch.pause_webhook("a", None).await.unwrap();
    world.dispatch.test("a", None, None).await.unwrap();
    assert!(world.dispatch.gates().of("a").is_some());
}
