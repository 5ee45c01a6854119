//! Webhooks that change while deliveries wait for their next try: renamed, gone and back, another
//! dialect, another tenant, another URL.

use std::time::Duration;

use crate::socket::SECTION;
use crate::support::{Answer, Hook, Receiver, SOON, World, check, hook, stays};

/// Later than any retry of bold-cms.
const AFTER_RETRY: Duration = Duration::from_secs(25);

fn world(hooks: &[Hook]) -> World {
    let world = World::new(hooks);
    world.configure_with(SECTION, hooks);
    world
}

fn states(world: &World) -> Vec<Vec<String>> {
    world.log("SELECT webhook, event_id, state, attempts FROM delivery ORDER BY id")
}

/// A name is a webhook: under a new one there is a new webhook, which gets what comes after; what
/// waited for the old one is cancelled, and brought back only by whoever asks for it.
#[test]
fn a_renamed_webhook_is_another_one() {
    let failing = Receiver::start(|_| Answer::status(500));
    let good = Receiver::ok();
    let world = world(&[hook("old", failing.url("/"))]);
    let daemon = world.start();
    world.emit("e", "{\"n\":1}");
    world.attempts("id", 1, SOON);
    world.configure_with(SECTION, &[hook("new", good.url("/"))]);
    daemon.reload();
    world.emit("e", "{\"n\":2}");
    good.wait(1, SOON);
    let cancelled = [
        ["old", "1", "cancelled", "1"],
        ["new", "2", "delivered", "1"],
    ];
    crate::support::eventually("both are settled", SOON, || {
        let seen = states(&world);
        check(seen == cancelled, || format!("{seen:?}"))
    });
    let refused = world.command(&["redeliver", "--cancelled", "--webhook", "old"]);
    println!("{:?}: {}{}", refused.code, refused.stdout, refused.stderr);
    assert_eq!(
        good.count(),
        1,
        "nothing goes to another webhook than its own"
    );
    daemon.stop();
}

/// Gone and back between two tries: what was cancelled stays so, until somebody brings it back.
#[test]
fn what_was_cancelled_stays_so_when_its_webhook_comes_back() {
    let receiver =
        Receiver::start(|request| Answer::status(if request.n() == 1 { 500 } else { 200 }));
    let hooks = [
        hook("w", receiver.url("/")),
        hook("other", "http://127.0.0.1:9/").events("x"),
    ];
    let world = world(&hooks);
    let daemon = world.start();
    world.emit("e", "{\"n\":1}");
    world.attempts("id", 1, SOON);
    for present in [&hooks[1..], &hooks, &hooks[1..], &hooks] {
        world.configure_with(SECTION, present);
        daemon.reload();
    }
    world.emit("e", "{\"n\":2}");
    receiver.wait(2, SOON);
    stays(
        "the first is not tried again",
        Duration::from_secs(12),
        || {
            let seen = receiver.count();
            check(seen == 2, || seen.to_string())
        },
    );
    let expected = [["w", "1", "cancelled", "1"], ["w", "2", "delivered", "1"]];
    assert_eq!(states(&world), expected);
    world
        .command(&["redeliver", "--cancelled", "--webhook", "w"])
        .expect(0);
    receiver.wait(3, SOON);
    daemon.stop();
}

/// A delivery keeps its dialect and its bytes; URL, secret and headers are today's.
#[test]
fn a_retry_keeps_its_dialect_and_tenant_and_takes_todays_url_and_secret() {
    let before = Receiver::start(|_| Answer::status(500));
    let after = Receiver::ok();
    let cms = hook("cms", before.url("/cms")).secret("first");
    let lift = hook("lift", before.url("/lift")).dialect("openboxes-lift");
    let world = world(&[cms, lift]);
    let daemon = world.start();
    world.emit("e", "{\"n\":1}");
    let first = before.wait(2, SOON);
    world.attempts("id", 2, SOON);
    let changed = [
        hook("cms", after.url("/cms"))
            .dialect("bold-factory")
            .secret("second"),
        hook("lift", after.url("/lift")).dialect("openboxes-lift"),
    ];
    world.configure_with(SECTION, &changed);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace("\"acme\"", "\"other\""));
    daemon.reload();
    // The retry of bold-cms comes after 10 s, that of openboxes-lift after a minute: it is brought on.
    world
        .change_log("UPDATE parked SET due_at = 0 WHERE webhook_id = (SELECT id FROM webhook_name WHERE name = 'lift')")
        .unwrap();
    world.emit("e", "{\"n\":2}");
    let requests = after.wait(3, AFTER_RETRY);
    let retry = requests
        .iter()
        .find(|r| r.n() == 1 && r.lines()[0].contains("/cms"));
    let retry = retry.unwrap();
    let original = first
        .iter()
        .find(|r| r.lines()[0].contains("/cms"))
        .unwrap();
    assert_eq!(retry.body, original.body);
    let signature = crate::support::hmac_hex("second", &retry.body);
    assert_eq!(retry.header("X-Qt-Signature"), Some(&*signature));
    assert_eq!(retry.header("X-Bold-Signature"), None);
    let tenants: Vec<bool> = requests
        .iter()
        .filter(|r| r.lines()[0].contains("/lift"))
        .map(|r| r.text().contains("\"tenantId\":\"other\""))
        .collect();
    assert_eq!(tenants, [true], "a new event has today's tenant");
    daemon.stop();
    // After a restart everything is looked for anew, and the tenant of the old one is still its own.
    let daemon = world.start();
    let requests = after.wait(4, AFTER_RETRY);
    let kept = requests
        .iter()
        .any(|r| r.text().contains("\"tenantId\":\"acme\""));
    assert!(kept, "a retry keeps its tenant");
    daemon.stop();
}
