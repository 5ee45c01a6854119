//! What is shown of a text that somebody else wrote: nothing in it acts on a terminal.
//!
//! Left out: what of it may be shown at all (`excerpt`).

/// The text without characters that would act on a terminal or reorder the line.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// The character as it is shown: tabs as a space, controls and bidirectional marks replaced.
pub(super) fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}
