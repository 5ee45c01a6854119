//! Retention: what goes, when, and what stays.

use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::Dialect;
use crate::pipeline::Retention;

const DAY: Duration = Duration::from_secs(86_400);

async fn delivered_after(log_days: u32, days: u32) -> Vec<(String, i64)> {
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], |_, _| {
        Act::Answer(200, 0)
    })
    .await;
    let retention = Retention {
        log_days,
        ..Retention::default()
    };
    world.dispatch.retention.send_replace(retention);
    let sweeping = tokio::spawn(world.dispatch.clone().retain());
    world.admit(3).await;
    world.settled().await;
    tokio::time::sleep(DAY * days + DAY / 12).await;
    let states = world.states().await;
    sweeping.abort();
    states
}

#[tokio::test(start_paused = true)]
async fn the_log_keeps_its_days_and_no_more() {
    assert_eq!(delivered_after(30, 29).await, [("delivered".to_owned(), 3)]);
    assert_eq!(delivered_after(30, 31).await, []);
}

#[tokio::test(start_paused = true)]
async fn no_days_are_for_ever() {
    assert_eq!(delivered_after(0, 400).await, [("delivered".to_owned(), 3)]);
}
