//! `check` before a start, beside a running daemon, and as another user.
//!
//! That it names every refusal of a start is held by `src/daemon/tests.rs`; here the three commands are
//! compared from outside, and what `check` must not do: complain of its own daemon, or change anything.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Finished, Receiver, SOON, World, hook, own_address};

/// A world whose daemon has a socket and a port for its metrics.
fn with_all(receiver: &Receiver, metrics: SocketAddr) -> World {
    let world = World::new(&[]);
    let more = format!("[socket]\npath = \"s.sock\"\n[metrics]\nlisten = \"{metrics}\"");
    world.configure_with(&more, &[hook("w", receiver.url("/"))]);
    world
}

fn names(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The command's output is in files of the folder while it runs, and they are gone by now.
    let mut names: Vec<String> = names.filter(|name| !name.starts_with(".tmp")).collect();
    names.sort();
    names
}

fn quiet(checked: &Finished) {
    assert_eq!((checked.code, &*checked.stderr), (Some(0), ""));
}

/// Changes a text of the configuration.
fn edit(world: &World, from: &str, to: &str) {
    let path = world.path("webhooks.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    world.write("webhooks.toml", text.replace(from, to));
}

#[test]
fn check_run_and_reload_refuse_the_same_file_with_the_same_words() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let socket = "[socket]\npath = \"s.sock\"";
    let good = [hook("w", receiver.url("/"))];
    world.configure_with(socket, &good);
    let daemon = world.start();
    for url in [
        "https://hooks..example.com/",
        "https://127.1/",
        "https://h/a b",
        "http://[::g]/",
    ] {
        let bad = hook("bad", url).line("active = false");
        world.configure_with(socket, &[good[0].clone(), bad]);
        let checked = world.command(&["check"]).expect(2).stderr;
        let reloaded = world.command(&["reload"]).expect(2).stderr;
        let ran = world.command(&["run"]).expect(2).stderr;
        assert!(checked.contains("webhooks.toml:18:7: error: "), "{checked}");
        assert_eq!(checked, reloaded);
        assert!(ran.contains(checked.trim_end()), "{checked}\n--\n{ran}");
    }
    world.configure_with(&format!("{socket}\ngroup = \"no-such-group\""), &good);
    let checked = world.command(&["check"]).expect(2).stderr;
    assert!(checked.contains("webhooks.toml:7:"), "{checked}");
    world.command(&["reload"]).expect(2);
    world.configure_with(socket, &good);
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_reload_names_every_setting_that_needs_a_restart_with_its_line() {
    let receiver = Receiver::ok();
    let world = with_all(&receiver, own_address());
    std::fs::copy(world.path("outbox.db"), world.path("other.db")).unwrap();
    let daemon = world.start();
    edit(&world, "outbox.db", "other.db");
    edit(&world, "log.db", "other-log.db");
    let words = world.command(&["reload"]).expect(2).stderr;
    for (line, name) in [(4, "[outbox] path"), (11, "[log] path")] {
        let place =
            format!("webhooks.toml:{line}:8: error: {name} is another one than at the start");
        assert!(words.contains(&place), "{place}\n{words}");
    }
    // A restart would take it, and so does check: what is in use is this daemon's own. It warns.
    edit(&world, "s.sock\"", "s.sock\"\nmode = \"0600\"");
    let warned = world.command(&["check"]).expect(0).stderr;
    let changed = [
        (4, "[outbox] path"),
        (7, "[socket] mode"),
        (12, "[log] path"),
    ];
    for (line, name) in changed {
        let place = format!("webhooks.toml:{line}:8: warning: {name} is another one than that of");
        assert!(warned.contains(&place), "{place}\n{warned}");
    }
    assert_eq!(
        warned.matches("warning: ").count(),
        changed.len(),
        "{warned}"
    );
    daemon.stop();
}

#[test]
fn metrics_that_are_taken_out_of_the_file_need_a_restart() {
    let receiver = Receiver::ok();
    let metrics = own_address();
    let world = with_all(&receiver, metrics);
    let daemon = world.start();
    let section = format!("[metrics]\nlisten = \"{metrics}\"");
    edit(&world, &section, "");
    let differs = "[metrics] listen is another one than";
    let warned = world.command(&["check"]).expect(0).stderr;
    assert!(
        warned.contains(&format!("warning: {differs} that of")),
        "{warned}"
    );
    let refused = world.command(&["reload"]).expect(2).stderr;
    assert!(
        refused.contains(&format!("error: {differs} at the start")),
        "{refused}"
    );
    // The page stays, and so do the webhooks.
    std::net::TcpStream::connect(metrics).unwrap();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
    let daemon = world.start();
    quiet(&world.command(&["check"]));
    world.command(&["reload"]).expect(0);
    daemon.stop();
}

#[test]
fn check_says_whether_a_start_would_make_the_outbox_or_wait_for_it() {
    let world = World::bare(&[hook("w", "http://127.0.0.1:9/")]);
    let made = "there is no outbox at";
    let checked = world.command(&["check"]).expect(0);
    let line = checked.stdout.lines().next().unwrap_or_default();
    assert!(
        line.starts_with(made) && line.ends_with(": a start would make an empty one"),
        "{line}"
    );
    assert!(checked.stdout.ends_with(": 1 webhook, no errors\n"));
    assert_eq!((checked.stderr.as_str(), names(&world).len()), ("", 1));
    // An application's, elsewhere: with its folder, without it, and without its table.
    std::fs::create_dir(world.path("app")).unwrap();
    edit(&world, "outbox.db", "app/app.db");
    let waits = ": a start would wait for the application to make it";
    let says = |fix: &str| {
        let checked = world.command(&["check"]).expect(0);
        assert!(!checked.stdout.contains(made), "{}", checked.stdout);
        let told = checked.stderr;
        assert!(told.contains(waits) && told.contains(fix), "{told}");
    };
    says("schema outbox");
    std::fs::remove_dir(world.path("app")).unwrap();
    says("its folder does not exist");
    std::fs::create_dir(world.path("app")).unwrap();
    world.write("app/app.db", "");
    says("schema outbox");
    // What is there is not told of.
    edit(&world, "app/app.db", "outbox.db");
    world.make_outbox("WAL");
    let checked = world.command(&["check"]).expect(0);
    assert!(!checked.stdout.contains(made), "{}", checked.stdout);
}

#[test]
fn beside_its_own_daemon_nothing_is_in_use_and_beside_another_everything_is() {
    let receiver = Receiver::ok();
    let metrics = own_address();
    let world = with_all(&receiver, metrics);
    quiet(&world.command(&["check"]));
    assert_eq!(
        names(&world),
        ["outbox.db", "webhooks.toml"],
        "nothing is made"
    );
    let daemon = world.start();
    let before = names(&world);
    quiet(&world.command(&["check"]));
    assert_eq!(names(&world), before);

    let second = World::new(&[]);
    let socket = world.path("s.sock");
    let more = format!("[socket]\npath = {socket:?}\n[metrics]\nlisten = \"{metrics}\"");
    second.configure_with(&more, &[hook("w", receiver.url("/"))]);
    let words = second.command(&["check"]).expect(2).stderr;
    assert!(
        words.contains("webhooks.toml:6:8: error: make socket"),
        "{words}"
    );
    assert!(
        words.contains(&format!("webhooks.toml:8:10: error: listen on {metrics}")),
        "{words}"
    );
    second.command(&["run"]).expect(1);
    daemon.stop();

    // A crash's leftover is nobody's.
    let daemon = world.start();
    daemon.kill();
    assert!(socket.exists());
    quiet(&world.command(&["check"]));
    quiet(&second.command(&["check"]));
}

#[test]
fn a_system_that_trusts_nobody_is_told_before_a_start() {
    let world = World::new(&[hook("w", "https://h.example/")]);
    let nobody = [
        ("SSL_CERT_FILE", "/dev/null".as_ref()),
        ("SSL_CERT_DIR", "/nonexistent".as_ref()),
    ];
    for words in [&["check"][..], &["run"]] {
        let told = world.command_behind(&[], words, &nobody).expect(2).stderr;
        let place = "webhooks.toml:12:7: error: webhook \"w\": this system trusts no certificates";
        assert!(told.contains(place), "{told}");
    }
}

/// A user that no machine has.
const NOBODY: u32 = 471_104;

#[test]
fn another_user_is_warned_of_rights_that_the_daemons_user_may_have() {
    let receiver = Receiver::ok();
    let world = with_all(&receiver, own_address());
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can try the rights of other users");
        return;
    }
    let user = format!("--reuid={NOBODY}");
    let user = ["setpriv", &user, "--regid=471104", "--clear-groups"];
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(world.folder(), mode(0o755)).unwrap();
    std::fs::set_permissions(world.path("webhooks.toml"), mode(0o644)).unwrap();
    let check = || world.command_behind(&user, &["check"], &[]);
    if world.command_behind(&user, &["--version"], &[]).code != Some(0) {
        println!("SKIPPED: other users can't run the program where it was built, or no setpriv");
        return;
    }
    // Everything is root's, as it would be for a daemon of root's own: this user can't be it.
    let refused = check();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("the right to write"),
        "{}",
        refused.stderr
    );
    // Everything is the daemon's.
    let daemons = NOBODY + 1;
    for name in [".", "outbox.db"] {
        std::os::unix::fs::chown(world.path(name), Some(daemons), Some(daemons)).unwrap();
    }
    std::fs::set_permissions(world.path("outbox.db"), mode(0o644)).unwrap();
    let before = names(&world);
    let warned = check().expect(0).stderr;
    assert!(
        warned.contains("right if the daemon is another user's"),
        "{warned}"
    );
    assert!(!warned.contains(": error: "), "{warned}");
    assert_eq!(names(&world), before);
    // The companions that this user would make are the owner's to write: it is no service for this one.
    let own = world.command_behind(&user, &["run"], &[]);
    assert_ne!(own.code, Some(0), "{}", own.stderr);
}
