//! A real file system that is full: a small tmpfs, in a mount namespace of the test's own.
//!
//! The test runs itself again inside the namespace, with its temporary folder on the small file
//! system, so the outbox, the log and the journal are all on it. Where no namespace can be made it
//! says so and skips.

use std::io::Write;
use std::process::Command;

use super::fault::{each_once, emit, long, well};
use crate::socket::client::{curl, post};
use crate::socket::world;
use crate::support::{Answer, Gate, Receiver, SOON, World, check, eventually, stays};

/// Set where the test runs inside.
const INSIDE: &str = "WEBHOOKSD_TEST_SMALL_DISK";

/// The test's own name, to run it again.
const NAME: &str = "disk::mount::a_real_full_file_system_delays_and_costs_nothing";

/// What mounts and goes on there. The folder comes first, then the test binary and its arguments.
const SCRIPT: &str =
    r#"mount -t tmpfs -o size=6m tmpfs "$1" && export TMPDIR="$1" && shift && exec "$@""#;

/// Runs this test inside; false where that can't be.
fn run_inside() -> bool {
    let folder = tempfile::tempdir().unwrap();
    for unshare in ["-Urm", "-m"] {
        let possible = Command::new("unshare")
            .args([
                unshare,
                "sh",
                "-c",
                "mount -t tmpfs -o size=1m tmpfs \"$1\"",
                "sh",
            ])
            .arg(folder.path())
            .output();
        if !possible.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let output = Command::new("unshare")
            .args([unshare, "sh", "-c", SCRIPT, "sh"])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}\n{errors}");
        assert!(words.contains("1 passed"), "{words}\n{errors}");
        return true;
    }
    false
}

/// Takes what room is left.
fn fill(world: &World) {
    let mut filler = std::fs::File::create(world.path("filler")).unwrap();
    for block in [65_536, 4_096, 512, 1] {
        while filler.write_all(&vec![0; block]).is_ok() {}
    }
}

#[test]
fn a_real_full_file_system_delays_and_costs_nothing() {
    if std::env::var_os(INSIDE).is_none() {
        if !run_inside() {
            println!("SKIPPED: a small file system can't be mounted here (unshare -Urm)");
        }
        return;
    }
    let gate = Gate::default();
    let answers = gate.clone();
    // Results are on their way when the file system fills.
    let receiver = Receiver::start(move |_| {
        answers.pass();
        Answer::status(200)
    });
    let world = world(&receiver.url("/"));
    let daemon = world.start();
    emit(&world, 1..=100, 4_000);
    receiver.wait(1, SOON);
    fill(&world);
    gate.open();
    let large = format!(
        r#"{{"event":"e","data":{{"n":101,"x":"{}"}}}}"#,
        "x".repeat(90_000)
    );
    let refused = post(&world, "/events", &large).expect(503);
    assert!(refused.error().contains("full"), "{refused:?}");
    eventually("health says that the disk is full", SOON, || {
        let health = curl(&world, "/health", &[]);
        let says = health.status == 503 && health.body.contains("full");
        check(says, || format!("{health:?}"))
    });
    stays("it lives", long(), || {
        let alive = std::path::Path::new("/proc").join(daemon.pid().to_string());
        check(alive.exists(), || "it ended".to_owned())
    });
    std::fs::remove_file(world.path("filler")).unwrap();
    well(&world);
    post(&world, "/events", &large).expect(202);
    each_once(&world, &receiver, 101);
    daemon.stop();
}
