//! An array that is not closed: where it begins, for the parser names only where it noticed.
//!
//! That is the next key, lines below, or the end of the file. The text before that place is TOML, so only
//! texts and comments can hide a bracket.

/// Where the innermost array begins that is still open where the parser stopped with that message, and
/// that is surely what is wrong: the file ends there, or a key is where an element should be.
pub(super) fn array(text: &str, stopped: usize, message: &str) -> Option<usize> {
    let (before, rest) = text.split_at_checked(stopped)?;
    let begins = open_array(before.as_bytes())?;
    let ends = message.contains("unclosed array");
    let runs_on = message.contains("between array elements") && is_key(rest);
    let lines = before.get(begins..)?.contains('\n');
    (ends || runs_on && lines).then_some(begins)
}

/// Whether a line begins as `key =` does.
fn is_key(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default();
    let Some((key, _)) = line.split_once('=') else {
        return false;
    };
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_.\"' ".contains(c);
    !key.trim().is_empty() && key.chars().all(is_bare)
}

fn open_array(text: &[u8]) -> Option<usize> {
    let mut open: Vec<(usize, u8)> = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest[0] {
            b'#' => rest.iter().take_while(|byte| **byte != b'\n').count(),
            quote @ (b'"' | b'\'') => text_length(rest, quote)?,
            byte @ (b'[' | b'{') => {
                open.push((at, byte));
                1
            }
            b']' | b'}' => {
                open.pop();
                1
            }
            _ => 1,
        };
    }
    open.pop()
        .filter(|(_, byte)| *byte == b'[')
        .map(|(at, _)| at)
}

/// How long a text is with its quotes; `None`: it is not closed either.
fn text_length(text: &[u8], quote: u8) -> Option<usize> {
    let long = text.starts_with(&[quote; 3]);
    let end = &[quote; 3][..if long { 3 } else { 1 }];
    let mut at = end.len();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(end) {
            // Two quotes more may be the text's own last ones.
            let own = rest.iter().skip(end.len()).take(if long { 2 } else { 0 });
            let own = own.take_while(|byte| **byte == quote).count();
            return Some(at + end.len() + own);
        }
        at += match rest[0] {
            b'\\' if quote == b'"' => 2,
            b'\n' if !long => return None,
            _ => 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        for (text, expected) in [
            ("a = [1", Some(4)),
            ("[t]\na = [ # ]\n  \"]\", ']', \"\\\"]\",", Some(8)),
            ("a = [[1], [2", Some(10)),
            ("a = [\"\"\"\n]\"\"\"\"\", '''\n''',", Some(4)),
            ("a = [1]\n[[b]]\nc = { d = [1] }", None),
            ("a = [\n{ b = 1", None),
            ("a = [\"b\n", None),
            ("a = [\"\u{e4}]\", \u{e4}", Some(4)),
        ] {
            assert_eq!(open_array(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_comma_that_is_missing_is_no_array_without_an_end() {
        let missing = "missing comma between array elements, expected `,`";
        for (text, stopped, expected) in [
            ("a = [\"x\"\nb = 1", 9, Some(4)),
            ("a = [\n\"x\"\n\"y\"\n]", 10, None),
            ("a = [\"x\" b = 1]", 9, None),
        ] {
            assert_eq!(array(text, stopped, missing), expected, "{text}");
        }
        assert_eq!(array("a = [1,", 7, "unclosed array, expected `]`"), Some(4));
        assert_eq!(array("a = [1,\nb = 1", 8, "anything else"), None);
    }
}
