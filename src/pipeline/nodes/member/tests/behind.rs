//! A standby has taken over that lacks the last that was agreed on, and a process starts just then.

use super::*;

/// Six tenths of a lease.
const HELD_MS: i64 = LEASE_MS * 6 / 10;

/// Whether a node may begin something of that slot now.
fn may_begin(world: &World, of: usize, slot: i32) -> bool {
    let node = world.nodes[of].borrow();
    let standing = &node.standing;
    world.now_ms.get() < standing.until_ms && standing.owned.contains(&slot)
}

/// The standby had been behind since before anybody was there, and says so by its timeline and by what it has noted.
fn fail_over(world: &World, timeline: &str) {
    let mut table = world.table.borrow_mut();
    table.nodes.clear();
    for owner in table.owners.values_mut() {
        *owner = None;
    }
    table.timeline = timeline.to_owned();
    table.agreed.clear();
}

/// One node that has all, and two that have not started.
fn one_of_three() -> Rc<World> {
    let world = World::new(7, 3, 3);
    world.is_calm.set(true);
    for of in [1, 2] {
        let mut node = world.nodes[of].borrow_mut();
        node.is_dead = true;
        let id = node.member.as_ref().unwrap().id();
        world.table.borrow_mut().nodes.remove(&*id);
    }
    world.run_until(10_000);
    assert!(may_begin(&world, 0, 3));
    world
}

#[test]
fn who_starts_behind_a_failover_waits_until_nobody_goes_by_what_was_before() {
    let world = one_of_three();
    // It does not hear of it before it has to end by itself; each moment is judged.
    let looked_ms = world.now_ms.get();
    world.nodes[0].borrow_mut().next_ms = looked_ms + 20 * LEASE_MS;
    fail_over(&world, "2");
    world.start(1);
    world.run_until(looked_ms + HELD_MS - 1);
    assert!(may_begin(&world, 0, 3), "or there is nothing to wait for");
    assert_eq!(world.nodes[1].borrow().standing.owned.len(), 17);
    world.run_until(looked_ms + HELD_MS + LEASE_MS / 6);
    assert!(may_begin(&world, 1, 3), "and no longer than that");
    assert_eq!(world.table.borrow().agreed, "2", "as is noted");
    RUNNING.with(|running| *running.borrow_mut() = None);
}

#[test]
fn who_starts_once_that_is_over_begins_at_once() {
    let world = one_of_three();
    fail_over(&world, "2");
    world.run_until(world.now_ms.get() + LEASE_MS);
    assert!(may_begin(&world, 0, 3));
    world.nodes[0].borrow_mut().is_dead = true;
    world.table.borrow_mut().nodes.clear();
    let started_ms = world.now_ms.get();
    world.start(1);
    world.run_until(started_ms);
    assert!(may_begin(&world, 1, 3));
    RUNNING.with(|running| *running.borrow_mut() = None);
}

/// Two standbys of one server, of which one had not heard of the other: both have the next timeline.
#[test]
fn another_server_of_the_same_timeline_is_told_by_what_it_has_noted() {
    let world = one_of_three();
    fail_over(&world, "2");
    world.run_until(world.now_ms.get() + LEASE_MS);
    assert!(may_begin(&world, 0, 3));
    fail_over(&world, "2");
    let failed_ms = world.now_ms.get();
    world.run_until(failed_ms + 2 * LEASE_MS / 6);
    assert!(!may_begin(&world, 0, 3));
    world.run_until(failed_ms + LEASE_MS + LEASE_MS / 6);
    assert!(may_begin(&world, 0, 3));
    RUNNING.with(|running| *running.borrow_mut() = None);
}
