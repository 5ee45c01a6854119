//! Heads that are not proper and bodies in chunks, without a socket. What is proper is held against
//! hyper, in `transport/tests/alike.rs`.

use super::body::BODY_BYTES;
use super::error::Error;
use super::head::{HEAD_BYTES, HeadReader, LINES};

/// Status, lines, body and whether something is missing, where all came and then the end.
fn read(came: &[u8]) -> Option<(u16, String, String, bool)> {
    pieces(came, came.len().max(1))
}

/// The same in pieces of that size.
fn pieces(came: &[u8], size: usize) -> Option<(u16, String, String, bool)> {
    let mut reader = HeadReader::default();
    let mut pieces = came.chunks(size);
    let reply = match pieces.find_map(|some| reader.take(some).transpose()) {
        Some(reply) => reply,
        None => reader.end(Error::Closed),
    };
    let mut reply = reply.ok()?;
    pieces.for_each(|some| reply.body.feed(some));
    reply.body.end(true);
    let truncated = !reply.body.is_whole;
    let body = String::from_utf8(reply.body.into_bytes()).unwrap();
    Some((
        reply.status,
        reply.headers.lines().to_owned(),
        body,
        truncated,
    ))
}

#[test]
fn the_status_line_decides_and_the_rest_is_kept() {
    for (came, lines, body, truncated) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "", "", false),
        (
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\nhi",
            "no colon",
            "hi",
            false,
        ),
        (
            "HTTP/1.0 200\nX : \x1b[2J\0\n: y\nA:b\n\nhi",
            "x: \u{fffd}[2J\u{fffd}\n: y\na: b",
            "hi",
            false,
        ),
        (
            "\r\nHTTP/1.1 200 O\0K\r\nA: b\r\n c\r\n\r\n",
            "a: b c",
            "",
            false,
        ),
        (
            "HTTP/1.1 100 Go\r\nbad\r\n\r\nHTTP/1.1 200 OK\r\nbad\r\n\r\n",
            "bad",
            "",
            false,
        ),
        // Broken off.
        ("HTTP/1.1 200 OK\r\n", "", "", true),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Le",
            "a: b\nContent-Le",
            "",
            true,
        ),
        // Lengths.
        (
            "HTTP/1.1 200 OK\r\nbad\r\nContent-Length: 2\r\n\r\nhi junk",
            "bad\ncontent-length: 2",
            "hi",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nbad\r\nContent-Length: 9\r\n\r\nhi",
            "bad\ncontent-length: 9",
            "hi",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
            "content-length: -2",
            "hi",
            false,
        ),
        ("HTTP/1.1 204 No\r\nbad\r\n\r\nhi", "bad", "", false),
    ] {
        let status = if came.contains("204") { 204 } else { 200 };
        let expected = (status, lines.to_owned(), body.to_owned(), truncated);
        assert_eq!(read(came.as_bytes()), Some(expected), "{came:?}");
    }
}

#[test]
fn chunks_are_taken_apart_as_far_as_they_go() {
    for (chunks, body, truncated) in [
        (
            "2\r\nhi\r\n3;x=y\r\n you\r\n0\r\nA: b\r\n\r\njunk",
            "hi yo",
            true,
        ),
        (
            "2\r\nhi\r\n4;x=y\r\n you\r\n0\r\nA: b\r\n\r\njunk",
            "hi you",
            false,
        ),
        ("2\nhi\n0\n\n", "hi", false),
        ("2\r\nhi\r\n9\r\nyo", "hiyo", true),
        ("2\r\nhi\r\nzz\r\nyo", "hi", true),
        ("hi\r\nyou", "hi\r\nyou", false),
        ("", "", true),
    ] {
        let came = format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let (_, _, is, cut) = read(came.as_bytes()).unwrap();
        assert_eq!((is.as_str(), cut), (body, truncated), "{chunks:?}");
        assert_eq!(
            pieces(came.as_bytes(), 1),
            read(came.as_bytes()),
            "{chunks:?}"
        );
    }
}

#[test]
fn what_has_no_status_line_is_nothing() {
    for came in [
        "HTTP/1.1 20",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.x 200 OK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 2 00\r\n\r\n",
        "HTTP/1.1\n200 OK\r\n\r\n",
        "HTTP/1.1 103 Hints",
        "HTTP/2 200\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "200 OK\r\n\r\n",
        "HTTP/1.1 103 Hints\r\nbad\r\n\r\n",
        "",
    ] {
        assert_eq!(read(came.as_bytes()), None, "{came:?}");
    }
    let unfinished = |came: &[u8]| matches!(HeadReader::default().take(came), Ok(None));
    assert!(unfinished(b"HTTP/1.1 20") && unfinished(b"HTTP/1.1 200 OK\r\nbad\r\n"));
    assert!(!unfinished(b"HTTP/1.1 20x") && !unfinished(b"SSH-2.0"));
    assert!(unfinished(b"HTTP/1.1 204") && unfinished(b"HTTP/1.1 204 No Content"));
    assert!(unfinished(b"HTTP/1.1 \t2") && unfinished(b"HTTP/1.1\r"));
}

/// RFC 9112, 4: a recipient may take any blanks for the space.
#[test]
fn a_status_line_may_be_parted_by_any_blanks() {
    for line in [
        "HTTP/1.1  204 No Content",
        "HTTP/1.1\t204 No Content",
        "HTTP/1.1 \t 204\tNo Content",
        "HTTP/1.1 204\r",
        "HTTP/1.1 204\t",
        "HTTP/1.2 204 No Content",
        "HTTP/1.9\x0b204\x0cNo Content",
    ] {
        let came = format!("{line}\r\nA: b\r\n\r\n");
        let expected = Some((204, "a: b".to_owned(), String::new(), false));
        for size in [1, 2, came.len()] {
            assert_eq!(pieces(came.as_bytes(), size), expected, "{came:?} {size}");
        }
    }
}

#[test]
fn a_status_line_that_the_peer_closed_behind_has_answered() {
    for came in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 OK\r",
    ] {
        let expected = Some((200, String::new(), String::new(), true));
        assert_eq!(read(came.as_bytes()), expected, "{came:?}");
        // Not where the connection broke: more may have been on its way.
        let mut reader = HeadReader::default();
        assert!(matches!(reader.take(came.as_bytes()), Ok(None)));
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(reader.end(Error::Io(broken)), Err(Error::Io(_))));
    }
    let mut reader = HeadReader::default();
    assert!(matches!(reader.take(b"HTTP/1.1 200 OK"), Ok(None)));
    let reply = reader.end(Error::Closed).ok().unwrap();
    assert!(reply.keep.is_none());
    assert_eq!(
        reply.flaw.as_deref(),
        Some("the answer ended within its head")
    );
}

/// CR LF, written as text where each LF becomes CR LF. The connection stays open, so the end of the head
/// has to be seen.
#[test]
fn lines_may_end_in_two_carriage_returns() {
    let head = "HTTP/1.1 200 OK\r\r\nA: b\r\r\nContent-Length: 2\r\r\n\r\r\n";
    for size in 1..=head.len() {
        let mut reader = HeadReader::default();
        let mut pieces = head.as_bytes().chunks(size);
        let reply = pieces.find_map(|some| reader.take(some).unwrap());
        let mut reply = reply.expect("the head has ended");
        assert_eq!(reply.headers.lines(), "a: b\ncontent-length: 2", "{size}");
        assert!(reply.keep.is_none() && reply.flaw.is_some());
        reply.body.feed(b"ok");
        assert!(reply.body.is_whole);
    }
}

#[test]
fn the_limits_hold() {
    let head = |filler: String| format!("HTTP/1.1 200 OK\r\nbad\r\n{filler}");
    let lines = |count: usize| head("a: b\r\n".repeat(count - 1)) + "\r\n";
    assert!(read(lines(LINES).as_bytes()).is_some());
    assert!(read(lines(10_000).as_bytes()).is_some());
    let long = head("x".repeat(HEAD_BYTES));
    let took = HeadReader::default().take(long.as_bytes());
    assert!(matches!(took, Err(Error::TooLarge)));
    assert!(read(long.as_bytes()).is_none());
    let body = head("\r\n".to_owned() + &"y".repeat(BODY_BYTES + 1));
    let (_, _, body, truncated) = read(body.as_bytes()).unwrap();
    assert_eq!((body.len(), truncated), (BODY_BYTES, true));
}

/// An empty line may lie across the pieces in which it comes.
#[test]
fn a_head_that_drips_is_found() {
    for head in [
        "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\n\n",
        "HTTP/1.1 200 OK\nA: b\n\r\n",
    ] {
        for size in 1..head.len() {
            let mut reader = HeadReader::default();
            let mut pieces = head.as_bytes().chunks(size);
            let reply = pieces.find_map(|some| reader.take(some).unwrap());
            assert_eq!(reply.unwrap().headers.lines(), "a: b", "{head:?} {size}");
            assert_eq!(pieces.next(), None, "{head:?} {size}");
        }
    }
}

/// Whether another answer may follow on the connection.
#[test]
fn what_is_odd_ends_its_connection() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (headers, body, keeps) in [
        ("Content-Length: 2\r\n", "hi", true),
        ("Content-Length: 2\r\n", "hi!", false),
        ("Content-Length: 3\r\n", "hi", false),
        ("Content-Length: 2, 2\r\n", "hi", true),
        ("Content-Length: 2, 3\r\n", "hi", false),
        ("Content-Length: +2\r\n", "hi", false),
        ("Connection: x, Close\r\nContent-Length: 2\r\n", "hi", false),
        ("no colon\r\nContent-Length: 2\r\n", "hi", false),
        ("", "hi", false),
        (chunked, "2\r\nhi\r\n0\r\n\r\n", true),
        (chunked, "2 ;x\r\nhi\r\n0\r\nA: b\r\n\r\n", true),
        (chunked, "2\r\nhi\r\n0\r\n\r\n!", false),
        (chunked, "2\nhi\r\n0\r\n\r\n", false),
        (chunked, "2\r\nhi\n0\r\n\r\n", false),
        (chunked, "2 x\r\nhi\r\n0\r\n\r\n", false),
        (chunked, "2;\rx\r\nhi\r\n0\r\n\r\n", false),
        (chunked, "2\r\nhi\r\n0\r\n\n", false),
        (chunked, "2\r\nhi\r\n0\r\nno colon\r\n\r\n", false),
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let came = format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}");
        let reply = HeadReader::default().take(came.as_bytes()).unwrap();
        let mut reply = reply.unwrap();
        reply.body.end(true);
        let is = reply.keep.is_some() && reply.body.ends_clearly();
        assert_eq!(is, keeps, "{came:?}");
        assert!(reply.body.into_bytes().starts_with(b"hi"), "{came:?}");
    }
}

#[test]
fn an_answer_without_a_body_that_announces_one_ends_its_connection() {
    for (head, is_kept) in [
        ("204 No Content\r\n", true),
        ("204 No Content\r\nContent-Length: 0\r\n", true),
        ("204 No Content\r\nContent-Length: 2\r\n", false),
        ("204 No Content\r\nContent-Length: 0, 2\r\n", false),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", false),
        ("304 Not Modified\r\nContent-Length: 2\r\n", true),
        ("304 Not Modified\r\nTransfer-Encoding: chunked\r\n", false),
    ] {
        let came = format!("HTTP/1.1 {head}\r\n");
        let reply = HeadReader::default().take(came.as_bytes()).unwrap();
        let reply = reply.unwrap();
        assert!(reply.body.ends_clearly(), "{head}");
        assert_eq!(reply.keep.is_some(), is_kept, "{head}");
    }
}
