//! What one types in a shell where no command of ours does it.

use super::text;
use crate::model::LogPlace;

/// How one runs SQL on the log in a shell: the statement follows in double quotes.
pub(super) fn by_hand(log: &LogPlace) -> String {
    match log {
        LogPlace::File(path) => format!("sqlite3 {}", quoted(&path.display().to_string())),
        LogPlace::Server(server) => format!(
            "PGOPTIONS='-c search_path=webhooksd' psql {} -c",
            quoted(&server.shown)
        ),
    }
}

/// A word for the shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if word.chars().all(plain) {
        text::line(word)
    } else {
        format!("'{}'", text::line(word).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_of_a_shell() {
        assert_eq!(quoted("/var/lib/log.db"), "/var/lib/log.db");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
