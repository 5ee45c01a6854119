//! Programs that a test asks for: Debian's `sqlite3`, curl, promtool, other languages.
//!
//! README.md asks for Rust and a C compiler alone, so `cargo test` passes without any of them: what
//! is about such a program is left out, and said. Where they must all be there, as in `.ci/run`, a
//! variable of the environment makes a program that is missing a failure. What a machine gives no
//! right to is another matter: that is said and skipped wherever it is. Also used by `src/store/tests`.

use std::os::unix::fs::PermissionsExt;

/// Set where every program is installed.
const ALL: &str = "WEBHOOKSD_TEST_ALL";

/// Whether that program is installed; where it is not, the test leaves out what is about it.
#[track_caller]
pub(crate) fn need(program: &str) -> bool {
    let there = is_installed(program);
    if !there {
        missing(program);
    }
    there
}

/// Says that something is not installed, and so skipped; a failure where all of it should be.
#[track_caller]
#[expect(clippy::print_stdout, reason = "whoever reads the run is told")]
pub(crate) fn missing(what: &str) {
    assert!(
        std::env::var_os(ALL).is_none(),
        "{what} is not installed, and {ALL} says that everything is"
    );
    println!("SKIPPED: {what} is not installed, and what is about it is left out");
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| {
        let file = std::fs::metadata(folder.join(program));
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set where the test below runs itself.
    const ASKS: &str = "WEBHOOKSD_TEST_ASKS";

    #[test]
    fn what_is_missing_is_told_and_where_all_should_be_there_a_failure() {
        if std::env::var_os(ASKS).is_some() {
            assert!(need("sh") && !need("no-such-program"));
            return;
        }
        let module = module_path!().split_once("::").unwrap().1;
        let name = "what_is_missing_is_told_and_where_all_should_be_there_a_failure";
        let asks = |all: Option<&str>| {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", &format!("{module}::{name}"), "--nocapture"]);
            test.env(ASKS, "1").env_remove(ALL);
            test.envs(all.map(|all| (ALL, all)));
            let output = test.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(said).unwrap())
        };
        let (passed, said) = asks(None);
        assert!(passed && said.contains("1 passed"), "{said}");
        let told = "SKIPPED: no-such-program is not installed";
        assert!(said.contains(told), "{said}");
        let (passed, said) = asks(Some("1"));
        assert!(!passed, "{said}");
        let told = "no-such-program is not installed, and WEBHOOKSD_TEST_ALL says";
        assert!(said.contains(told), "{said}");
    }
}
