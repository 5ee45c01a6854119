//! Retention: what goes, when, and what stays.

use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::Dialect;
use crate::outbox::{application, create_if_missing};
use crate::pipeline::Retention;

const DAY: Duration = Duration::from_secs(86_400);

/// Two rounds of the sweep, and not to the hour: at the very moment of a third it would be stopped halfway.
const ROUNDS: Duration = Duration::from_secs(2 * 3_600 + 60);

async fn delivered_after(log_days: u32, days: u32) -> Vec<(String, i64)> {
    let mut world = World::new(vec![webhook("w", Dialect::BoldCms)], |_, _| {
        Act::Answer(200, 0)
    })
    .await;
    let retention = Retention {
        log_days,
        ..Retention::default()
    };
    world.dispatch.running().keep_for(retention);
    let sweeping = tokio::spawn(world.dispatch.clone().retain());
    world.admit(3).await;
    world.settled().await;
    tokio::time::sleep(DAY * days + ROUNDS).await;
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

/// Sweeps an outbox of rows 1 to 5, all taken, for so many days more.
async fn swept(sql: &str, days: u32) -> (Vec<i64>, World) {
    let hooks = vec![webhook("w", Dialect::BoldCms)];
    let mut world = World::new(hooks, |_, _| Act::Answer(200, 0)).await;
    let outbox = world.folder.path().join("outbox.db");
    create_if_missing(&outbox).unwrap();
    for n in 1..=5 {
        application::write_unchecked(&outbox, "e", "{}", n);
    }
    application::run(&outbox, sql);
    let retention = Retention {
        outbox_days: 30,
        outbox: outbox.clone(),
        ..Retention::default()
    };
    world.dispatch.running().keep_for(retention);
    let sweeping = tokio::spawn(world.dispatch.clone().retain());
    world.admit(5).await;
    world.settled().await;
    tokio::time::sleep(DAY * days + ROUNDS).await;
    sweeping.abort();
    (application::ids_after(&outbox, 0), world)
}

#[tokio::test(start_paused = true)]
async fn rows_that_the_application_keeps_stop_no_other_and_are_told_until_they_go() {
    let keep = "CREATE TRIGGER mine BEFORE DELETE ON outbox WHEN OLD.id IN (1, 3)
                BEGIN SELECT RAISE(ABORT, 'under audit'); END;";
    let (left, world) = swept(keep, 31).await;
    assert_eq!(left, [1, 3]);
    // Of what stands, and not of who has moved: this world looks around once an hour.
    let complaints = world.dispatch.counters().standing.told(true);
    assert_eq!(complaints, Vec::<String>::new());
    let warnings = world.dispatch.warnings().join("\n");
    assert!(warnings.contains("2 dispatched rows"), "{warnings}");
    assert!(warnings.contains("event 1: under audit"), "{warnings}");
    let outbox = world.folder.path().join("outbox.db");
    application::run(&outbox, "DROP TRIGGER mine");
    let sweeping = tokio::spawn(world.dispatch.clone().retain());
    tokio::time::sleep(ROUNDS).await;
    sweeping.abort();
    assert_eq!(application::ids_after(&outbox, 0), Vec::<i64>::new());
    assert_eq!(world.dispatch.warnings(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_cannot_be_swept_at_all_is_told() {
    let broken = "CREATE TRIGGER mine AFTER DELETE ON outbox BEGIN SELECT only_the_app(1); END;";
    let (left, world) = swept(broken, 31).await;
    assert_eq!(left.len(), 5);
    let warnings = world.dispatch.warnings().join("\n");
    assert!(warnings.contains("only_the_app"), "{warnings}");
}
