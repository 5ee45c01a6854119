//! Standard output as the commands see it: how wide it is, whether it has colours, whether anybody
//! still reads it.
//!
//! A width is kept to on a terminal, or where `COLUMNS` is in the environment; into a pipe or a file
//! everything goes out whole. Colours are for terminals, and not where `NO_COLOR` is set
//! (<https://no-color.org>). A reader that closed the pipe has seen enough: that is no error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;

use super::note_in_place;

/// No output is made narrower than this, whatever the terminal says of itself.
const NARROWEST: usize = 40;

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Look {
    /// The SGR parameter of ECMA-48.
    fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Bold => Some(1),
            Self::Dim => Some(2),
            Self::Good => Some(32),
            Self::Warning => Some(33),
            Self::Bad => Some(31),
        }
    }
}

/// Standard output.
pub(super) struct Screen {
    to: io::BufWriter<io::StdoutLock<'static>>,
    colours: bool,
    width: Option<usize>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        let told = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let told = told.filter(|width| *width > 0);
        let asked = || terminal.then(|| tcgetwinsize(&stdout).ok()).flatten();
        let width = told.or_else(|| asked().map(|size| usize::from(size.ws_col)));
        Self {
            to: io::BufWriter::new(stdout.lock()),
            colours: terminal && !plain,
            width: width.filter(|width| *width > 0).map(|w| w.max(NARROWEST)),
        }
    }

    /// How many characters a line may have; `None`: any number.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether standard output has colours.
    pub(super) fn colours(&self) -> bool {
        self.colours
    }

    /// The text with its look, where there are colours.
    pub(super) fn paint(&self, text: impl Display, look: Look) -> String {
        paint(&text.to_string(), look, self.colours)
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.to, "{text}")
    }

    /// Writes text as it is, with its own line ends.
    pub(super) fn write(&mut self, text: impl Display) -> io::Result<()> {
        write!(self.to, "{text}")
    }

    /// Hands over what was written so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Whether the reader of a pipe has gone.
    pub(super) fn is_closed(&self) -> bool {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec::default();
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
            && fds[0]
                .revents()
                .intersects(PollFlags::ERR | PollFlags::NVAL)
    }
}

/// The text with its look.
pub(super) fn paint(text: &str, look: Look, colours: bool) -> String {
    match look.code().filter(|_| colours && !text.is_empty()) {
        Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

/// A line on standard error that says how far a long thing is; only on a terminal.
pub(super) struct Progress {
    shown: bool,
    dirty: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
            dirty: false,
        }
    }

    pub(super) fn show(&mut self, text: impl Display) {
        if self.shown {
            note_in_place(format_args!("\r\x1b[K{text}"));
            self.dirty = true;
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.dirty) {
            note_in_place("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_there_are_some() {
        assert_eq!(paint("x", Look::Bad, true), "\x1b[31mx\x1b[0m");
        assert_eq!(paint("x", Look::Bad, false), "x");
        assert_eq!(paint("x", Look::Plain, true), "x");
        assert_eq!(paint("", Look::Good, true), "");
    }
}
