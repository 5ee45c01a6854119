//! `[log] max_size` and `bodies`: what is taken, and what is refused with what to write instead.

use super::{HOOK, parse_plain};
use crate::model::Bodies;

fn log(line: &str) -> String {
    format!("[log]\n{line}\n{HOOK}")
}

#[test]
fn a_log_has_the_size_that_is_written_and_else_none() {
    assert_eq!(parse_plain(HOOK).unwrap().log.max_bytes, None);
    for (line, bytes) in [
        ("max_size = \"64MB\"", 64_000_000),
        ("max_size = '10GB'", 10_000_000_000),
        ("max_size = '1GiB'", 1 << 30),
        ("max_size = '32TB'", 32_000_000_000_000),
    ] {
        let config = parse_plain(&log(line)).unwrap();
        assert_eq!(config.log.max_bytes, Some(bytes), "{line}");
    }
}

#[test]
fn what_is_no_size_is_refused_at_its_place_with_what_to_write() {
    for (line, message, fix) in [
        (
            "max_size = 10737418240",
            "needs a unit",
            "write max_size = \"10GiB\"",
        ),
        ("max_size = 10", "needs a unit", "write max_size = \"10GB\""),
        (
            "max_size = '10 GB'",
            "right behind it",
            "write max_size = \"10GB\"",
        ),
        (
            "max_size = '10Gib'",
            "right behind it",
            "write max_size = \"10GiB\"",
        ),
        (
            "max_size = ''",
            "right behind it",
            "write max_size = \"10GB\"",
        ),
        (
            "max_size = '63999kB'",
            "must be 64MB to 32TB",
            "max_size = \"10GB\"",
        ),
        (
            "max_size = '33TB'",
            "must be 64MB to 32TB",
            "max_size = \"10GB\"",
        ),
        (
            "max_size = 1.5",
            "a size in quotes",
            "write max_size = \"10GB\"",
        ),
        (
            "max_size = ['10GB']",
            "a size in quotes",
            "write max_size = \"10GB\"",
        ),
    ] {
        let report = parse_plain(&log(line)).unwrap_err();
        assert_eq!(report.diagnostics.len(), 1, "{line}");
        let told = report.to_string();
        assert!(told.contains(":2:12: "), "{told}");
        assert!(
            told.contains(message) && told.contains(fix),
            "{line}: {told}"
        );
    }
}

#[test]
fn all_bodies_stay_unless_it_is_written_otherwise() {
    let bodies = |text: &str| parse_plain(text).unwrap().log.bodies;
    assert_eq!(bodies(HOOK), Bodies::All);
    assert_eq!(bodies(&log("bodies = 'all'")), Bodies::All);
    assert_eq!(bodies(&log("bodies = 'failed'")), Bodies::Failed);
}

#[test]
fn another_word_is_refused_at_its_place() {
    for value in ["'Failed'", "''", "'none'"] {
        let report = parse_plain(&log(&format!("bodies = {value}"))).unwrap_err();
        assert_eq!(report.diagnostics.len(), 1, "{value}");
        let told = report.to_string();
        assert!(told.contains(":2:10: "), "{told}");
        assert!(
            told.contains("bodies must be \"all\" or \"failed\""),
            "{told}"
        );
    }
}
