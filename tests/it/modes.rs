//! Who may do what with the files that webhooksd makes: modes under every umask, and the rights of
//! the owner, of a member of the group, and of everybody else, tried out by being each of them.
//!
//! The second half needs root, to be other users (`setpriv`); without it, it says so and is left out.
//! README.md's section on two users says the same in words. The packaged units' folders and umask are
//! tried by packaging/test.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::socket::SECTION;
use crate::support::{Daemon, Finished, Receiver, SOON, World, hook, need, sqlite_behind};

/// What a start and an event leave in the folder, but for configuration and journals.
const FILES: [&str; 9] = [
    "log.db",
    "log.db-shm",
    "log.db-wal",
    "log.db.lock",
    "outbox.db",
    "outbox.db-shm",
    "outbox.db-wal",
    "outbox.db.webhooksd.lock",
    "s.sock",
];

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// The files that webhooksd made, each with its mode.
fn modes(world: &World) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(world.folder()).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name != "webhooks.toml" && !name.starts_with("journal-"))
        .map(|(name, path)| (name, mode(&path)))
        .collect();
    found.sort();
    found
}

fn with_socket(receiver: &Receiver) -> World {
    let hooks = [hook("w", receiver.url("/"))];
    let world = World::bare(&hooks);
    world.configure_with(SECTION, &hooks);
    world
}

#[test]
fn the_owner_and_the_group_read_and_write_whatever_the_umask() {
    let receiver = Receiver::ok();
    for umask in ["000", "022", "077", "777"] {
        let script = format!("umask {umask}; exec \"$@\"");
        let behind = ["sh", "-c", &script, "sh"];
        let world = with_socket(&receiver);
        let mut daemon = world.spawn_behind(&behind, &[], &[]);
        daemon.wait_ready();
        world
            .command_behind(&behind, &["emit", "e", "{}"], &[])
            .expect(0);
        world.wait_number("SELECT count(*) FROM log", 1, SOON);
        let expected = FILES.map(|name| (name.to_owned(), 0o660));
        assert_eq!(modes(&world), expected, "umask {umask}, running");
        daemon.stop();
        for (name, mode) in modes(&world) {
            assert_eq!(mode, 0o660, "umask {umask}, stopped: {name}");
        }
        // Commands that make files, each in a folder of its own.
        for words in [&["emit", "e", "{}"][..], &["start-from", "beginning"]] {
            let world = with_socket(&receiver);
            let ended = world.command_behind(&behind, words, &[]);
            assert_ne!(ended.code, Some(101), "{}", ended.stderr);
            let made = modes(&world);
            println!(
                "umask {umask}: {words:?} ended with {:?}: {made:?}",
                ended.code
            );
            assert!(
                made.iter().all(|(_, mode)| *mode == 0o660),
                "{words:?}: {made:?}"
            );
        }
    }
}

#[test]
fn what_is_there_keeps_its_mode_and_hands_it_on() {
    let receiver = Receiver::ok();
    let world = with_socket(&receiver);
    world.command(&["emit", "e", "{}"]).expect(0);
    world.start().stop();
    for name in ["log.db", "outbox.db"] {
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(world.path(name), private).unwrap();
        for companion in ["-wal", "-shm"] {
            let path = world.path(format!("{name}{companion}"));
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let daemon = world.start();
    world.command(&["emit", "e", "{}"]).expect(0);
    for (name, mode) in modes(&world) {
        let closed = name.starts_with("log.db") || name.starts_with("outbox.db");
        let expected = if closed && name != "log.db.lock" {
            0o600
        } else {
            0o660
        };
        assert_eq!(mode, expected, "{name}");
    }
    daemon.stop();
}

/// Users that no machine has: the daemon's, a member of its group, and anybody else.
const GROUP: u32 = 471_100;
const DAEMON: u32 = 471_101;
const MEMBER: u32 = 471_102;
const OTHER: u32 = 471_103;

/// The words before a program to run as that user. The daemon's group is its own.
fn user(uid: u32) -> Vec<String> {
    let (gid, groups) = match uid {
        DAEMON => (GROUP, "--clear-groups".to_owned()),
        MEMBER => (uid, format!("--groups={GROUP}")),
        _ => (uid, "--clear-groups".to_owned()),
    };
    let words = [
        "setpriv",
        &format!("--reuid={uid}"),
        &format!("--regid={gid}"),
        &groups,
    ];
    words.map(str::to_owned).to_vec()
}

/// A folder as the package makes it, with its daemon and three users.
struct Shared {
    world: World,
    _receiver: Receiver,
}

impl Shared {
    /// `None` where this test can't be other users.
    fn new() -> Option<Self> {
        let receiver = Receiver::ok();
        let world = with_socket(&receiver);
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: only root can try the rights of other users");
            return None;
        }
        let open = std::fs::Permissions::from_mode(0o2770);
        std::os::unix::fs::chown(world.folder(), Some(DAEMON), Some(GROUP)).unwrap();
        std::fs::set_permissions(world.folder(), open).unwrap();
        let shared = Self {
            world,
            _receiver: receiver,
        };
        if shared.run(MEMBER, &["--version"]).code != Some(0) {
            println!(
                "SKIPPED: other users can't run the program where it was built, or no setpriv"
            );
            return None;
        }
        Some(shared)
    }

    fn run(&self, uid: u32, words: &[&str]) -> Finished {
        let user = user(uid);
        let user: Vec<&str> = user.iter().map(String::as_str).collect();
        self.world.command_behind(&user, words, &[])
    }

    /// Runs any program as a user, in the folder.
    fn shell(&self, uid: u32, script: &str) -> Finished {
        let cd = format!("cd '{}' && {script}", self.world.folder().display());
        let user = user(uid);
        let mut words: Vec<&str> = user.iter().map(String::as_str).collect();
        words.extend(["sh", "-c", &cd]);
        self.world.command_behind(&words, &[], &[])
    }

    /// Runs SQL on a database of the folder as a user.
    fn sql(&self, uid: u32, database: &str, sql: &str) -> Finished {
        let user = user(uid);
        let user: Vec<&str> = user.iter().map(String::as_str).collect();
        sqlite_behind(&user, &self.world.path(database), sql)
    }

    fn start(&self) -> Daemon {
        let user = user(DAEMON);
        let user: Vec<&str> = user.iter().map(String::as_str).collect();
        let mut daemon = self.world.spawn_behind(&user, &[], &[]);
        daemon.wait_ready();
        daemon
    }

    /// How many deliveries have been made, by the eyes of the daemon's user.
    fn wait_delivered(&self, count: usize) {
        let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        crate::support::eventually("all is delivered", SOON, || {
            let seen = self.sql(DAEMON, "log.db", sql);
            crate::support::check(seen.stdout.trim() == count.to_string(), || {
                seen.stdout + &seen.stderr
            })
        });
    }
}

/// What whoever has the group's rights can do, running or not: SQL on these databases.
const ALLOWED: [(&str, &str); 3] = [
    ("log.db", "SELECT count(*) FROM log"),
    (
        "outbox.db",
        "INSERT INTO outbox (event, data) VALUES ('e', '{}')",
    ),
    (
        "log.db",
        "INSERT INTO redelivery (delivery_id) SELECT min(id) FROM delivery",
    ),
];

#[test]
fn a_member_of_the_group_writes_events_reads_the_log_and_redelivers() {
    let Some(shared) = Shared::new() else { return };
    let daemon = shared.start();
    shared.run(MEMBER, &["emit", "e", "{}"]).expect(0);
    shared.wait_delivered(1);
    for words in [
        &["logs"][..],
        &["status"],
        &["explain", "1"],
        &["reload"],
        &["test", "w"],
    ] {
        shared.run(MEMBER, words).expect(0);
    }
    if need("curl") {
        let asked = "curl -sS -f --unix-socket s.sock http://localhost/health";
        shared.shell(MEMBER, asked).expect(0);
    }
    shared.shell(MEMBER, "cat webhooks.toml").expect(0);
    for (database, sql) in ALLOWED {
        shared.sql(MEMBER, database, sql).expect(0);
    }
    shared.wait_delivered(4);
    daemon.stop();
    // With the daemon away a member makes the companions, and nobody is locked out by them.
    shared.run(MEMBER, &["emit", "e", "{}"]).expect(0);
    for (database, sql) in ALLOWED {
        shared.sql(MEMBER, database, sql).expect(0);
    }
    for (name, mode) in modes(&shared.world) {
        let file = std::fs::symlink_metadata(shared.world.path(&name)).unwrap();
        assert_eq!((mode, file.gid()), (0o660, GROUP), "{name}");
    }
    let daemon = shared.start();
    shared.wait_delivered(7);
    daemon.stop();
}

#[test]
fn what_a_member_makes_first_the_daemon_uses() {
    let Some(shared) = Shared::new() else { return };
    shared.run(MEMBER, &["emit", "e", "{}"]).expect(0);
    shared.run(MEMBER, &["start-from", "beginning"]).expect(0);
    let daemon = shared.start();
    shared.wait_delivered(1);
    daemon.stop();
}

#[test]
fn others_can_do_nothing() {
    let Some(shared) = Shared::new() else { return };
    let daemon = shared.start();
    shared.run(MEMBER, &["emit", "e", "{}"]).expect(0);
    shared.wait_delivered(1);
    // Through a folder that lets everybody pass, it is the files themselves that keep them out.
    for folder in [0o2770, 0o2775] {
        let mode = std::fs::Permissions::from_mode(folder);
        std::fs::set_permissions(shared.world.folder(), mode).unwrap();
        for words in [
            &["emit", "e", "{}"][..],
            &["logs"],
            &["status"],
            &["explain", "1"],
            &["reload"],
        ] {
            let ended = shared.run(OTHER, words);
            assert!(
                matches!(ended.code, Some(1 | 2)),
                "{words:?}: {}",
                ended.stdout
            );
        }
        let all = [
            "log.db",
            "log.db-wal",
            "outbox.db",
            "outbox.db-wal",
            "log.db.lock",
        ];
        for name in all {
            let read = shared.shell(OTHER, &format!("cat {name}"));
            assert_ne!(read.code, Some(0), "{name} was read");
            let written = shared.shell(OTHER, &format!("echo >> {name}"));
            assert_ne!(written.code, Some(0), "{name} was written");
        }
        if need("curl") {
            let asked = "curl -sS --unix-socket s.sock http://localhost/health";
            assert_ne!(shared.shell(OTHER, asked).code, Some(0));
        }
        assert_ne!(shared.shell(OTHER, "rm -f s.sock log.db").code, Some(0));
    }
    shared.wait_delivered(1);
    daemon.stop();
}
