//! Something else than a plain file in the place of a database: said by every command, hung upon by none.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{World, hook};

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap();
}

fn folder(path: &Path) {
    fs::create_dir(path).unwrap();
}

type Make = fn(&Path);

const KINDS: [(Make, &str); 2] = [(pipe, "a pipe"), (folder, "a folder")];

/// A world with an outbox and a log, stopped.
fn world() -> World {
    let world = World::new(&[hook("w", "http://127.0.0.1:9/")]);
    world.start().stop();
    world
}

/// Takes away what is there and makes something else in its place.
fn replace(world: &World, name: &str, make: Make) {
    let path = world.path(name);
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    make(&path);
}

/// Holds that a command ends with that code, and says the words in its first line and a hint.
#[track_caller]
fn says(world: &World, words: &[&str], code: i32, expected: &[&str]) {
    let said = world.command(words).expect(code).stderr;
    let line = said.lines().next().unwrap_or_default();
    assert!(expected.iter().all(|one| line.contains(one)), "{said}");
    assert!(said.contains("or what is there"), "{said}");
}

#[test]
fn a_log_that_is_no_plain_file_is_said_to_be_what_it_is() {
    for (make, what) in KINDS {
        for name in ["log.db", "log.db-journal"] {
            let world = world();
            replace(&world, name, make);
            let expected = [name, "the log needs a plain file at", what];
            for words in [&["logs"][..], &["status"], &["explain", "1"]] {
                says(&world, words, 1, &expected);
            }
            for words in [&["check"][..], &["run"], &["start-from", "now"]] {
                says(&world, words, 2, &expected);
            }
            // They look into the log for names only.
            for words in [
                &["redeliver", "--failed", "--webhook", "w", "--dry-run"][..],
                &["test", "w"],
            ] {
                world.command(words).expect(1);
            }
        }
    }
}

#[test]
fn an_outbox_that_is_no_plain_file_is_said_to_be_what_it_is() {
    for (make, what) in KINDS {
        for name in ["outbox.db", "outbox.db-journal"] {
            let world = world();
            replace(&world, name, make);
            let expected = ["find outbox", what];
            for (words, code) in [
                (&["emit", "e", "{}"][..], 1),
                (&["start-from", "now"], 1),
                (&["check"], 2),
                (&["run"], 2),
            ] {
                says(&world, words, code, &expected);
            }
            let told = world.command(&["explain", "1"]).expect(1).stderr;
            assert!(told.contains(what), "{told}");
        }
    }
}

#[test]
fn check_finds_a_lock_that_is_no_plain_file_as_a_start_does() {
    let world = world();
    replace(&world, "log.db.lock", pipe);
    for (words, code) in [("check", 2), ("run", 1)] {
        let said = world.command(&[words]).expect(code).stderr;
        assert!(said.contains("it is no plain file with one name"), "{said}");
    }
}
