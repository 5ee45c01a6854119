//! What `status`, `/status`, `/health` and commands say of several nodes on one log, and of a log whose server is away.

use rustix::process::Signal;
use serde_json::Value;

use super::logging;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{
    Daemon, Database, Postgres, Receiver, SOON, World, check, eventually, hook, postgres,
};

/// A folder with its own socket for one log, as a machine has.
fn machine(database: &Database, receiver: &Receiver) -> World {
    logging(database, SECTION, &[hook("one", receiver.url("/"))])
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The names of the nodes that take events in.
fn leading(nodes: &Value) -> Vec<String> {
    let nodes = nodes.as_array().unwrap();
    let leading = nodes.iter().filter(|node| node["leads"] == true);
    let names = leading.map(|node| node["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// Waits until a machine sees so many nodes, and who of them leads.
fn lead_seen(world: &World, nodes: usize) -> String {
    eventually("who leads is told", SOON, || {
        let told = world.command(&["status", "--json"]).expect(0).stdout;
        let told = json(&told);
        let seen = told["nodes"].as_array().unwrap().len();
        let leads = leading(&told["nodes"]);
        let is_one = seen == nodes && leads.len() == 1;
        check(is_one, || told.to_string()).map(|()| leads[0].clone())
    })
}

fn lines<'a>(text: &'a str, words: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(words)).collect()
}

#[test]
fn who_takes_events_in_is_told_with_and_without_a_daemon() {
    let Some(server) = postgres() else { return };
    let (database, receiver) = (server.database(), Receiver::ok());
    let (first, second) = (machine(&database, &receiver), machine(&database, &receiver));
    let one = first.start_with(&["--node", "one"]);
    let two = second.start_with(&["--node", "two"]);
    for world in [&first, &second] {
        assert_eq!(lead_seen(world, 2), "one");
        let status = json(&curl(world, "/status", &[]).expect(200).body);
        assert_eq!(leading(&status["nodes"]), ["one"]);
        let shown = world.command(&["status"]).expect(0).stdout;
        let told = lines(&shown, "takes events in");
        assert!(told.len() == 1 && told[0].contains("node one"), "{shown}");
    }
    // Their rows stay, and no daemon says anything of them.
    one.kill();
    two.kill();
    assert_eq!(lead_seen(&second, 2), "one");
    let shown = second.command(&["status"]).expect(0).stdout;
    assert!(shown.starts_with("daemon: not running"), "{shown}");
    let told = lines(&shown, "takes events in");
    assert!(told.len() == 1 && told[0].contains("node one"), "{shown}");
    let told = json(&second.command(&["status", "--json"]).expect(0).stdout);
    assert_eq!(told["nodes"][0]["last_beat_ms"], Value::Null, "{told}");
}

/// Each order fails, and says that it was not taken and what there is to do.
fn orders_say_what_to_do(world: &World) {
    for order in [
        &["pause", "one"][..],
        &["resume", "one"],
        &["redeliver", "1"],
        &["cancel", "1"],
        &["cancel", "--webhook", "one"],
        &["redeliver", "--failed"],
    ] {
        let said = world.command(order).expect(1).stderr;
        let hint = "hint: the order was not taken, and is to be given again: if it should be there, see [log] url";
        assert!(
            said.contains("is away") && said.contains(hint),
            "{order:?}: {said}"
        );
    }
}

#[test]
fn a_log_whose_server_is_away_is_told_of_once_beside_what_the_daemon_says() {
    let Some(mut server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let (database, receiver) = (server.database(), Receiver::ok());
    let world = machine(&database, &receiver);
    let daemon = world.start_with(&["--node", "one"]);
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    server.kill();
    eventually("it is said once, with the steps", SOON, || {
        let health = curl(&world, "/health", &[]);
        let complaints = json(&health.body)["complaints"].clone();
        let of_log = complaints.as_array().unwrap().iter();
        let of_log = of_log.filter_map(Value::as_str);
        let of_log: Vec<_> = of_log
            .filter(|line| line.contains("server of log"))
            .collect();
        let steps = ["read due deliveries", "look which webhooks are this node's"];
        let are_named = of_log.len() == 1 && steps.iter().all(|step| of_log[0].contains(step));
        let hint = "see [log] url";
        let is_hinted = of_log.iter().all(|line| line.matches(hint).count() == 1);
        check(health.status == 503 && are_named && is_hinted, || {
            health.body
        })
    });
    let told = world.command(&["status"]).expect(1);
    let said = lines(&told.stderr, "server of log");
    assert!(
        said.len() == 1 && said[0].contains("is away"),
        "{}",
        told.stderr
    );
    assert_eq!(lines(&told.stderr, "hint: ").len(), 1, "{}", told.stderr);
    let process = format!("daemon: NOT WELL, process {}, version ", daemon.pid());
    assert!(told.stdout.starts_with(&process), "{}", told.stdout);
    assert!(
        told.stdout.contains("\n  it runs since 20"),
        "{}",
        told.stdout
    );
    assert_eq!(
        lines(&told.stdout, "server of log").len(),
        1,
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains("node one: 1 webhook"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("from the log"), "{}", told.stdout);
    let told = json(&world.command(&["status", "--json"]).expect(1).stdout);
    assert_eq!(told["daemon"]["healthy"], false, "{told}");
    assert_eq!(told["failing"], Value::Null, "{told}");
    assert!(
        told["log_problem"].to_string().contains("see [log] url"),
        "{told}"
    );
    orders_say_what_to_do(&world);
    server.up();
    eventually("it is well again", SOON, || {
        let told = world.command(&["status", "--check"]);
        check(told.code == Some(0), || told.stdout + &told.stderr)
    });
    daemon.stop();
}

#[test]
fn a_log_whose_server_says_nothing_is_not_waited_for() {
    let Some(server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let (database, receiver) = (server.database(), Receiver::ok());
    let world = machine(&database, &receiver);
    let daemon = world.start_with(&["--node", "one"]);
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    server.signal("STOP");
    eventually("it is not well", SOON, || {
        let health = curl(&world, "/health", &[]);
        check(health.status == 503, || health.body)
    });
    let told = world.command(&["status"]).expect(1);
    let said = lines(&told.stderr, "no answer in 5 s");
    assert_eq!(said.len(), 1, "{}", told.stderr);
    assert_eq!(lines(&told.stderr, "hint: ").len(), 1, "{}", told.stderr);
    let process = format!("daemon: NOT WELL, process {}, ", daemon.pid());
    assert!(told.stdout.starts_with(&process), "{}", told.stdout);
    server.signal("CONT");
    daemon.stop();
}

#[test]
fn a_node_that_stands_still_or_lost_its_socket_is_said_to_be_there() {
    let Some(server) = postgres() else { return };
    let (database, receiver) = (server.database(), Receiver::ok());
    let world = machine(&database, &receiver);
    let daemon = world.start_with(&["--node", "one"]);
    assert_eq!(lead_seen(&world, 1), "one");
    daemon.signal(Signal::STOP);
    let there = format!("daemon: DOES NOT ANSWER, process {}; ", daemon.pid());
    let told = world.command(&["status"]).expect(0).stdout;
    assert!(told.starts_with(&there), "{told}");
    assert!(
        told.contains("node one: 1 webhook, takes events in"),
        "{told}"
    );
    daemon.signal(Signal::CONT);
    std::fs::remove_file(world.path("s.sock")).unwrap();
    let told = world.command(&["status"]).expect(0).stdout;
    assert!(told.starts_with(&there), "{told}");
    assert!(told.contains("its socket was removed"), "{told}");
    daemon.kill();
    let told = world.command(&["status"]).expect(0).stdout;
    assert!(told.starts_with("daemon: not running; "), "{told}");
}

const NAMESAKES: &str = "nodes are called";

/// What the daemon of a machine warns of namesakes.
fn namesakes(world: &World) -> Vec<String> {
    let health = json(&curl(world, "/health", &[]).body);
    let warnings = health["warnings"].as_array().unwrap().iter();
    let told = warnings.filter_map(Value::as_str);
    let told = told.filter(|line| line.contains(NAMESAKES));
    told.map(str::to_owned).collect()
}

fn told_once(daemon: &Daemon) {
    let journal = daemon.journal();
    assert_eq!(lines(&journal, NAMESAKES).len(), 1, "{journal}");
}

#[test]
fn nodes_of_one_name_are_told_of_on_each_and_one_that_starts_again_is_none() {
    let Some(server) = postgres() else { return };
    let (database, receiver) = (server.database(), Receiver::ok());
    let machines = [(); 4].map(|()| machine(&database, &receiver));
    let [first, second, third, fourth] = &machines;
    let one = first.start_with(&["--node", "a"]);
    let other = second.start_with(&["--node", "b"]);
    // The same name on another machine, before the row of the one that was killed has gone.
    one.kill();
    let one = third.start_with(&["--node", "a"]);
    other.wait_journal("its webhooks are taken over");
    for (world, daemon) in [(second, &other), (third, &one)] {
        assert_eq!(namesakes(world), Vec::<String>::new());
        assert!(
            !daemon.journal().contains(NAMESAKES),
            "{}",
            daemon.journal()
        );
    }
    let twin = fourth.start_with(&["--node", "a"]);
    for world in [second, third, fourth] {
        eventually("each tells of it", SOON, || {
            let told = namesakes(world);
            let is_told = told.len() == 1
                && told[0].starts_with("two nodes are called \"a\": ")
                && told[0].contains("run --node NAME");
            check(is_told, || format!("{told:?}"))
        });
    }
    twin.stop();
    for (world, daemon) in [(second, &other), (third, &one)] {
        eventually("it is over", SOON, || {
            let told = namesakes(world);
            check(told.is_empty(), || format!("{told:?}"))
        });
        told_once(daemon);
    }
    one.stop();
    other.stop();
}

#[test]
fn an_id_that_no_row_ever_had_is_told_of_by_when_it_would_be() {
    let Some(server) = postgres() else { return };
    let (database, receiver) = (server.database(), Receiver::ok());
    let world = machine(&database, &receiver);
    let daemon = world.start();
    let id = database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    let explained = world
        .command(&["explain", &id.to_string()])
        .expect(0)
        .stdout;
    assert!(explained.contains("one"), "{explained}");
    let hour = 3_600_000 * 4_096;
    for (unknown, words) in [
        (5, "none of them is so small"),
        (
            id - hour,
            "(1 h ago): it was taken, and is older than both keep",
        ),
        (id - hour, "or no row ever had it"),
        (id + 2 * hour, "which is yet to come"),
    ] {
        let told = world
            .command(&["explain", &unknown.to_string()])
            .expect(1)
            .stderr;
        let known = format!("neither outbox nor log knows event {unknown}");
        assert!(
            told.contains(&known) && told.contains(words),
            "{words}: {told}"
        );
        assert!(told.contains("given by the server's clock"), "{told}");
    }
    daemon.stop();
}

#[test]
fn a_log_that_this_user_may_not_make_ends_migrate_as_it_ends_run() {
    let Some(server) = postgres() else { return };
    let (database, receiver) = (server.database(), Receiver::ok());
    server.psql("postgres", "CREATE ROLE makes_none LOGIN");
    database.sql("GRANT SELECT, DELETE ON outbox TO makes_none");
    let url = database.url_as("makes_none");
    let world = super::logging_by(&url, "", &[hook("one", receiver.url("/"))]);
    for command in ["migrate", "check", "run"] {
        let told = world.command(&[command]).expect(2).stderr;
        assert!(
            told.contains("GRANT CREATE ON DATABASE"),
            "{command}: {told}"
        );
    }
    let away = super::logging_by("postgres://nobody@127.0.0.1:1/none", "", &[]);
    let told = away.command(&["migrate"]).expect(1).stderr;
    assert!(told.contains("is away"), "who waits finds it again: {told}");
}
