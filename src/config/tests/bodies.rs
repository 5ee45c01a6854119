//! `[log] bodies`: what is taken, and what is refused at its place.

use super::{HOOK, parse_plain};
use crate::model::Bodies;

fn log(line: &str) -> String {
    format!("[log]\n{line}\n{HOOK}")
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
