//! The head of an answer, from the bytes that came so far.
//!
//! httparse reads what is proper HTTP/1, with the leniences that servers need: a space before a colon, a
//! folded line, no reason. What it gives up is read by `lenient`. Interim answers are passed over.
//! A head is looked at again only where an empty line came, so that a dripping one costs nothing.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

use super::body::Body;
use super::error::Error;
use super::facts::HeaderFacts;
use super::lenient::{self, End, Found, Lenient};
use crate::model::Headers;
use crate::transport::keep_alive::Keep;

/// The most of an answer's head that is read; a larger one is a protocol failure.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// As many header lines as httparse gets room for, on the stack. What has more is read by `lenient`: to
/// room for all that 64 KiB can hold, each answer would pay.
pub(super) const LINES: usize = 100;

/// An answer whose head was read.
pub(in crate::transport) struct Reply {
    pub(in crate::transport) status: u16,
    pub(in crate::transport) headers: Headers,
    pub(in crate::transport) body: Body,
    /// What may become of the connection, if the body lets it; `None`: it is not to be used again.
    pub(in crate::transport) keep: Option<Keep>,
    /// What is wrong with the head, for the log.
    pub(in crate::transport) flaw: Option<String>,
    /// The words behind the status are those by which privoxy says that it failed itself.
    pub(in crate::transport) is_privoxy: bool,
}

/// What was found in some bytes.
enum Scan {
    Reply(Reply),
    /// Nothing whole but interim answers of so many bytes.
    More(usize),
}

/// What httparse finds at the start of some bytes.
enum Proper {
    Reply(Reply),
    Interim(usize),
    More,
    Flawed(&'static str),
    TooLarge,
}

/// Reads the head of one answer.
#[derive(Default)]
pub(in crate::transport) struct HeadReader {
    /// What came and was not yet understood.
    came: Vec<u8>,
    /// Why httparse gave it up.
    flaw: Option<&'static str>,
}

impl HeadReader {
    /// Takes more of the answer, which is something. `None`: its head is not whole.
    pub(in crate::transport) fn take(&mut self, new: &[u8]) -> Result<Option<Reply>, Error> {
        let before = self.came.len();
        if before == 0 {
            return match self.scan(new, End::NotYet)? {
                Scan::Reply(reply) => Ok(Some(reply)),
                Scan::More(used) => {
                    self.came
                        .extend_from_slice(new.get(used..).unwrap_or_default());
                    Ok(None)
                }
            };
        }
        self.came.extend_from_slice(new);
        let fresh = self.came.get(before.saturating_sub(3)..);
        if self.came.len() < HEAD_BYTES && !fresh.is_some_and(has_empty_line) {
            return Ok(None);
        }
        let mut came = std::mem::take(&mut self.came);
        match self.scan(&came, End::NotYet)? {
            Scan::Reply(reply) => Ok(Some(reply)),
            Scan::More(used) => {
                came.drain(..used);
                self.came = came;
                Ok(None)
            }
        }
    }

    /// The answer, where nothing more of it will come; else the reason for that, or a better one.
    pub(in crate::transport) fn end(mut self, reason: Error) -> Result<Reply, Error> {
        let came = std::mem::take(&mut self.came);
        let end = match reason {
            Error::Closed => End::Clean,
            _ => End::Broken,
        };
        match self.scan(&came, end) {
            Ok(Scan::Reply(reply)) => Ok(reply),
            Ok(Scan::More(_)) | Err(Error::Closed) => Err(reason),
            Err(better) => Err(better),
        }
    }

    fn scan(&mut self, bytes: &[u8], end: End) -> Result<Scan, Error> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let mut found = Found::More;
            if self.flaw.is_none() {
                match proper(rest) {
                    Proper::Reply(reply) => return Ok(Scan::Reply(reply)),
                    Proper::Interim(length) => found = Found::Interim(length),
                    Proper::TooLarge => return Err(Error::TooLarge),
                    Proper::Flawed(flaw) => self.flaw = Some(flaw),
                    Proper::More => {}
                }
            }
            let ended = end != End::NotYet;
            if self.flaw.is_some() || ended && matches!(found, Found::More) {
                found = lenient::find(rest, end);
            }
            match found {
                Found::Head(head) if head.length <= HEAD_BYTES => {
                    let body = rest.get(head.length..).unwrap_or_default();
                    return Ok(Scan::Reply(self.lenient_reply(head, body)));
                }
                Found::Interim(length) => used += length,
                Found::More if rest.len() < HEAD_BYTES => return Ok(Scan::More(used)),
                Found::Nothing => return Err(self.flaw.map_or(Error::Closed, Error::NotHttp)),
                Found::Head(_) | Found::More => return Err(Error::TooLarge),
            }
        }
    }

    fn lenient_reply(&self, head: Lenient, body: &[u8]) -> Reply {
        let flaw = match self.flaw {
            Some(MANY) if !head.is_cut => {
                format!("the head of the answer has more than {LINES} lines")
            }
            Some(flaw) if !head.is_cut => improper(flaw),
            _ => "the answer ended within its head".to_owned(),
        };
        let mut reply = Reply {
            status: head.status,
            headers: head.headers,
            body: Body::new(head.facts.framing(head.status), false),
            keep: None,
            flaw: Some(flaw),
            is_privoxy: false,
        };
        if head.is_cut {
            reply.body.cut();
        }
        reply.body.feed(body);
        reply
    }
}

fn improper(flaw: &str) -> String {
    format!("the head of the answer is not proper HTTP: {flaw}")
}

/// Whether an empty line ends somewhere in these bytes.
fn has_empty_line(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    // What stands behind the last line feed has not ended.
    lines.next_back();
    lines
        .skip(1)
        .any(|line| matches!(line, b"" | b"\r" | b"\r\r"))
}

/// Reads what is proper HTTP/1.
fn proper(bytes: &[u8]) -> Proper {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    let mut room = [const { MaybeUninit::uninit() }; LINES];
    let mut response = Response::new(&mut []);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut room) {
        Ok(Status::Complete(length)) if length > HEAD_BYTES => return Proper::TooLarge,
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Proper::More,
        Err(httparse::Error::TooManyHeaders) => return Proper::Flawed(MANY),
        Err(httparse::Error::Status) => return Proper::Flawed(BAD_STATUS),
        Err(httparse::Error::Version) => return Proper::Flawed("invalid HTTP version parsed"),
        Err(_) => return Proper::Flawed("invalid HTTP header parsed"),
    };
    let status = match response.code {
        Some(100 | 102..=199) => return Proper::Interim(length),
        Some(status @ 101..) => status,
        _ => return Proper::Flawed(BAD_STATUS),
    };
    let is_http_1_0 = response.version == Some(0);
    let mut headers = Headers::with_room(length);
    let mut facts = HeaderFacts::default();
    for header in response.headers.iter() {
        let name = header.name.as_bytes();
        if header.value.contains(&b'\n') {
            let value = unfolded(header.value);
            facts.take(name, &value);
            headers.push(header.name, &value);
        } else {
            facts.take(name, header.value);
            headers.push(header.name, header.value);
        }
    }
    let flaw = facts.flaw(status, is_http_1_0);
    let mut body = Body::new(facts.framing(status), flaw.is_none());
    body.feed(bytes.get(length..).unwrap_or_default());
    Proper::Reply(Reply {
        status,
        headers,
        body,
        keep: facts.keep(status, is_http_1_0).filter(|_| flaw.is_none()),
        flaw: flaw.map(improper),
        is_privoxy: response
            .reason
            .is_some_and(|words| PRIVOXY.contains(&words)),
    })
}

/// privoxy, `cgi.c`, `filters.c` and `jcc.c`
const PRIVOXY: [&str; 3] = [
    "No such domain",
    "Connect failed",
    "Request blocked by Privoxy",
];

const MANY: &str = "too many header lines";
const BAD_STATUS: &str = "invalid HTTP status-code parsed";

/// A value over several lines in one, with a space for each end of a line and what surrounds it.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|byte| *byte == b'\n');
    let lines: Vec<_> = lines.map(<[u8]>::trim_ascii).collect();
    lines.join(&b' ')
}
