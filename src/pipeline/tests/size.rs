//! A log of a limited size: what goes early, what is told, and that what is pending stays.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Act, World, webhook};
use crate::model::{Dialect, LogPlace};
use crate::pipeline::Retention;
use crate::pipeline::shared::Patience;
use crate::store;

const MAX: u64 = 2_000_000;

/// Events for two webhooks of 20,000 bytes each, one batch a second; the second answers with that status.
async fn filled(status: u16, batches: usize) -> World {
    let hooks = vec![
        webhook("w", Dialect::OpenboxesLift),
        webhook("second", Dialect::BoldFactory),
    ];
    let script = move |seen: &super::world::Seen, _| {
        Act::Answer(if *seen.webhook == *"w" { 200 } else { status }, 0)
    };
    let mut world = World::new(hooks, script).await;
    world.data_bytes = 20_000;
    limit(&world, Some(MAX));
    tokio::spawn(world.dispatch.clone().keep_small());
    for _ in 0..batches {
        world.admit(10).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    world
}

fn limit(world: &World, log_max_bytes: Option<u64>) {
    world.dispatch.running().keep_for(Retention {
        log: LogPlace::File(world.log()),
        log_max_bytes,
        ..Retention::default()
    });
}

fn early(world: &World) -> u64 {
    world
        .dispatch
        .counters()
        .deleted_early
        .load(Ordering::Relaxed)
}

async fn count(world: &World, state: &str) -> i64 {
    let states = world.states().await;
    states
        .iter()
        .find(|(name, _)| name == state)
        .map_or(0, |(_, count)| *count)
}

#[tokio::test(start_paused = true)]
async fn the_log_is_below_its_size_at_rest_and_no_limit_deletes_nothing() {
    let mut world = filled(200, 20).await;
    let (file, wal) = store::size(&world.log());
    assert!(file + wal < MAX, "{file} and {wal}");
    let kept = count(&world, "delivered").await;
    assert_eq!(u64::try_from(400 - kept).unwrap(), early(&world));
    assert!((20..130).contains(&kept), "{kept}");
    assert_eq!(world.dispatch.warnings(), Vec::<String>::new());
    limit(&world, None);
    for _ in 0..10 {
        world.admit(10).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.settled().await;
    assert_eq!(count(&world, "delivered").await, kept + 200);
    world.assert_running();
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_stays_and_is_told_while_it_is_too_much() {
    let mut world = filled(500, 20).await;
    assert_eq!(count(&world, "pending").await, 200);
    assert_eq!(
        count(&world, "delivered").await,
        0,
        "there is no room for any"
    );
    let warnings = world.dispatch.warnings().join("\n");
    assert!(warnings.contains("max_size of 2MB"), "{warnings}");
    limit(&world, Some(100 * MAX));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.dispatch.warnings(), Vec::<String>::new());
    // What was tried and is pending has its attempts.
    let attempts =
        |_: &_, store: &mut crate::pipeline::shared::LogGuard<'_>| store.attempts().unwrap();
    assert!(world.dispatch.with_store(attempts).await >= 200);
    world.assert_running();
}

/// Whether who takes work in is to wait now.
fn waits(world: &World, patience: &mut Patience) -> bool {
    world.dispatch.waits_for_room(patience)
}

#[tokio::test(start_paused = true)]
async fn a_full_log_holds_the_intake_until_deletion_has_made_room_and_one_without_a_size_never_does()
 {
    let script = |_: &super::world::Seen, _| Act::Answer(200, 2_000);
    let mut world = World::new(vec![webhook("w", Dialect::OpenboxesLift)], script).await;
    world.data_bytes = 20_000;
    tokio::spawn(world.dispatch.clone().keep_small());
    let mut patience = Patience::default();
    world.admit(60).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waits(&world, &mut patience), "there is no size to keep");
    // What is pending has more room than that; what is finished soon makes some.
    limit(&world, Some(MAX / 2));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(waits(&world, &mut patience));
    assert_eq!(early(&world), 0);
    let hold = world.dispatch.log().hold();
    let freed = tokio::time::timeout(Duration::from_secs(4), hold.freed()).await;
    assert!(freed.is_ok(), "deletion tells of room");
    assert!(!waits(&world, &mut patience));
    assert!(early(&world) > 0);
    limit(&world, None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.admit(200).await;
    assert!(!waits(&world, &mut patience));
    world.assert_running();
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_holds_nobody_where_nothing_is_under_way() {
    let world = filled(500, 12).await;
    let mut patience = Patience::default();
    assert!(world.dispatch.log().hold().is_full());
    assert!(!waits(&world, &mut patience));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waits(&world, &mut patience));
    limit(&world, Some(100 * MAX));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waits(&world, &mut patience));
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_waited_for_and_who_waits_is_told_of() {
    let script = |_: &super::world::Seen, _| Act::Answer(500, 2_500);
    let mut world = World::new(vec![webhook("w", Dialect::OpenboxesLift)], script).await;
    world.data_bytes = 20_000;
    limit(&world, Some(MAX / 2));
    tokio::spawn(world.dispatch.clone().keep_small());
    world.admit(60).await;
    let since_ms = world.dispatch.clock().now_ms() + 300;
    let mut patience = Patience::default();
    let mut waited = 0;
    tokio::time::sleep(Duration::from_millis(300)).await;
    while world.dispatch.intake_waits(&mut patience) {
        waited += 1;
        assert!(waited < 100, "it waits for ever");
        let told = world.dispatch.waits_for_room_since_ms();
        assert_eq!(told, (waited > 10).then_some(since_ms), "after {waited}");
        let warnings = world.dispatch.warnings().join("\n");
        let is_warned = warnings.contains("the intake waits for room in the log since ");
        assert_eq!(is_warned, told.is_some(), "{warnings}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // All of them had an answer by then, and the next try is a minute off.
    assert!((20..40).contains(&waited), "{waited}");
    assert_eq!(count(&world, "pending").await, 60);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!world.dispatch.intake_waits(&mut patience));
    assert_eq!(world.dispatch.waits_for_room_since_ms(), None);
    assert_eq!(world.dispatch.snapshot().waits_for_room_since_ms, None);
}
