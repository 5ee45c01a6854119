//! Each of the four events in every dialect, to the words of its `data`.

use serde_json::{Value, json};

use super::{FAILED, OWN, PAUSED, REJECTED, RESUMED, asking, failing, reject, world};
use crate::support::{Answer, Received, Receiver, SOON, World};

/// Holds what an event of that name says; the delivery that was given up is `delivery`.
fn says_so(delivery: i64, name: &str, data: &Value) {
    match name {
        FAILED => assert_eq!(
            *data,
            json!({"webhook": "depot", "delivery": delivery, "event": "story-submit", "event_id": 1,
                   "attempts": 1, "status": 500, "error": data["error"]})
        ),
        PAUSED | RESUMED => {
            let since = data["since"].as_i64().unwrap();
            assert!(since > 1_700_000_000_000, "{data}");
            let all = json!({"webhook": "depot", "reason": null, "since": since});
            assert_eq!(*data, all);
        }
        REJECTED => assert_eq!(
            *data,
            json!({"event": "webhooksd.mine", "event_id": 2, "reason": data["reason"]})
        ),
        other => panic!("{other}"),
    }
}

/// By their numbers, which grow, and are above 2^52.
fn come_as_bold_cms(delivery: i64, mut got: Vec<Received>) {
    got.sort_by_key(|request| request.json()["v1"]["event"]["id"].as_i64());
    let mut last = 1_i64 << 52;
    for (place, request) in got.iter().enumerate() {
        let body = &request.json()["v1"];
        let name = body["event"]["name"].as_str().unwrap();
        assert_eq!(name, [FAILED, REJECTED, PAUSED, RESUMED][place]);
        says_so(delivery, name, &body["data"]);
        let id = body["event"]["id"].as_i64().unwrap();
        assert!(id > last && id < 1 << 53, "{id} after {last}");
        last = id;
        // In the documented order.
        let data = request.text().split("\"data\":").nth(1).unwrap();
        let first = match name {
            REJECTED => "{\"event\":",
            _ => "{\"webhook\":",
        };
        assert!(data.starts_with(first), "{data}");
    }
}

/// By ids that are strings, by which `explain` knows them.
fn come_with_strings(world: &World, delivery: i64, prefix: &str, key: &str, got: &[Received]) {
    for request in got {
        let body = request.json();
        let name = body[key].as_str().unwrap();
        says_so(delivery, name, &body["data"]);
        let id = body["id"].as_str().unwrap();
        assert!(id.starts_with(prefix), "{id}");
        if prefix == "evt-" {
            let is_of_event = matches!(name, FAILED | REJECTED);
            let tenant = if is_of_event { "globex" } else { "acme" };
            assert_eq!(body["tenantId"], tenant, "{body}");
        }
        let told = world.command(&["explain", id]).expect(0).stdout;
        for word in [
            "which webhooksd itself has made",
            name,
            "delivered",
            "depot",
        ] {
            assert!(told.contains(word), "{word}\n{told}");
        }
    }
}

#[test]
fn each_of_the_four_in_every_dialect() {
    let (cms, factory, lift) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let dead = Receiver::start(|_| Answer::status(500));
    let world = world(&[
        asking("cms", &cms),
        asking("factory", &factory).dialect("bold-factory"),
        asking("lift", &lift).dialect("openboxes-lift"),
        failing("depot", &dead),
    ]);
    let _daemon = world.start();
    let sql =
        "INSERT INTO outbox (event, data, tenant) VALUES ('story-submit', '{\"n\":1}', 'globex')";
    world.outbox().execute_batch(sql).unwrap();
    lift.wait(1, SOON);
    reject(&world);
    lift.wait(2, SOON);
    world.command(&["pause", "depot", "--for", "2h"]).expect(0);
    lift.wait(3, SOON);
    world.command(&["resume", "depot"]).expect(0);
    let delivery = world.number("SELECT id FROM delivery WHERE webhook = 'depot'");
    come_as_bold_cms(delivery, cms.wait(4, SOON));
    let (factory, lift) = (factory.wait(4, SOON), lift.wait(4, SOON));
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 12, SOON);
    come_with_strings(&world, delivery, "evt_", "event", &factory);
    come_with_strings(&world, delivery, "evt-", "type", &lift);
    assert_eq!(world.number("SELECT count(*) FROM rejected"), 1);
    let tenants = world.log("SELECT DISTINCT tenant FROM payload WHERE tenant IS NOT NULL");
    assert_eq!(tenants, [["globex"]]);
    let number = world
        .number("SELECT max(event_id) FROM delivery")
        .to_string();
    let told = world.command(&["explain", &number]).expect(0).stdout;
    assert!(told.contains(RESUMED), "{told}");
    // A replay reads the outbox, where none of them is.
    let replay = ["replay", "--since", "1h", "--webhook", "cms"];
    world.command(&replay).expect(0);
    assert_eq!(world.number(OWN), 4);
}
