//! Which lines of two texts differ.
//!
//! By the longest run of lines that they have in common, over a bounded number of lines: what is behind those is said
//! to be there and not compared.

/// Lines of each text that are compared, behind what they begin with alike.
const LINES: usize = 400;

/// A line is shown so far, in characters; it is compared whole.
const CHARS: usize = 2_000;

/// A line of the first text alone, of the second alone, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
    Both,
}

/// What two texts have in common and what not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Lines in their order.
    pub lines: Vec<(Side, String)>,
    /// Lines of either that were not compared.
    pub more: usize,
}

impl Difference {
    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.more == 0 && self.lines.iter().all(|(side, _)| *side == Side::Both)
    }
}

/// Compares two texts line by line.
pub(super) fn difference(first: &str, second: &str) -> Difference {
    let mut found = Difference::default();
    let texts = [first, second];
    let [mut first, mut second] = texts.map(|text| text.lines().peekable());
    while let (Some(a), Some(b)) = (first.peek(), second.peek())
        && a == b
        && found.lines.len() < LINES
    {
        found.push(Side::Both, a);
        first.next();
        second.next();
    }
    let [a, b] = [&mut first, &mut second].map(|rest| {
        let some: Vec<&str> = rest.by_ref().take(LINES).collect();
        some
    });
    found.more = first.count() + second.count();
    let longest = table(&a, &b);
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let same = i < a.len() && j < b.len() && a[i] == b[j];
        if same {
            found.push(Side::Both, a[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && longest[i + 1][j] >= longest[i][j + 1] {
            found.push(Side::First, a[i]);
            i += 1;
        } else {
            found.push(Side::Second, b[j]);
            j += 1;
        }
    }
    found
}

impl Difference {
    fn push(&mut self, side: Side, line: &str) {
        let shown = match line.char_indices().nth(CHARS) {
            Some((at, _)) => format!("{}…", line.split_at(at).0),
            None => line.to_owned(),
        };
        self.lines.push((side, shown));
    }
}

/// How many lines the ends of both have in common, from each pair of places on.
fn table(a: &[&str], b: &[&str]) -> Vec<Vec<u16>> {
    let mut longest = vec![vec![0_u16; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of one side.
    fn of(found: &Difference, other: Side) -> Vec<&str> {
        let lines = found.lines.iter().filter(|(side, _)| *side != other);
        lines.map(|(_, line)| &**line).collect()
    }

    #[test]
    fn a_line_that_changed_stands_between_those_that_did_not() {
        let found = difference("a\nb\nc\n", "a\nx\nc\nd\n");
        let lines: Vec<_> = found.lines.iter().map(|(s, l)| (*s, &**l)).collect();
        let (both, first, second) = (Side::Both, Side::First, Side::Second);
        assert_eq!(
            lines,
            [
                (both, "a"),
                (first, "b"),
                (second, "x"),
                (both, "c"),
                (second, "d")
            ]
        );
        assert!(!found.is_none());
        assert!(difference("a\r\nb", "a\nb\n").is_none());
    }

    #[test]
    fn what_is_long_is_compared_in_part() {
        let long = |last: &str| (0..1_000).map(|n| format!("{n}\n")).collect::<String>() + last;
        let found = difference(&long("x"), &long("y"));
        assert_eq!((found.lines.len(), found.more), (800, 402));
        assert!(!found.is_none());
        let wide = difference(&"é".repeat(5_000), "");
        assert_eq!(wide.lines[0].1.chars().count(), 2_001);
    }

    proptest! {
        #[test]
        fn each_side_is_whole(a in "[ab\n]{0,40}", b in "[ab\n]{0,40}") {
            let found = difference(&a, &b);
            prop_assert_eq!(of(&found, Side::Second), a.lines().collect::<Vec<_>>());
            prop_assert_eq!(of(&found, Side::First), b.lines().collect::<Vec<_>>());
            prop_assert_eq!(found.is_none(), a.lines().eq(b.lines()));
        }
    }
}
