//! Cancelling by order while deliveries are queued, in flight, waiting for their turn, and in the log.

use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::{DeliveryId, Dialect};
use crate::store::CancelError;

async fn cancel(world: &World, ids: impl IntoIterator<Item = i64>) -> Vec<Result<(), CancelError>> {
    let ids = ids.into_iter().map(DeliveryId::new).collect();
    let answers = world.dispatch.cancel(ids).await.unwrap();
    let answers = answers.into_iter();
    answers.map(|(_, answer)| answer.map(drop)).collect()
}

async fn seen(world: &World, count: usize) {
    while world.seen().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_in_flight_ends_and_none_begins_behind_the_answer() {
    let mut w = webhook("w", Dialect::BoldCms);
    w.max_in_flight = 2;
    let script = |_: &_, before| match before {
        0 => Act::Answer(200, 1_000),
        _ => Act::Answer(500, 1_000),
    };
    let mut world = World::new(vec![w], script).await;
    world.admit(5).await;
    seen(&world, 2).await;
    let answers = cancel(&world, [1, 2, 3, 5]).await;
    assert_eq!(answers, [Ok(()); 4]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // The first was delivered all the same, the second is not tried again, the fourth goes its way.
    let bodies: Vec<String> = world.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.len(), 2 + 4, "{bodies:?}");
    assert!(
        bodies[2..].iter().all(|body| body.contains("\"n\":4")),
        "{bodies:?}"
    );
    let states = world.states().await;
    let state = |name: &str, count| (name.to_owned(), count);
    assert_eq!(
        states,
        [
            state("cancelled", 3),
            state("delivered", 1),
            state("failed", 1)
        ]
    );
    let answers = cancel(&world, [1, 2, 3, 9]).await;
    let (ended, unknown) = (Err(CancelError::Ended), Err(CancelError::Unknown));
    assert_eq!(answers, [ended, ended, ended, unknown]);
    assert!(world.dispatch.lane("w").unwrap().load().is_idle);
    assert_eq!(world.dispatch.capacity_in_use().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_is_not_sent() {
    let mut w = webhook("w", Dialect::OpenboxesLift);
    w.max_in_flight = 200;
    let mut world = World::new(vec![w], |_, _| Act::Silence).await;
    world.admit(200).await;
    seen(&world, 64).await;
    assert!(cancel(&world, 1..=200).await.iter().all(Result::is_ok));
    let begun = world.seen().len();
    assert!(begun < 200, "none waits");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.seen().len(), begun, "a cancelled delivery was sent");
    assert_eq!(world.states().await, [("cancelled".to_owned(), 200)]);
    assert!(world.dispatch.lane("w").unwrap().load().is_idle);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_waits_in_the_log_is_not_made_by_this_process_and_the_next() {
    let w = webhook("w", Dialect::BoldCms);
    let mut world = World::new(vec![w.clone()], |_, _| Act::Answer(500, 0)).await;
    world.admit(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cancel(&world, [1]).await, [Ok(())]);
    let wreck = world.crash().await;
    let world = wreck.restart(vec![w], |_, _| Act::Answer(200, 0)).await;
    world.settled().await;
    assert_eq!(world.seen().len(), 1, "{:?}", world.seen());
    let states = world.states().await;
    let state = |name: &str| (name.to_owned(), 1);
    assert_eq!(states, [state("cancelled"), state("delivered")]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_our_own_does_not_bring_it_back() {
    let script = |_: &_, before| match before {
        0 => Act::LateFault(2_000),
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], script).await;
    world.admit(1).await;
    seen(&world, 1).await;
    assert_eq!(cancel(&world, [1]).await, [Ok(())]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.seen().len(), 1);
    assert_eq!(world.states().await, [("cancelled".to_owned(), 1)]);
    assert!(world.dispatch.lane("w").unwrap().load().is_idle);
}

/// What was queued goes, and what waits behind it in the log comes in its place.
#[tokio::test(start_paused = true)]
async fn a_lane_whose_queue_is_cancelled_goes_on_with_what_is_in_the_log() {
    let mut w = webhook("w", Dialect::BoldCms);
    w.max_in_flight = 1;
    let script = |_: &_, before| match before {
        0 => Act::Answer(200, 30_000),
        _ => Act::Answer(200, 0),
    };
    let mut world = World::new(vec![w], script).await;
    for _ in 0..10 {
        world.admit(500).await;
    }
    seen(&world, 1).await;
    for first in (2..3_002).step_by(250) {
        assert!(
            cancel(&world, first..first + 250)
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    world.settled().await;
    let states = world.states().await;
    let state = |name: &str, count| (name.to_owned(), count);
    assert_eq!(
        states,
        [state("cancelled", 3_000), state("delivered", 2_000)]
    );
    assert_eq!(world.seen().len(), 2_000);
}
