//! Chunks taken apart by hand, for answers that hyper gave up.
//!
//! As lenient as can be: a line may end without its carriage return, an extension may be anything.

/// The longest line between chunks.
const LINE_BYTES: usize = 4 * 1024;

/// What is to come of a body in chunks.
pub(super) enum Chunks {
    /// The rest of a size's line.
    Size(Vec<u8>),
    /// So many bytes.
    Data(u64),
    /// The line's end behind them.
    End,
    /// The rest of a trailer's line.
    Trailer(Vec<u8>),
}

/// What was found.
pub(super) enum Step<'a> {
    /// Some of the body.
    Data(&'a [u8]),
    /// What stands around it.
    Framing,
    /// The end of the last chunk's trailers.
    End,
    /// Something else, with the line that it stands in.
    Broken(Vec<u8>),
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size(Vec::new())
    }
}

impl Chunks {
    /// Goes one step on in what came, which is something, and returns what is left of it.
    pub(super) fn step<'a>(&mut self, came: &'a [u8]) -> (Step<'a>, &'a [u8]) {
        match self {
            Self::Size(begun) => {
                let Some(rest) = go_on(begun, came) else {
                    return (Step::Framing, &[]);
                };
                match size(begun) {
                    None => return (Step::Broken(std::mem::take(begun)), rest),
                    Some(0) => *self = Self::Trailer(Vec::new()),
                    Some(size) => *self = Self::Data(size),
                }
                (Step::Framing, rest)
            }
            Self::Data(left) => {
                let some = first(came, *left);
                *left -= some.len() as u64;
                if *left == 0 {
                    *self = Self::End;
                }
                (Step::Data(some), came.get(some.len()..).unwrap_or_default())
            }
            Self::End => {
                let rest = came.get(1..).unwrap_or_default();
                match came {
                    [b'\n', ..] => *self = Self::default(),
                    [b'\r', ..] => {}
                    _ => return (Step::Broken(Vec::new()), rest),
                }
                (Step::Framing, rest)
            }
            Self::Trailer(begun) => {
                let Some(rest) = go_on(begun, came) else {
                    return (Step::Framing, &[]);
                };
                let is_last = begun.trim_ascii().is_empty();
                begun.clear();
                (if is_last { Step::End } else { Step::Framing }, rest)
            }
        }
    }
}

/// Adds to a line that was begun, up to its end; returns what follows that. `None`: there is no end.
/// A line that grows too long ends there.
fn go_on<'a>(begun: &mut Vec<u8>, came: &'a [u8]) -> Option<&'a [u8]> {
    let end = came.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    let most = (LINE_BYTES - begun.len()).min(came.len());
    let take = end.unwrap_or(came.len()).min(most);
    let (some, rest) = came.split_at(take);
    begun.extend_from_slice(some);
    (begun.ends_with(b"\n") || begun.len() == LINE_BYTES).then_some(rest)
}

/// The size in a chunk's first line.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// At most so many of these.
pub(super) fn first(bytes: &[u8], most: u64) -> &[u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    bytes.get(..most).unwrap_or(bytes)
}
