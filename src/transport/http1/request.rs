//! The head of a request: the very names, values and order that the dialect gave.
//!
//! Framing stays truthful, for a head whose `Content-Length` is not the body's is refused here, like
//! anything that would end a header early. Left out: the body, which is sent as it is stored.

use crate::model::{Fault, Request};

/// Writes start line and headers as they stand into `head`.
pub(super) fn compose(
    head: &mut Vec<u8>,
    start_line: &[u8],
    request: &Request,
) -> Result<(), Fault> {
    head.clear();
    let lines = request.headers.iter();
    let lengths = lines.map(|header| header.name.len() + header.value.len() + 4);
    head.reserve(start_line.len() + lengths.sum::<usize>() + 2);
    head.extend_from_slice(start_line);
    let mut lengths = 0;
    for header in &request.headers {
        let (name, value) = (header.name.as_bytes(), header.value.as_bytes());
        if name.is_empty() || !name.iter().all(|byte| TOKEN[usize::from(*byte)]) {
            return Err(Fault("a header's name is not one that can be sent".into()));
        }
        // Without an early end, so that many bytes are compared at a time.
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 127;
        if value.iter().fold(false, |any, byte| any | is_control(byte)) {
            return Err(Fault(format!(
                "the value of the header {} holds a control character",
                header.name
            )));
        }
        // Most names are told from these by their lengths.
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if header.value.parse() != Ok(request.body.len()) {
                return Err(Fault("Content-Length is not the body's length".into()));
            }
        }
        if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Fault("Transfer-Encoding can't be set by hand".into()));
        }
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    if lengths != 1 {
        return Err(Fault("a request needs one Content-Length".into()));
    }
    head.extend_from_slice(b"\r\n");
    Ok(())
}

/// The characters of a header's name (RFC 9110, 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};
