//! Crashes of the real binary: at every named step of the code, and at random moments under load.
//!
//! A kill may cost nothing but time: every event arrives, with the same bytes; what the log has as
//! delivered is never sent again; a request beyond those in the log is one that a kill found in
//! flight; the files are whole. The points are src/model/crash.rs; a kill at a point is the process's
//! own, with no destructor run and nothing flushed. In `WEBHOOKSD_KILLS` is how many kills there
//! are to be in each of the two halves, at least as many as there are points in it.

mod aside;
mod disk;
mod earlier;
mod ledger;
pub(crate) mod load;
mod plan;
mod power;
mod scene;
mod turns;
mod upgrade;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use webhooksd::tested::{BEFORE_COMMIT, COMMITTED, POINTS, TRANSACTIONS};

use crate::support::{Chance, Receiver, SOON, World, application, hook};
use scene::Scene;

/// Kills in one half, where the environment does not say: all 200 together.
const KILLS: usize = 100;

/// Every name that `WEBHOOKSD_CRASH` may hold.
fn names() -> BTreeSet<String> {
    let sides = TRANSACTIONS
        .iter()
        .flat_map(|step| [BEFORE_COMMIT, COMMITTED].map(|moment| format!("{step}: {moment}")));
    sides.chain(POINTS.map(str::to_owned)).collect()
}

/// Dies at every planned point of one half, and at random moments as often as are left.
fn run(half: usize) {
    let mut chance = Chance::seeded();
    let told = std::env::var("WEBHOOKSD_KILLS").ok();
    let kills = told.map_or(KILLS, |text| text.parse().unwrap());
    let mut scene = Scene::new(chance.fork());
    for death in plan::first() {
        scene.die_at(&death);
    }
    scene.begin_load();
    let mut deaths: Vec<_> = plan::deaths()
        .into_iter()
        .skip(half)
        .step_by(2)
        .map(Some)
        .collect();
    let planned = deaths.len() + plan::first().len();
    deaths.resize(
        kills.saturating_sub(plan::first().len()).max(deaths.len()),
        None,
    );
    for left in (1..=deaths.len()).rev() {
        let at = usize::try_from(chance.below(left as u64)).unwrap();
        match deaths.swap_remove(at) {
            Some(death) => scene.die_at(&death),
            None => scene.die_somewhere(),
        }
    }
    println!("{planned} kills at points, {} in all", scene.kills());
    scene.end();
}

#[test]
fn kills_at_every_step_lose_nothing() {
    run(0);
}

#[test]
fn kills_at_every_step_lose_nothing_the_other_half() {
    run(1);
}

#[test]
fn every_point_of_the_code_is_died_at() {
    let planned = plan::first().into_iter().chain(plan::deaths());
    let elsewhere = [
        plan::OWED,
        plan::NOTHING,
        plan::ASIDE,
        plan::TURNS,
        plan::EARLIER,
    ];
    let elsewhere = elsewhere.into_iter().chain(plan::OWN);
    let elsewhere = elsewhere
        .flat_map(|step| [BEFORE_COMMIT, COMMITTED].map(|moment| format!("{step}: {moment}")));
    let planned: BTreeSet<String> = planned
        .map(|death| death.point.to_owned())
        .chain(elsewhere)
        .collect();
    assert_eq!(planned, names(), "the plan, and src/model/crash.rs");
    assert_eq!(of_the_source(), names(), "the code, and src/model/crash.rs");
}

/// Crash points are in the binary that the tests run, and in no other.
#[test]
fn no_other_build_has_crash_points() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_webhooksd")).unwrap();
    let name = b"WEBHOOKSD_CRASH";
    assert!(binary.windows(name.len()).any(|bytes| bytes == name));
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packager = std::fs::read_to_string(top.join("packaging/build-deb")).unwrap();
    assert!(packager.contains("! grep -q WEBHOOKSD_CRASH \"$binary\""));
    assert!(packager.contains("cargo build --locked --release)"));
    let tree = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-e",
            "features,no-dev",
            "-i",
            "webhooksd",
        ])
        .current_dir(top)
        .output();
    let Ok(tree) = tree else {
        println!("SKIPPED: there is no cargo to ask for the features of a plain build");
        return;
    };
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(
        tree.contains("webhooksd") && !tree.contains("faults"),
        "{tree}"
    );
}

/// The points that stand in the code: calls of `crash::point`, and both sides of each transaction.
fn of_the_source() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let step = text.split("const STEP: &str = \"").nth(1).map(first_word);
            let calls = ["transact(", "transact_by_heart("];
            for call in calls.iter().flat_map(|call| text.split(call).skip(1)) {
                let step = call
                    .strip_prefix('"')
                    .map(first_word)
                    .or(step.filter(|_| call.starts_with("STEP")));
                let sides = step
                    .into_iter()
                    .flat_map(|s| [BEFORE_COMMIT, COMMITTED].map(|m| format!("{s}: {m}")));
                found.extend(sides);
            }
            for call in text.split("crash::point(\"").skip(1) {
                let rest = call.split_once("\", ").unwrap().1;
                let moment = match rest.strip_prefix('"') {
                    Some(moment) => first_word(moment),
                    None if rest.starts_with("crash::BEFORE_COMMIT") => BEFORE_COMMIT,
                    None => COMMITTED,
                };
                found.insert(format!("{}: {moment}", first_word(call)));
            }
        }
    }
    found
}

/// An application that dies in a transaction leaves its rollback journal, and a connection that only
/// reads can't take it back.
#[test]
fn a_transaction_that_an_application_died_in_is_taken_back() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    world.make_outbox("DELETE");
    let daemon = world.start();
    let mut application = application(&world.path("outbox.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows = "INSERT INTO outbox (event, data) VALUES ('half.done', '{}');\n".repeat(2_000);
    let text = format!("PRAGMA cache_size = 2;\nBEGIN IMMEDIATE;\n{rows}SELECT 'done';\n");
    let mut input = application.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    let mut output = BufReader::new(application.stdout.take().unwrap());
    output.read_line(&mut answer).unwrap();
    assert_eq!(answer, "done\n");
    application.kill().unwrap();
    application.wait().unwrap();
    daemon.wait_journal("crashed in a transaction, which was taken back");
    world.emit("whole", r#"{"n":1}"#);
    receiver.wait(1, SOON);
    daemon.stop();
    assert_eq!(world.number("SELECT count(*) FROM delivery"), 1);
}

fn first_word(text: &str) -> &str {
    text.split('"').next().unwrap()
}
