//! What a node is told of beside beats: by which configuration others go, and that the run before it has ended.

use super::*;

#[test]
fn whose_configuration_is_not_that_of_who_leads_is_seen() {
    let world = World::new(3, 3, 3);
    world.is_calm.set(true);
    world.run_until(20_000);
    let id = |of: usize| world.nodes[of].borrow().member.as_ref().unwrap().id();
    let differ = || {
        world.run_until(world.now_ms.get() + LEASE_MS);
        let node = world.nodes[0].borrow();
        let seen: Vec<_> = node.standing.nodes.iter().collect();
        assert_eq!(seen.iter().filter(|node| node.leads).count(), 1);
        let differing = seen.iter().filter(|node| node.differs);
        differing.map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let lead = {
        let node = world.nodes[0].borrow();
        let lead = node.standing.nodes.iter().find(|node| node.leads);
        lead.unwrap().name.clone()
    };
    let mut others = (0..3).filter(|of| world.nodes[*of].borrow().name != lead);
    let (one, two) = (others.next().unwrap(), others.next().unwrap());
    assert!(differ().is_empty(), "nobody has said anything");
    for of in 0..3 {
        let config = if of == one { "other" } else { "same" };
        Connection.tell(&id(of), config).unwrap();
    }
    assert_eq!(differ(), [world.nodes[one].borrow().name.clone()]);
    Connection.tell(&id(one), "same").unwrap();
    Connection.tell(&id(two), "same").unwrap();
    assert!(differ().is_empty());
    RUNNING.with(|running| *running.borrow_mut() = None);
}

/// Of every node that lives: how many it takes for doubles of each other.
fn doubles(world: &World) -> Vec<usize> {
    let living = world.nodes.iter().filter(|node| !node.borrow().is_dead);
    let count = |node: &RefCell<Node>| {
        let node = node.borrow();
        let doubles = node.standing.nodes.iter().filter(|node| node.is_double);
        doubles.count()
    };
    living.map(count).collect()
}

#[test]
fn nodes_of_one_name_are_seen_by_all_once_both_go_on() {
    let world = World::new(4, 3, 3);
    world.is_calm.set(true);
    world.run_until(10_000);
    assert_eq!(doubles(&world), [0, 0, 0]);
    let id = |of: usize| world.nodes[of].borrow().member.as_ref().unwrap().id();
    let rename = |of: usize, name: &str| {
        let mut table = world.table.borrow_mut();
        table.nodes.get_mut(&*id(of)).unwrap().0 = name.to_owned();
    };
    rename(1, "n0");
    world.run_until(10_000 + LEASE_MS);
    assert_eq!(doubles(&world), [2, 2, 2]);
    // Whoever goes is none once its row has gone.
    world.nodes[1].borrow_mut().is_dead = true;
    world.run_until(world.now_ms.get() + TAKEN_OVER_MS);
    assert_eq!(doubles(&world), [1, 1]);
    RUNNING.with(|running| *running.borrow_mut() = None);
}

#[test]
fn the_row_that_a_process_left_is_no_double_of_the_next_one() {
    for seed in 0..50 {
        let world = World::new(seed, 3, 3);
        world.is_calm.set(true);
        world.run_until(10_000 + Dice(seed).roll(LEASE_MS));
        world.nodes[0].borrow_mut().is_dead = true;
        world.start(0);
        let until_ms = world.now_ms.get() + 2 * TAKEN_OVER_MS;
        while world.now_ms.get() < until_ms {
            world.run_until(world.now_ms.get() + 50);
            assert_eq!(doubles(&world), [0, 0, 0], "seed {seed}");
        }
        RUNNING.with(|running| *running.borrow_mut() = None);
    }
}

#[test]
fn a_process_that_knows_of_the_one_before_takes_over_safely() {
    for seed in KNOWING..KNOWING + 500 {
        simulate(seed);
    }
}

#[test]
fn what_the_run_before_had_is_taken_over_at_once() {
    for knows in [true, false] {
        let world = World::new(5, 1, 3);
        world.is_calm.set(true);
        world.run_until(10_000);
        world.nodes[0].borrow_mut().is_dead = true;
        world.knows.set(knows);
        world.start(0);
        world.run_until(10_000);
        let node = world.nodes[0].borrow();
        let owned = node.standing.owned.len();
        assert_eq!(
            (owned, node.standing.succeeds),
            if knows { (17, true) } else { (0, false) }
        );
        assert!(node.standing.buried.is_empty(), "that is no other node");
        drop(node);
        RUNNING.with(|running| *running.borrow_mut() = None);
    }
}

#[test]
fn who_was_found_dead_by_another_connection_of_its_own_owns_nothing_until_the_next_look() {
    let world = World::new(9, 1, 3);
    world.is_calm.set(true);
    world.run_until(10_000);
    let (looked_ms, id) = {
        let node = world.nodes[0].borrow();
        (node.next_ms, node.member.as_ref().unwrap().id())
    };
    // Another node has taken over and left; who records sees that first, and takes another row.
    Connection.leave(&id).unwrap();
    let anew = Connection.register("n0").unwrap();
    let mut node = world.nodes[0].borrow_mut();
    node.member.as_mut().unwrap().me.become_anew(anew.clone());
    drop(node);
    world.run_until(looked_ms);
    let standing = world.nodes[0].borrow().standing.clone();
    assert!(standing.was_dead && standing.owned.is_empty());
    assert!(standing.until_ms < 0, "nothing begins");
    world.run_until(looked_ms + LEASE_MS / 6);
    let node = world.nodes[0].borrow();
    assert_eq!(node.standing.gained.len(), 17);
    assert_eq!(node.member.as_ref().unwrap().id(), anew, "no third row");
    drop(node);
    RUNNING.with(|running| *running.borrow_mut() = None);
}
