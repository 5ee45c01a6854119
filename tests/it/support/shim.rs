//! Shims: small libraries in C that stand between the real binary and the C library (`LD_PRELOAD`),
//! to give it disks, clocks and limits that a test machine doesn't have.
//!
//! Compiled by `cc`, which the bundled SQLite needs as well, once per process. Linux only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());

/// The library made of `tests/it/shim/NAME.c`, for `LD_PRELOAD`.
pub(crate) fn shim(name: &'static str) -> PathBuf {
    let mut built = BUILT.lock().unwrap();
    built.entry(name).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/shim/{name}.c"));
    // Named by the process, so that runs beside each other don't write over what others have loaded.
    let library = format!("{name}-{}.so", std::process::id());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(library);
    let mut cc = Command::new("cc");
    cc.args([
        "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
    ]);
    cc.arg(&library).arg(&source).args(["-ldl", "-lpthread"]);
    let made = cc.output().unwrap();
    let complaints = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{}: {complaints}", source.display());
    library
}
