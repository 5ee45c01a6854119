//! What a run was measured on, for the head of its report.

use std::fs;
use std::process::Command;

/// One line each: date, machine, kernel, versions.
pub(crate) fn describe() -> Vec<String> {
    let memory = first_line("/proc/meminfo", "MemTotal").unwrap_or_default();
    vec![
        format!("- date: {}", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        format!(
            "- CPU: {}, {} cores",
            first_line("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores()
        ),
        format!("- memory: {memory}"),
        format!("- kernel: {}", said("uname", &["-srm"])),
        format!(
            "- load average at the start: {}",
            fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .trim()
        ),
        format!("- rustc: {}", said("rustc", &["--version"])),
        format!(
            "- SQLite: {} in the bench, sqlite3 {}",
            rusqlite::version(),
            said("sqlite3", &["--version"])
        ),
    ]
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Of this moment, in UTC.
pub(crate) fn date() -> String {
    said("date", &["-u", "+%Y-%m-%d-%H%M"])
}

/// The first line that a program says.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or("unknown".into(), |output| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or("unknown")
            .to_owned()
    })
}

fn first_line(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
