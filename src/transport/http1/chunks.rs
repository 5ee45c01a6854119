//! The chunked coding taken apart, in whatever pieces it comes.
//!
//! As lenient as can be: a line may end without its carriage return, an extension may be anything.
//! But whether all was proper is remembered, for after anything odd the two sides may disagree on
//! where the answer ends. Trailers are passed over.

/// Extensions and trailers that are longer than this are odd.
const ODD_BYTES: usize = 16 * 1024;
/// As many trailers as are looked at.
const TRAILERS: usize = 32;

/// Where in the coding the next byte stands.
enum State {
    /// In a chunk's size: what came of it.
    Size(Vec<u8>),
    /// Behind it, in an extension.
    Extension { size: u64, last: u8, named: bool },
    /// In its data, of which so much is to come.
    Data(u64),
    /// In the line's end behind them; whether half of it came.
    DataEnd(bool),
    /// In the trailers; what came of them.
    Trailers { came: Vec<u8>, line: usize },
}

/// A body in chunks.
pub(super) struct Chunks {
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Whether nothing was odd so far.
    pub(super) is_proper: bool,
}

/// What was found.
pub(super) enum Step<'a> {
    /// Some of the body.
    Data(&'a [u8]),
    /// What stands around it.
    Framing,
    /// The end of the last chunk's trailers.
    End,
    /// Something else, with what came of the line that it stands in.
    Broken(Vec<u8>),
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size(Vec::new()),
            extensions: 0,
            is_proper: true,
        }
    }
}

impl Chunks {
    /// Goes one step on in what came, which is something, and returns what is left of it.
    pub(super) fn step<'a>(&mut self, came: &'a [u8]) -> (Step<'a>, &'a [u8]) {
        let Some((byte, rest)) = came.split_first() else {
            return (Step::Framing, came);
        };
        match &mut self.state {
            State::Size(digits) => match size_ends(digits, *byte) {
                Some(Some(size)) => {
                    self.state = State::Extension {
                        size,
                        last: 0,
                        named: false,
                    };
                    // The byte is the first that is no more of the size.
                    (Step::Framing, came)
                }
                Some(None) => (Step::Broken(std::mem::take(digits)), came),
                None => {
                    digits.push(*byte);
                    (Step::Framing, rest)
                }
            },
            State::Extension { size, last, named } => {
                if *byte == b'\n' {
                    self.is_proper &= *last == b'\r';
                    self.state = State::after_size(*size);
                } else {
                    let fits = *named || matches!(byte, b';' | b' ' | b'\t' | b'\r');
                    self.extensions += 1;
                    self.is_proper &= fits && *last != b'\r' && self.extensions < ODD_BYTES;
                    *named |= *byte == b';';
                    *last = *byte;
                }
                (Step::Framing, rest)
            }
            State::Data(left) => {
                let some = first(came, *left);
                *left -= some.len() as u64;
                if *left == 0 {
                    self.state = State::DataEnd(false);
                }
                (Step::Data(some), came.get(some.len()..).unwrap_or_default())
            }
            State::DataEnd(half) => match (byte, *half) {
                (b'\n', half) => {
                    self.is_proper &= half;
                    self.state = State::Size(Vec::new());
                    (Step::Framing, rest)
                }
                (b'\r', false) => {
                    *half = true;
                    (Step::Framing, rest)
                }
                _ => (Step::Broken(Vec::new()), rest),
            },
            State::Trailers { came: all, line } => {
                if all.len() < ODD_BYTES {
                    all.push(*byte);
                } else {
                    self.is_proper = false;
                }
                match byte {
                    b'\n' => {
                        self.is_proper &= all.ends_with(b"\r\n");
                        let is_last = std::mem::take(line) == 0;
                        self.is_proper &= !is_last || are_trailers(all);
                        (if is_last { Step::End } else { Step::Framing }, rest)
                    }
                    b'\r' | b' ' | b'\t' => (Step::Framing, rest),
                    _ => {
                        *line += 1;
                        (Step::Framing, rest)
                    }
                }
            }
        }
    }
}

impl State {
    /// What follows a chunk's first line.
    fn after_size(size: u64) -> Self {
        match size {
            0 => Self::Trailers {
                came: Vec::new(),
                line: 0,
            },
            size => Self::Data(size),
        }
    }
}

/// Whether a byte is no more of a chunk's size; then which that is, if any.
fn size_ends(digits: &[u8], byte: u8) -> Option<Option<u64>> {
    if byte.is_ascii_hexdigit() {
        return None;
    }
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let ends = matches!(byte, b';' | b'\r' | b'\n' | b' ' | b'\t');
    Some(number.filter(|_| ends))
}

/// Whether these are proper trailers, with the empty line behind them.
fn are_trailers(bytes: &[u8]) -> bool {
    let mut room = [httparse::EMPTY_HEADER; TRAILERS];
    bytes == b"\r\n"
        || matches!(
            httparse::parse_headers(bytes, &mut room),
            Ok(httparse::Status::Complete((length, _))) if length == bytes.len()
        )
}

/// At most so many of these.
pub(super) fn first(bytes: &[u8], most: u64) -> &[u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    bytes.get(..most).unwrap_or(bytes)
}
