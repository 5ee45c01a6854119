//! Text of others on its way to a person: nothing of it may be obeyed or mislead, and none of it be lost.
//!
//! Bodies, headers, event names and errors come from endpoints and applications. Control characters and
//! those that reorder or hide text are shown as `\u{1b}`, on one line or in a block.

/// Whether a terminal might obey the character, or a reader be misled by it.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Soft hyphen, joiner, fillers and selectors that show as nothing; but for those of emoji (U+FE00 to FE0F).
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The text on one line.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut safe, c);
    }
    safe
}

/// The text as lines, each with `indent` before it; line ends and tabs stay what they are.
pub(crate) fn block(text: &str, indent: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.lines() {
        safe.push_str(indent);
        for c in one.chars() {
            if c == '\t' {
                safe.push(c);
            } else {
                push(&mut safe, c);
            }
        }
        safe.push('\n');
    }
    safe
}

fn push(safe: &mut String, c: char) {
    if is_unsafe(c) {
        safe.extend(c.escape_default());
    } else {
        safe.push(c);
    }
}
