//! The body of an answer: taken out of its framing, kept as far as it is wanted.

use super::chunks::{Chunks, Step, first};

/// Bytes of a body that are read from the connection, and bytes that are kept after decoding.
pub(in crate::transport) const BODY_BYTES: usize = 64 * 1024;

/// Where the body ends.
pub(super) enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// With the last chunk.
    Chunks(Chunks),
    /// Where the peer closes.
    Close,
}

/// A body that is being read.
pub(in crate::transport) struct Body {
    framing: Framing,
    kept: Vec<u8>,
    /// Whether the answer can have one at all.
    pub(in crate::transport) is_there: bool,
    /// Whether nothing more is to be read.
    pub(in crate::transport) is_over: bool,
    /// Whether that is because it has ended.
    pub(in crate::transport) is_whole: bool,
    /// Whether more came than was announced.
    has_excess: bool,
    /// Whether the head was proper. What else it says may be wrong, too: chunks need not be any.
    is_sure: bool,
}

impl Body {
    /// A body of that framing, of which nothing came so far.
    pub(super) fn new(framing: Framing, is_sure: bool) -> Self {
        let is_there = !matches!(framing, Framing::Length(0));
        Self {
            framing,
            kept: Vec::new(),
            is_there,
            is_over: !is_there,
            is_whole: !is_there,
            has_excess: false,
            is_sure,
        }
    }

    /// Takes more of it.
    pub(in crate::transport) fn feed(&mut self, mut came: &[u8]) {
        while !self.is_over && !came.is_empty() {
            match &mut self.framing {
                Framing::Length(left) => {
                    if self.kept.is_empty() {
                        let length = usize::try_from(*left).unwrap_or(BODY_BYTES);
                        self.kept.reserve_exact(length.min(BODY_BYTES));
                    }
                    let some = first(came, *left).len();
                    *left -= some as u64;
                    (self.is_over, self.is_whole) = (*left == 0, *left == 0);
                    came = self.keep(came, some);
                }
                Framing::Close => came = self.keep(came, came.len()),
                Framing::Chunks(_) => came = self.feed_chunks(came),
            }
        }
        self.has_excess |= !came.is_empty();
    }

    /// Keeps so many bytes, and returns the rest.
    fn keep<'a>(&mut self, came: &'a [u8], count: usize) -> &'a [u8] {
        let (some, rest) = came.split_at(count);
        let room = BODY_BYTES - self.kept.len();
        self.kept
            .extend_from_slice(some.get(..room).unwrap_or(some));
        if some.len() > room {
            self.cut();
        }
        rest
    }

    /// Goes one step on in a body of chunks, and returns what it leaves.
    fn feed_chunks<'a>(&mut self, came: &'a [u8]) -> &'a [u8] {
        let Framing::Chunks(chunks) = &mut self.framing else {
            return came;
        };
        let (found, rest) = chunks.step(came);
        match found {
            Step::Data(data) => {
                self.keep(data, data.len());
            }
            Step::Framing => {}
            Step::End => (self.is_over, self.is_whole) = (true, true),
            // No chunks at all, whatever was said.
            Step::Broken(line) if self.kept.is_empty() && !self.is_sure => {
                self.framing = Framing::Close;
                self.keep(&line, line.len());
            }
            Step::Broken(_) => self.cut(),
        }
        rest
    }

    /// Takes note that the peer has closed; `cleanly`, or the connection broke.
    pub(in crate::transport) fn end(&mut self, cleanly: bool) {
        if !self.is_over {
            self.is_over = true;
            self.is_whole = cleanly && matches!(self.framing, Framing::Close);
        }
    }

    /// Wants no more of it.
    pub(super) fn cut(&mut self) {
        (self.is_over, self.is_whole) = (true, false);
    }

    /// Whether another answer may follow it on the connection.
    pub(in crate::transport) fn ends_clearly(&self) -> bool {
        let is_clear = match &self.framing {
            Framing::Length(_) => true,
            Framing::Chunks(chunks) => chunks.is_proper,
            Framing::Close => false,
        };
        self.is_whole && is_clear && !self.has_excess
    }

    /// What was kept.
    pub(in crate::transport) fn into_bytes(self) -> Vec<u8> {
        self.kept
    }
}
