//! A page beside a daemon that takes connections and says nothing.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::{Browser, one_of_each};
use crate::support::now;

/// A page is there within this, the daemon's silence or not; before it says so, a command waits for eight seconds.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_page_waits_a_moment_for_a_silent_daemon_and_shows_what_the_log_has() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    assert!(browser.page("/").contains("The daemon is well."));
    daemon.stop();
    // Whoever connects is in the queue, as with a process that was stopped by SIGSTOP.
    let path = world.path("s.sock");
    std::fs::remove_file(&path).ok();
    let silent = UnixListener::bind(&path).unwrap();
    let shown = |path: &str| {
        let begun = now();
        let page = browser.page(path);
        assert!(begun.elapsed() < AT_ONCE, "{path}: {:?}", begun.elapsed());
        page
    };
    let page = shown("/");
    for told in [
        "The daemon does not answer: it was asked 0.",
        "its last answer is of 20",
        "answered 500",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // What has to wait for the daemon keeps nothing else waiting.
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| browser.ask("/replay?event=1", &[]));
        }
        let mut held = Vec::new();
        while held.len() < 6 {
            held.push(silent.accept().unwrap());
        }
        for path in ["/", "/log", "/webhooks/good"] {
            shown(path);
        }
        // They are let go, and their commands fail.
        drop(held);
    });
}
