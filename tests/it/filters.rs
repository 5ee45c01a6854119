//! `where`: who gets an event by what its data says, through fan-out, replay, reload and `explain`.
//!
//! What each word means is held beside the code (`src/filter`), against an independent `JSONPath`; what is
//! refused, in `config/where.stderr`.

use crate::support::{Received, Receiver, SOON, World, hook};

/// With a socket, for what is asked of the daemon.
const SECTION: &str = "[socket]\npath = \"s.sock\"";

const DEPOT: &str = "where = [ { path = \"$.origin.id\", in = [\"loc-001\", \"loc-002\"] }, \
    { any = [ { path = \"$.priority\", gte = 5 }, { path = \"$.items[*].sku\", prefix = \"rush-\" } ] } ]";

fn numbers(requests: &[Received]) -> Vec<i64> {
    let mut all: Vec<i64> = requests.iter().map(Received::n).collect();
    all.sort_unstable();
    all
}

fn insert(world: &World, rows: &[&str]) {
    let outbox = world.outbox();
    for data in rows {
        let sql = "INSERT INTO outbox (event, data) VALUES ('stockMovement.shipped', ?1)";
        outbox.execute(sql, [data]).unwrap();
    }
}

const ROWS: [&str; 6] = [
    "{\"n\":1,\"origin\":{\"id\":\"loc-001\"},\"priority\":5.0}",
    "{\"n\":2,\"origin\":{\"id\":\"loc-003\"},\"priority\":9}",
    "{\"n\":3,\"or\\u0069gin\":{\"id\":\"loc\\u002d002\"},\"priority\":1,\"items\":[{\"sku\":\"x\"},{\"sku\":\"rush-7\"}]}",
    "{\"n\":4,\"origin\":{\"id\":\"loc-001\"},\"priority\":\"5\"}",
    "{\"n\":5}",
    "{\"n\":6,\"origin\":{\"id\":\"loc-9\",\"id\":\"loc-002\"},\"priority\":49e-1,\"priority\":50e-1}",
];

#[test]
fn an_event_goes_to_those_whose_rules_hold_and_explain_names_the_one_that_does_not() {
    let (depot, all) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[]);
    let hooks = [
        hook("depot", depot.url("/")).line(DEPOT),
        hook("all", all.url("/")),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    insert(&world, &ROWS);
    assert_eq!(numbers(&all.wait(6, SOON)), [1, 2, 3, 4, 5, 6]);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        9,
        SOON,
    );
    assert_eq!(numbers(&depot.wait(3, SOON)), [1, 3, 6]);

    let page = crate::socket::client::curl(&world, "/metrics", &[]).body;
    assert!(page.contains("\nwebhooksd_filtered_total 3\n"), "{page}");
    let explained = |id: &str| world.command(&["explain", id]).expect(0).stdout;
    assert!(
        explained("1").contains("depot    delivered"),
        "{}",
        explained("1")
    );
    for (id, words) in [
        (
            "2",
            "rule 1 of where does not hold, $.origin.id in [\"loc-001\", \"loc-002\"]: at $.origin.id is \"loc-003\"",
        ),
        (
            "4",
            "rule 2 of where does not hold, $.priority gte 5, or $.items[*].sku prefix \"rush-\": \
               at $.priority is \"5\"; nothing is at $.items[*].sku",
        ),
        ("5", "nothing is at $.origin.id"),
    ] {
        let told = explained(id);
        assert!(told.contains(words), "{told}");
    }

    // A replay and an event that comes now are judged by today's rules.
    world.configure_with(
        SECTION,
        &[
            hook("depot", depot.url("/")).line("where = [ { path = \"$.n\", gt = 4 } ]"),
            hook("all", all.url("/")),
        ],
    );
    world.command(&["reload"]).expect(0);
    let replay = ["replay", "--since", "2020-01-01", "--webhook", "depot"];
    world.command(&replay).expect(0);
    insert(&world, &["{\"n\":7}", "{\"n\":0}"]);
    assert_eq!(numbers(&depot.wait(6, SOON)), [1, 3, 5, 6, 6, 7]);
    all.wait(8, SOON);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        14,
        SOON,
    );
    assert_eq!(depot.wait(6, SOON).len(), 6);
    daemon.stop();
}

#[test]
fn a_filter_that_is_wrong_stops_neither_the_daemon_nor_an_event() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let with =
        |line: &str| world.configure_with(SECTION, &[hook("w", receiver.url("/")).line(line)]);
    with("where = [ { path = \"$.n\", lt = 2 } ]");
    let daemon = world.start();
    insert(&world, &["{\"n\":1}", "{\"n\":2}"]);
    receiver.wait(1, SOON);
    with("where = [ { path = \"n\", lt = 3 } ]");
    let refused = world.command(&["reload"]).expect(2).stderr;
    assert!(refused.contains("a path begins with $"), "{refused}");
    insert(&world, &["{\"n\":2}", "{\"n\":0}"]);
    assert_eq!(
        numbers(&receiver.wait(2, SOON)),
        [0, 1],
        "the old rules hold"
    );
    daemon.stop();
}
