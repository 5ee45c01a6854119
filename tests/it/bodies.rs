//! `[log] bodies = "failed"`: what a person sees of what was delivered, and what is refused.

use crate::socket::SECTION;
use crate::support::{Answer, Receiver, SOON, World, hook, insert, sqlite};

const DELIVERED: &str = "SELECT count(*) FROM delivery WHERE state = 'delivered'";

#[test]
fn a_reload_ends_the_keeping_of_bodies_and_replay_needs_none() {
    let receiver =
        Receiver::start(|_| Answer::with_body(200, "content-type: text/plain\r\n", b"thanks"));
    let hooks = [hook("a", receiver.url("/"))];
    let world = World::new(&[]);
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    let outbox = world.outbox();
    insert(&outbox, "e", r#"{"word":"early"}"#);
    world.wait_number(DELIVERED, 1, SOON);

    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let line = "path = \"log.db\"\nbodies = \"failed\"\n";
    let text = text.replacen("path = \"log.db\"\n", line, 1);
    world.write("webhooks.toml", text);
    daemon.reload();
    insert(&outbox, "e", r#"{"word":"tardy"}"#);
    world.wait_number(DELIVERED, 2, SOON);
    let kept = "SELECT request_body IS NULL, response_body IS NULL FROM log ORDER BY id";
    assert_eq!(world.log(kept), [["0", "0"], ["1", "1"]]);

    let told = world.command(&["logs", "-v"]).expect(0).stdout;
    assert!(told.contains("early") && !told.contains("tardy"), "{told}");
    for (sign, times) in [("> (body not kept)", 1), ("< (body not kept)", 1)] {
        assert_eq!(told.matches(sign).count(), times, "{told}");
    }
    let json = world.command(&["logs", "-v", "--json"]).expect(0).stdout;
    let not_kept = r#""not_kept":["request_body","response_body"]"#;
    let says: Vec<bool> = json.lines().map(|line| line.contains(not_kept)).collect();
    assert_eq!(says, [false, true], "{json}");

    let refused = world.command(&["redeliver", "2"]).expect(1);
    assert!(refused.stderr.contains("not kept"), "{}", refused.stderr);
    let sql = "INSERT INTO redelivery (delivery_id) VALUES (2)";
    let error = sqlite(&world.path("log.db"), sql).unwrap_err();
    assert!(error.contains("was not kept"), "{error}");
    world.command(&["redeliver", "1"]).expect(0);
    world.wait_number(DELIVERED, 3, SOON);

    world
        .command(&["replay", "--since", "2020-01-01", "--webhook", "a"])
        .expect(0);
    world.wait_number(DELIVERED, 5, SOON);
    let late = receiver.received();
    let late = late
        .iter()
        .filter(|request| request.text().contains("tardy"));
    assert_eq!(late.count(), 2, "with its body once more, from the outbox");
}
