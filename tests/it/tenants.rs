//! Whose event it is: the row's own tenant goes out, the configuration's only where the row has none.
//!
//! Through every way that a body can take: the first attempt, a redelivery, a replay, a test. Which
//! webhook gets whose events is in `outboxes.rs`.

use serde_json::Value;

use crate::support::{Received, Receiver, SOON, World, hook};

/// With a socket, for what is asked of the daemon.
const SECTION: &str = "[socket]\npath = \"webhooksd.sock\"";

fn insert(world: &World, n: u32, tenant: Option<&str>) {
    let sql = "INSERT INTO outbox (event, data, tenant) VALUES ('stockMovement.shipped', ?1, ?2)";
    let outbox = world.outbox();
    outbox
        .execute(sql, (format!("{{\"n\":{n}}}"), tenant))
        .unwrap();
}

fn tenant_of(request: &Received) -> Value {
    request.json()["tenantId"].clone()
}

/// The bodies in the order of `n`.
fn by_n(mut requests: Vec<Received>) -> Vec<Received> {
    requests.sort_by_key(Received::n);
    requests
}

#[test]
fn two_tenants_keep_theirs_in_every_attempt_redelivery_and_replay() {
    let (all, globex) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[]);
    let lift = |name, receiver: &Receiver| hook(name, receiver.url("/")).dialect("openboxes-lift");
    let hooks = [
        lift("all", &all),
        lift("globex", &globex).line("tenants = [\"globex\"]"),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    let tenants = [
        None,
        Some("globex"),
        Some("globex"),
        Some("a \"b\"\u{e9}"),
        None,
    ];
    for (n, tenant) in (1..).zip(tenants) {
        insert(&world, n, tenant);
    }
    let first = by_n(all.wait(5, SOON));
    let sent: Vec<Value> = first.iter().map(tenant_of).collect();
    let expected = tenants.map(|tenant| Value::from(tenant.unwrap_or("acme")));
    assert_eq!(sent, expected, "the file says acme");
    let theirs = globex.wait(2, SOON);
    assert!(theirs.iter().all(|request| tenant_of(request) == "globex"));
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 7, SOON);

    let ids = world.log("SELECT id FROM delivery WHERE webhook = 'all' ORDER BY event_id");
    let mut again = vec!["redeliver"];
    again.extend(ids.iter().map(|row| &*row[0]));
    world.command(&again).expect(0);
    let both = by_n(all.wait(10, SOON));
    for pair in both.chunks(2) {
        assert_eq!(pair[0].text(), pair[1].text());
    }
    let replay = ["replay", "--since", "2020-01-01", "--webhook", "all"];
    world.command(&replay).expect(0);
    let thrice = by_n(all.wait(15, SOON));
    for (same, first) in thrice.chunks(3).zip(&first) {
        assert!(same.iter().all(|one| one.body == first.body));
    }
    daemon.stop();
}

#[test]
fn a_sample_is_of_a_tenant_that_the_webhook_is_for() {
    let receivers = [Receiver::ok(), Receiver::ok(), Receiver::ok()];
    let world = World::new(&[]);
    let lists = [
        "# all",
        "tenants = [\"globex\", \"acme\"]",
        "tenants = [\"globex\", \"b\"]",
    ];
    let names = ["all", "both", "others"];
    let hooks: Vec<_> = (names.iter().zip(&receivers).zip(lists))
        .map(|((name, receiver), list)| {
            let hook = hook(name, receiver.url("/"));
            hook.dialect("openboxes-lift").line(list)
        })
        .collect();
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    for (name, receiver) in names.iter().zip(&receivers) {
        world.command(&["test", name]).expect(0);
        let sent = tenant_of(&receiver.wait(1, SOON)[0]);
        let expected = if *name == "others" { "globex" } else { "acme" };
        assert_eq!(sent, expected, "{name}");
    }
    daemon.stop();
}
