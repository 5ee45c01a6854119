//! Nodes whose files differ: told of on both sides once, and what a file lacks waits.

use std::collections::BTreeSet;

use serde_json::Value;

use super::logging;
use crate::socket::SECTION;
use crate::support::{Daemon, Database, Hook, Receiver, SOON, World, check, eventually, hook};

/// What the journal says on the two sides.
const OF_LEAD: &str = "the webhooks.toml of node";
const OF_OTHER: &str = "this node's webhooks.toml";

fn hooks(receiver: &Receiver, names: &[&str]) -> Vec<Hook> {
    let hook = |name: &&str| hook(name, receiver.url(&format!("/{name}"))).secret("key");
    names.iter().map(hook).collect()
}

/// A file of a node's own, for the same log.
fn write(world: &World, database: &Database, hooks: &[Hook]) {
    let other = logging(database, SECTION, hooks);
    let text = std::fs::read_to_string(other.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text);
}

fn status(world: &World) -> Value {
    let told = world.command(&["status", "--json"]).expect(0).stdout;
    serde_json::from_str(&told).unwrap()
}

/// Waits until the daemon of a folder says that these nodes have another file, and warns of so much.
#[track_caller]
fn differ(world: &World, names: &[&str], warns: &[&str]) {
    eventually("what differs is told", SOON, || {
        let status = status(world);
        let nodes = status["nodes"].as_array().unwrap();
        let differ = nodes.iter().filter(|node| node["config_differs"] == true);
        let differ: Vec<_> = differ.map(|node| node["name"].as_str().unwrap()).collect();
        let warnings = status["daemon"]["warnings"].as_array().unwrap();
        let of_files = warnings
            .iter()
            .filter(|warning| warning.to_string().contains("webhooks.toml"));
        let of_files: Vec<_> = of_files.map(ToString::to_string).collect();
        let all = warns
            .iter()
            .all(|warn| of_files.iter().any(|told| told.contains(warn)));
        check(
            differ == names && all && of_files.len() == warns.len(),
            || format!("{differ:?} {warnings:?}"),
        )
    });
}

fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon
        .journal()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

#[test]
fn files_that_differ_are_told_of_on_both_sides_once() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let all = hooks(&receiver, &["a", "b", "c", "d"]);
    let (first, second) = (
        logging(&database, SECTION, &all),
        logging(&database, SECTION, &all),
    );
    // Neither comments nor the order nor secrets count.
    let mut turned: Vec<_> = hooks(&receiver, &["d", "c", "b"]);
    turned.push(hook("a", receiver.url("/a")).secret("another"));
    write(&second, &database, &turned);
    let text = std::fs::read_to_string(second.path("webhooks.toml")).unwrap();
    second.write("webhooks.toml", format!("# The second one.\n\n{text}"));
    let one = first.start_with(&["--node", "one"]);
    let two = second.start_with(&["--node", "two"]);
    let said = "SELECT count(config), count(DISTINCT config) FROM webhooksd.node";
    eventually("both have said by which file they go", SOON, || {
        let said = database.sql(said);
        check(said == "2|1", || said)
    });
    differ(&first, &[], &[]);
    // What decides does.
    write(&second, &database, &hooks(&receiver, &["a", "b", "c"]));
    two.reload();
    two.wait_journal(OF_OTHER);
    one.wait_journal(OF_LEAD);
    differ(&first, &["two"], &[OF_LEAD]);
    let shown = first.command(&["status"]).expect(0).stdout;
    let line = shown
        .lines()
        .find(|line| line.contains("node two"))
        .unwrap();
    assert!(line.ends_with("another webhooks.toml"), "{shown}");
    assert_eq!(lines(&one, OF_LEAD), 1, "{}", one.journal());
    // A change is told once more, and the end ends it.
    write(&second, &database, &hooks(&receiver, &["a", "b"]));
    two.reload();
    eventually("it is told once more", SOON, || {
        let lines = lines(&one, OF_LEAD);
        check(lines == 2, || one.journal())
    });
    write(&second, &database, &all);
    two.reload();
    differ(&first, &[], &[]);
    differ(&second, &[], &[]);
    let secret = database.sql("SELECT string_agg(config, ' ') FROM webhooksd.node");
    assert!(!secret.contains("key"), "{secret}");
    two.stop();
    one.stop();
}

#[test]
fn what_its_nodes_file_lacks_waits_and_is_named() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let names = ["a", "b", "c", "d"];
    let all = hooks(&receiver, &names);
    let (first, second) = (
        logging(&database, SECTION, &all),
        logging(&database, SECTION, &hooks(&receiver, &["a"])),
    );
    let one = first.start_with(&["--node", "one"]);
    let two = second.start_with(&["--node", "two"]);
    let owned = "SELECT w.name FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot
        JOIN webhooksd.node n ON n.id = s.owner WHERE n.name = 'two' ORDER BY w.name";
    let of_two = eventually("the webhooks are shared out", SOON, || {
        let owned = database.sql(owned);
        let is_even = owned.lines().count() == 2;
        check(is_even, || owned.clone()).map(|()| owned)
    });
    let lacking: Vec<&str> = of_two.lines().filter(|name| *name != "a").collect();
    assert!(!lacking.is_empty());
    let sent = names.len() - lacking.len();
    database.emit("e", "{\"n\":1}");
    receiver.wait(sent, SOON);
    differ(&second, &["two"], &[OF_OTHER, "what is pending for"]);
    let warnings = status(&second)["daemon"]["warnings"].to_string();
    for name in &lacking {
        assert!(
            warnings.contains(&format!("\\\"{name}\\\"")),
            "{name}: {warnings}"
        );
    }
    let pending = database.sql("SELECT webhook FROM webhooksd.pending ORDER BY webhook");
    assert_eq!(pending.lines().collect::<Vec<_>>(), lacking);
    assert_eq!(receiver.count(), sent);
    write(&second, &database, &all);
    two.reload();
    let requests = receiver.wait(names.len(), SOON);
    let paths: BTreeSet<_> = requests.iter().map(|r| r.lines()[0].to_owned()).collect();
    assert_eq!(paths.len(), names.len(), "each once");
    differ(&second, &[], &[]);
    two.stop();
    one.stop();
}

/// As one that it lacks: it would be sent by the file of who leads alone.
#[test]
fn what_its_nodes_file_alone_has_inactive_waits_and_is_named() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let names = ["a", "b", "c", "d"];
    let all = hooks(&receiver, &names);
    let inactive: Vec<_> = all
        .iter()
        .map(|hook| hook.clone().line("active = false"))
        .collect();
    let (first, second) = (
        logging(&database, SECTION, &all),
        logging(&database, SECTION, &inactive),
    );
    let one = first.start_with(&["--node", "one"]);
    let two = second.start_with(&["--node", "two"]);
    let owned = "SELECT w.name FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot
        JOIN webhooksd.node n ON n.id = s.owner WHERE n.name = 'two' ORDER BY w.name";
    let of_two = eventually("the webhooks are shared out", SOON, || {
        let owned = database.sql(owned);
        let is_even = owned.lines().count() == 2;
        check(is_even, || owned.clone()).map(|()| owned)
    });
    database.emit("e", "{\"n\":1}");
    receiver.wait(2, SOON);
    differ(&second, &["two"], &[OF_OTHER, "or has it inactive"]);
    let warnings = status(&second)["daemon"]["warnings"].to_string();
    for name in of_two.lines() {
        let named = warnings.contains(&format!("\\\"{name}\\\""));
        assert!(named, "{name}: {warnings}");
    }
    write(&second, &database, &all);
    two.reload();
    receiver.wait(4, SOON);
    differ(&second, &[], &[]);
    two.stop();
    one.stop();
}
