//! No threads: for each number of them from none on, a start says what it lacks or delivers; later on,
//! what needs one waits for it.

use std::ffi::OsStr;
use std::time::Duration;

use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Receiver, SOON, World, check, eventually, hook, shim, stays};

/// More than a start needs on any machine: four that run futures, and a handful beside them.
const ENOUGH: usize = 12;

#[test]
fn a_start_says_what_it_lacks_or_delivers() {
    let receiver = Receiver::ok();
    let library = shim("threads");
    let mut least = None;
    for most in 0..=ENOUGH {
        let hooks = [hook("w", receiver.url("/"))];
        let world = World::new(&hooks);
        world.configure_with(SECTION, &hooks);
        world.emit("e", "{\"n\":1}");
        let most_text = most.to_string();
        let mut daemon = world.spawn_in(&[
            ("LD_PRELOAD", library.as_os_str()),
            ("SHIM_THREADS", OsStr::new(&most_text)),
        ]);
        let ended = eventually("it ends or delivers", SOON, || {
            if let Some(status) = daemon.ended() {
                return Ok(Some(status));
            }
            check(daemon.journal().contains("outcome=\"delivered\""), || {
                daemon.journal()
            })
            .map(|()| None)
        });
        let journal = daemon.journal();
        assert!(!journal.contains("panicked"), "{most}: {journal}");
        match ended {
            Some(status) => {
                assert_eq!(status.code(), Some(1), "{most}: {journal}");
                assert!(
                    journal.contains("start the daemon's threads"),
                    "{most}: {journal}"
                );
                assert!(journal.contains("hint: "), "{most}: {journal}");
            }
            None => {
                least = least.or(Some(most));
                curl(&world, "/health", &[]).expect(200);
                daemon.stop();
            }
        }
    }
    println!("{least:?} threads beside the first one are the least");
    assert!(least.is_some_and(|least| least > 2), "{least:?}");
}

#[test]
fn a_look_up_without_a_thread_costs_no_try() {
    let receiver = Receiver::ok();
    let named = receiver.url("/").replace("127.0.0.1", "localhost");
    let hooks = [hook("named", named), hook("address", receiver.url("/"))];
    let world = World::new(&hooks);
    world.configure_with(SECTION, &hooks);
    let most = |most: &str| {
        world.write("most.new", most);
        std::fs::rename(world.path("most.new"), world.path("most")).unwrap();
    };
    most("100");
    let (library, file) = (shim("threads"), world.path("most"));
    let daemon = world.start_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_THREADS", file.as_os_str()),
    ]);
    most("0");
    for n in 0..5 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    // What needs no thread of its own goes on.
    let state = |webhook: &str, state: &str| {
        format!("SELECT count(*) FROM delivery WHERE webhook = '{webhook}' AND state = '{state}'")
    };
    world.wait_number(&state("address", "delivered"), 5, SOON);
    daemon.wait_journal("start a thread to resolve names");
    stays(
        "the others wait and lose no try",
        Duration::from_secs(2),
        || {
            let pending = world.number(&format!("{} AND attempts = 0", state("named", "pending")));
            check(pending == 5, || pending.to_string())
        },
    );
    curl(&world, "/status", &[]).expect(200);
    most("100");
    world.wait_number(
        &format!("{} AND attempts = 1", state("named", "delivered")),
        5,
        SOON,
    );
    assert_eq!(world.number("SELECT count(*) FROM log"), 10);
    assert!(
        !daemon.journal().contains("panicked"),
        "{}",
        daemon.journal()
    );
    daemon.stop();
}
