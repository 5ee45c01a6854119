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
    /// Behind it, in an extension, if it is `named`; with the byte before.
    Extension { size: u64, last: u8, named: bool },
    /// In its data, of which so much is to come.
    Data(u64),
    /// In the line's end behind them; whether half of it came.
    DataEnd(bool),
    /// In the trailers; what came of them, and how much in the line that began last.
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
            State::Size(digits) => {
                match size_ends(digits, *byte) {
                    None => digits.push(*byte),
                    Some(None) => return (Step::Broken(std::mem::take(digits)), came),
                    Some(Some(size)) => {
                        self.state = State::Extension {
                            size,
                            last: 0,
                            named: false,
                        };
                        // The byte is not the size's.
                        return (Step::Framing, came);
                    }
                }
                (Step::Framing, rest)
            }
            State::Extension { .. } => {
                self.step_extension(*byte);
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
            State::DataEnd(half) => {
                match (byte, *half) {
                    (b'\n', half) => {
                        self.is_proper &= half;
                        self.state = State::Size(Vec::new());
                    }
                    (b'\r', false) => *half = true,
                    _ => return (Step::Broken(Vec::new()), rest),
                }
                (Step::Framing, rest)
            }
            State::Trailers { .. } => (self.step_trailers(*byte), rest),
        }
    }

    /// Goes on behind a chunk's size, to the end of its line.
    fn step_extension(&mut self, byte: u8) {
        let State::Extension { size, last, named } = &mut self.state else {
            return;
        };
        if byte != b'\n' {
            let fits = *named || matches!(byte, b';' | b' ' | b'\t' | b'\r');
            self.extensions += 1;
            self.is_proper &= fits && *last != b'\r' && self.extensions < ODD_BYTES;
            *named |= byte == b';';
            *last = byte;
            return;
        }
        self.is_proper &= *last == b'\r';
        self.state = match *size {
            0 => State::Trailers {
                came: Vec::new(),
                line: 0,
            },
            size => State::Data(size),
        };
    }

    /// Goes on in the trailers, to the first empty line.
    fn step_trailers<'a>(&mut self, byte: u8) -> Step<'a> {
        let State::Trailers { came, line } = &mut self.state else {
            return Step::Framing;
        };
        if came.len() < ODD_BYTES {
            came.push(byte);
        } else {
            self.is_proper = false;
        }
        match byte {
            b'\n' => {
                self.is_proper &= came.ends_with(b"\r\n");
                if std::mem::take(line) == 0 {
                    self.is_proper &= are_trailers(came);
                    return Step::End;
                }
            }
            b'\r' | b' ' | b'\t' => {}
            _ => *line += 1,
        }
        Step::Framing
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
