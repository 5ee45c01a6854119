//! A small file system for a test: the test runs itself again in a mount namespace of its own, where one is mounted.
//!
//! Only root can give it to another user, as a server of PostgreSQL needs it. Left out: what fills it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set where the test runs inside: the folder of the file system.
const INSIDE: &str = "WEBHOOKSD_TEST_SMALL";

/// What mounts it and goes on there. The folder and the size come first, then the test binary and its arguments.
const SCRIPT: &str =
    r#"mount -t tmpfs -o "size=$2" tmpfs "$1" && chmod 711 "$1" && shift 2 && exec "$@""#;

/// The folder of a file system of that size, where this is the run inside. Else runs the test of that name there; where
/// that can't be it is said.
#[track_caller]
pub(crate) fn small(name: &str, size: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return Some(folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let mounts = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(folder.path())
        .output();
    if !mounts.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: a small file system can't be mounted here (unshare -m, as root)");
        return None;
    }
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", SCRIPT, "sh"])
        .arg(folder.path())
        .arg(size)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}\n{errors}");
    assert!(words.contains("1 passed"), "{words}\n{errors}");
    None
}

/// Takes what room is left; the file that has it.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = std::fs::File::create(&path).unwrap();
    for block in [65_536, 4_096, 512, 1] {
        while filler.write_all(&vec![0; block]).is_ok() {}
    }
    path
}
