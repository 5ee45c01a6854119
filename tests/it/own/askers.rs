//! Who asks, and when: whose event it was is known also where nobody asked as it was taken, and `explain` says why
//! a webhook did not get an event of webhooksd itself.

use super::{FAILED, PAUSED, asking, failing, told_are, world};
use crate::socket::SECTION;
use crate::support::{Answer, Hook, Receiver, SOON, World, hook};

/// The newest event of webhooksd itself.
const NEWEST: &str = "SELECT max(event_id) FROM delivery WHERE event LIKE 'webhooksd.%'";

fn of_globex(world: &World) {
    let sql = "INSERT INTO outbox (event, data, tenant) VALUES ('e', '{}', 'globex')";
    world.outbox().execute_batch(sql).unwrap();
}

/// Asks for the events about a tenant's.
fn for_tenant(name: &str, receiver: &Receiver, tenant: &str) -> Hook {
    asking(name, receiver)
        .dialect("openboxes-lift")
        .line(format!("tenants = [{tenant:?}]"))
}

#[test]
fn whose_event_it_was_is_known_also_where_nobody_asked_when_it_was_taken() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let depot = || failing("depot", &dead);
    let with_ops = [depot(), for_tenant("ops", &ops, "globex")];
    let world = world(&[depot()]);
    let daemon = world.start();
    let pending = "SELECT count(*) FROM delivery WHERE webhook = 'depot' AND state = 'pending'";
    for count in 1..=2 {
        // Taken while nobody asks, and given up once somebody does; then the same after the last has left.
        world.command(&["pause", "depot"]).expect(0);
        world.configure_with(SECTION, &[depot()]);
        daemon.reload();
        of_globex(&world);
        world.wait_number(pending, 1, SOON);
        world.configure_with(SECTION, &with_ops);
        daemon.reload();
        world.command(&["resume", "depot"]).expect(0);
        let got = ops.wait(count, SOON);
        let body = got[count - 1].json();
        assert_eq!(
            (&body["type"], &body["tenantId"]),
            (&FAILED.into(), &"globex".into()),
            "{body}"
        );
    }
    daemon.stop();
}

#[test]
fn a_pause_stays_with_its_webhook_and_resume_finds_each_there_is() {
    let ops = Receiver::ok();
    let world = world(&[
        asking("ops", &ops),
        hook("depot", ops.url("/")).events("none"),
    ]);
    let _daemon = world.start();
    world.command(&["pause", "depot"]).expect(0);
    told_are(&ops, &[PAUSED]);
    let moved = "UPDATE pause SET webhook = 'left'";
    let refused = world.change_log(moved).unwrap_err().to_string();
    assert!(
        refused.contains("a pause is of one webhook: delete the row, and insert another"),
        "{refused}"
    );
    world
        .change_log("UPDATE pause SET webhook = 'depot', reason = 'why'")
        .unwrap();
    // One that an earlier log let through is found.
    world.change_log("DROP TRIGGER pause_of_one").unwrap();
    world.change_log(moved).unwrap();
    let said = world.command(&["resume", "left"]).expect(0).stdout;
    assert!(said.contains("left is resumed"), "{said}");
    assert_eq!(world.number("SELECT count(*) FROM pause"), 0);
    world.command(&["resume", "left"]).expect(2);
}

/// What `explain` says of the newest event of webhooksd itself, by the webhook's name.
fn explained(world: &World, webhook: &str) -> String {
    let id = world.number(NEWEST).to_string();
    let told = world.command(&["explain", &id]).expect(0).stdout;
    let mut lines = told
        .lines()
        .filter(|line| line.starts_with(&format!("{webhook} ")));
    lines.next().unwrap_or(&told).to_owned()
}

#[test]
fn explain_says_why_a_webhook_did_not_get_one() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let choosy =
        |name: &str| asking(name, &ops).line("where = [{ path = \"$.webhook\", eq = \"shop\" }]");
    let hooks = [
        asking("ops", &ops),
        for_tenant("initech", &ops, "initech"),
        choosy("choosy"),
        hook("all", ops.url("/")),
        asking("idle", &ops).line("active = false"),
        failing("depot", &dead).events("e"),
    ];
    let world = world(&hooks);
    let daemon = world.start();
    of_globex(&world);
    let delivered = "SELECT count(*) FROM delivery WHERE webhook = 'ops' AND state = 'delivered'";
    world.wait_number(delivered, 1, SOON);
    let mut later = hooks.to_vec();
    later[4] = asking("idle", &ops);
    later.push(asking("later", &ops));
    world.configure_with(SECTION, &later);
    daemon.reload();
    for (webhook, words) in [
        ("ops", "delivered "),
        (
            "initech",
            "not sent: the event is of tenant globex, the webhook is for initech",
        ),
        (
            "choosy",
            "not sent: rule 1 of where does not hold, $.webhook eq \"shop\": at $.webhook is \"depot\"",
        ),
        (
            "all",
            "not sent: only a pattern that begins with webhooksd. gets webhooksd's own events: *",
        ),
        ("idle", "which is after the event"),
        ("later", "which is after the event"),
        ("depot", "not sent: no pattern of events matches: e"),
    ] {
        let told = explained(&world, webhook);
        assert!(told.contains(words), "{words}\n{told}");
    }
    daemon.stop();
}

#[test]
fn explain_says_that_no_body_is_kept_to_judge_by() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let where_ = "where = [{ path = \"$.attempts\", gt = 1 }]";
    let hooks = [
        asking("ops", &ops),
        asking("choosy", &ops).line(where_),
        for_tenant("initech", &ops, "initech"),
        failing("depot", &dead),
    ];
    let world = world(&hooks);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let line = "path = \"log.db\"\nbodies = \"failed\"\n";
    let text = text.replacen("path = \"log.db\"\n", line, 1);
    world.write("webhooks.toml", text);
    let _daemon = world.start();
    of_globex(&world);
    let gone = "SELECT count(*) FROM payload WHERE event LIKE 'webhooksd.%' AND body IS NULL";
    world.wait_number(gone, 1, SOON);
    let told = explained(&world, "choosy");
    assert!(
        told.contains("not known: the log keeps no body of it"),
        "{told}"
    );
    let told = explained(&world, "initech");
    assert!(told.contains("the event is of tenant globex"), "{told}");
}
