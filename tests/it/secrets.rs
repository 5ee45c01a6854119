//! The sweep for secrets: about everything is driven with marked ones, then everything that came out
//! is searched for the marks.
//!
//! Marked are signing secrets from each of their homes, values of headers of the user's own, passwords
//! in URLs, and what stands in broken lines of the configuration. Searched are the databases (every
//! column, every byte of the files beside them), the journal in each form, what each command prints,
//! and each answer of socket and metrics, on ways where all goes well and on those where nothing does.
//! What must carry a secret is the exception: the request to the endpoint, and the configuration.
//! Tokens in URLs are no secrets for the log, where the URL stands; elsewhere they are.

mod scene;

use std::ffi::OsStr;

use rustix::process::Signal;

use crate::page::browser::{Browser, links};
use crate::socket::client::{curl, post};
use crate::support::{SOON, check, eventually, shim};
use scene::{Pile, Scene};

/// Every command that reads the configuration, each on its way to an answer or an error.
const COMMANDS: [&[&str]; 18] = [
    &["check"],
    &["status"],
    &["status", "--json"],
    &["logs"],
    &["logs", "--failed", "-v"],
    &["logs", "--json", "-n", "500"],
    &["explain", "1"],
    &["explain", "4711"],
    &["emit", "e", "{\"n\":9}"],
    &["emit", "e", "no JSON"],
    &["test", "no-such-webhook"],
    &["redeliver", "--failed"],
    &["redeliver", "1", "4711"],
    &["cancel", "4711"],
    &["match", "reset", "--json"],
    &["replay", "--since", "1h", "--dry-run"],
    &["start-from", "now"],
    &["reload"],
];

/// What is asked of the socket, with a body where it is a POST.
const ASKED: [(&str, Option<&str>); 12] = [
    ("/health", None),
    ("/status", None),
    ("/metrics", None),
    ("/nowhere", None),
    ("/events", None),
    ("/events", Some("no JSON")),
    ("/events", Some(r#"{"event":"e","data":{},"secret":1}"#)),
    ("/webhooks/nobody/test", Some("")),
    ("/webhooks/reset/test", Some(r#"{"data":}"#)),
    ("/deliveries/1/redeliver", Some("")),
    ("/deliveries/x/redeliver", Some("")),
    ("/deliveries/4711/cancel", Some("")),
];

fn commands(scene: &Scene, pile: &mut Pile) {
    for words in COMMANDS {
        pile.add_command(&scene.world, words, &scene.environment());
    }
}

/// Broken files: none may be taken, and no error may tell what was secret in them.
fn broken(scene: &Scene, pile: &mut Pile) {
    let good = std::fs::read(scene.world.path("webhooks.toml")).unwrap();
    for (number, text) in scene.broken().into_iter().enumerate() {
        scene.world.write("webhooks.toml", &text);
        let refused = post(&scene.world, "/reload", "");
        assert_eq!(refused.status, 422, "{text}\n{refused:?}");
        pile.add(
            &format!("POST /reload of broken file {number}"),
            &refused.body,
        );
        for words in [
            &["check"][..],
            &["reload"],
            &["status"],
            &["run"],
            &["test", "good"],
        ] {
            let name = format!("{words:?} with broken file {number}");
            let ended = scene.world.command_behind(&[], words, &scene.environment());
            assert_ne!(ended.code, Some(101), "{name}: {}", ended.stderr);
            pile.add(&name, &(ended.stdout + &ended.stderr));
        }
    }
    scene.world.write("webhooks.toml", good);
}

/// Every address of the page that one gets to from its first, as far as they are of different kinds and many.
fn pages(scene: &Scene, pile: &mut Pile) {
    let browser = Browser::start(scene.world.folder(), &[]);
    // Popped from the end; what is not led to by a link is asked for by its name.
    let mut ahead = [
        "/",
        "/log?q=webhook:no-such-webhook",
        "/redeliver?q=",
        "/cancel?webhook=reset",
        "/replay?event=1",
        "/new?name=reset&url=ftp://h&secret_file=gone",
        "/new?name=another&url=https://h.example/&events=*",
        "/webhooks/reset/match",
        "/deliveries/1/difference",
        "/deliveries/1/export.json",
        "/deliveries/1/export.html",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut seen = Vec::new();
    while let Some(path) = ahead.pop() {
        if seen.contains(&path) || seen.len() >= 120 {
            continue;
        }
        let reply = browser.ask(&path, &[]);
        let found = links(&reply.body, "/");
        ahead.extend(found.into_iter().filter(|path| path != "/page.css"));
        pile.add(&format!("the page {path}"), &(reply.head + &reply.body));
        seen.push(path);
    }
    let deliveries = seen.iter().filter(|path| path.starts_with("/deliveries/"));
    assert!(deliveries.count() > 3, "{seen:?}");
}

/// One life of the daemon, with everything that can be asked of it.
fn live(scene: &Scene, pile: &mut Pile, arguments: &[&str], end: Signal) {
    let (world, names) = (&scene.world, &scene.names);
    let mut daemon = world.spawn_behind(
        &["sh", "-c", "ulimit -c 0; exec \"$@\"", "sh"],
        arguments,
        &scene.environment(),
    );
    if arguments.last() != Some(&"error") {
        daemon.wait_ready();
    }
    let before = world.number("SELECT count(*) FROM log");
    world.emit("e", r#"{"n":1}"#);
    let expected = before + i64::try_from(names.len()).unwrap();
    eventually("every webhook was tried", SOON, || {
        let seen = world.number("SELECT count(*) FROM log");
        check(seen >= expected, || format!("{seen} of {expected}"))
    });
    let process = format!("/proc/{}", daemon.pid());
    pile.add(
        "its arguments",
        &std::fs::read(format!("{process}/cmdline")).unwrap(),
    );
    let children = std::fs::read_to_string(format!("{process}/task/{}/children", daemon.pid()));
    assert_eq!(
        children.unwrap_or_default(),
        "",
        "nobody inherits what it knows"
    );
    commands(scene, pile);
    for (path, body) in ASKED {
        let reply = match body {
            Some(body) => post(world, path, body),
            None => curl(world, path, &[]),
        };
        pile.add(path, &(reply.head + &reply.body));
    }
    pages(scene, pile);
    pile.add("the metrics over TCP", &scene.metrics());
    // Every file as it is while the daemon runs, its write-ahead logs among them.
    pile.add_folder(world);
    if end == Signal::ABORT {
        for name in names {
            pile.add_command(world, &["test", name], &scene.environment());
        }
        broken(scene, pile);
    }
    daemon.signal(end);
    daemon.wait(SOON);
    pile.add("the journal", &daemon.journal());
    pile.add_folder(world);
}

#[test]
fn no_secret_comes_out_anywhere() {
    let scene = Scene::new();
    let mut pile = Pile::default();
    live(&scene, &mut pile, &[], Signal::TERM);
    live(&scene, &mut pile, &["--journal", "json"], Signal::ABORT);
    live(&scene, &mut pile, &["--level", "error"], Signal::TERM);
    pile.add_log(&scene.world);
    // Commands alone, with the daemon gone.
    commands(&scene, &mut pile);
    scene.wire_had_them();
    println!("{} texts, {} bytes searched", pile.count(), pile.bytes());
    pile.hold();
    scene.key_is_kept(&pile);
}

/// A start that fails for want of threads, of the lock, of the socket: each says why, and no secret.
#[test]
fn no_start_that_fails_tells_a_secret() {
    let scene = Scene::new();
    let mut pile = Pile::default();
    let library = shim("threads");
    let mut none = scene.environment();
    none.push(("LD_PRELOAD", library.as_os_str()));
    none.push(("SHIM_THREADS", OsStr::new("0")));
    let ended = scene.world.command_behind(&[], &["run"], &none).expect(1);
    pile.add("run without threads", &ended.stderr);
    let _daemon = scene.started();
    let ended = scene
        .world
        .command_behind(&[], &["run"], &scene.environment())
        .expect(1);
    assert!(
        ended.stderr.contains("in use by process"),
        "{}",
        ended.stderr
    );
    pile.add("a second run", &ended.stderr);
    pile.hold();
}

/// A core would hold secrets and bodies, so the process asks for none, whatever its parent did.
#[test]
fn a_crash_leaves_no_core() {
    let scene = Scene::new();
    let mut daemon = scene.world.spawn_behind(
        &["sh", "-c", "ulimit -S -c unlimited; exec \"$@\"", "sh"],
        &[],
        &scene.environment(),
    );
    daemon.wait_ready();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let soft = core.unwrap().split_whitespace().nth(4);
    assert_eq!(soft, Some("0"), "{limits}");
}
