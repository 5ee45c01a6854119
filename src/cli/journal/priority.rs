//! How urgent a line is, as systemd reads it: sd-daemon(3).

use tracing::Level;

/// A line's priority for systemd (sd-daemon(3)).
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Each of the lines with its priority.
pub(super) fn prioritised(lines: &str, level: Level) -> String {
    let one = |line: &str| format!("{}{line}\n", priority(level));
    lines.lines().map(one).collect()
}
