//! One HTTP exchange over any stream, without a library: what is said is chosen to the byte, and what
//! is answered is kept as it came.
//!
//! An answer ends where its head says so, or with the connection. Interim answers are skipped. Left
//! out: pipelining, and any second request.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde_json::Value;

/// A larger body waits for the server to want it, as curl's do.
const ASKED_FOR: usize = 1 << 20;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers in small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Whole lines, beyond `Accept` and the length of a body, and `Host` where it is none of them.
    pub(crate) headers: Vec<&'a str>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The words of an error, which must be JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// Holds that it has that status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The lines of an answer of NDJSON.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).unwrap();
        self.body.lines().map(line).collect()
    }

    /// The value of a header that stands once, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (this, value) = line.split_once(':')?;
            (this == name).then(|| value.trim())
        })
    }
}

impl Request<'_> {
    /// Whether a header of that name is among the lines.
    fn gives(&self, name: &str) -> bool {
        let mut names = self
            .headers
            .iter()
            .filter_map(|line| line.split(':').next());
        names.any(|given| given.eq_ignore_ascii_case(name))
    }

    fn is_chunked(&self) -> bool {
        self.gives("Transfer-Encoding")
    }

    fn waits(&self) -> bool {
        !self.gives("Expect") && self.body.as_ref().is_some_and(|b| b.len() > ASKED_FOR)
    }

    fn head(&self) -> String {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        if !self.gives("Host") {
            lines.push("Host: localhost".to_owned());
        }
        lines.push("Accept: */*".to_owned());
        if let Some(body) = &self.body {
            if !self.gives("Content-Type") {
                lines.push("Content-Type: application/x-www-form-urlencoded".to_owned());
            }
            if !self.is_chunked() {
                lines.push(format!("Content-Length: {}", body.len()));
            }
            if self.waits() {
                lines.push("Expect: 100-continue".to_owned());
            }
        }
        // A name without a value takes the header away, as with curl.
        let given = self.headers.iter().filter(|line| !line.ends_with(':'));
        lines.extend(given.map(|line| (*line).to_owned()));
        lines.join("\r\n") + "\r\n\r\n"
    }
}

/// Makes one exchange. A server may answer before it has the whole body and close: then its answer
/// counts and not that it would not listen.
pub(crate) fn exchange(mut stream: impl Read + Write, request: &Request<'_>) -> io::Result<Reply> {
    stream.write_all(request.head().as_bytes())?;
    let mut stream = BufReader::new(stream);
    if request.waits() {
        let first = head(&mut stream)?;
        if first.status >= 200 {
            return rest(first, &mut stream, request);
        }
    }
    let said = send(stream.get_mut(), request);
    let mut answer = head(&mut stream);
    while answer.as_ref().is_ok_and(|answer| answer.status < 200) {
        answer = head(&mut stream);
    }
    match (answer, said) {
        (Ok(answer), _) => rest(answer, &mut stream, request),
        (Err(_), Err(said)) => Err(said),
        (Err(error), Ok(())) => Err(error),
    }
}

fn send(stream: &mut impl Write, request: &Request<'_>) -> io::Result<()> {
    let Some(body) = &request.body else {
        return Ok(());
    };
    if !request.is_chunked() {
        return stream.write_all(body);
    }
    for chunk in body.chunks(1 << 16) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// A status line with its headers, still without a body.
fn head(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut head = String::new();
    loop {
        let from = head.len();
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (_, line) = head.split_at(from);
        if line == "\r\n" {
            break;
        }
    }
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Ok(Reply {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        head: head.trim_end().to_ascii_lowercase(),
        body: String::new(),
    })
}

fn rest(mut reply: Reply, stream: &mut impl BufRead, request: &Request<'_>) -> io::Result<Reply> {
    let mut body = Vec::new();
    if request.method == "HEAD" || matches!(reply.status, 204 | 304) {
        return Ok(reply);
    }
    if reply.header("transfer-encoding") == Some("chunked") {
        chunks(stream, &mut body)?;
    } else if let Some(length) = reply.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    reply.body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(reply)
}

fn chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let read = stream.take(length).read_to_end(body)?;
        if u64::try_from(read) != Ok(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Behind the last there may be trailers; nobody here sends any.
        line.clear();
        stream.read_line(&mut line)?;
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    /// Makes an exchange with a server that says all this at once.
    fn answered(says: &str, method: &str) -> io::Result<Reply> {
        let (client, mut server) = UnixStream::pair().unwrap();
        server.write_all(says.as_bytes()).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let request = Request {
            method,
            path: "/",
            headers: Vec::new(),
            body: None,
        };
        exchange(client, &request)
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc";
        assert_eq!(answered(long, "GET").unwrap().body, "ab");
        let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\nx";
        let reply = answered(chunked, "GET").unwrap();
        assert_eq!((reply.status, &*reply.body), (404, "a0123456789"));
        let closed = "HTTP/1.0 200 OK\r\nX-A: B\r\n\r\nall";
        let reply = answered(closed, "GET").unwrap();
        assert_eq!(
            (&*reply.head, &*reply.body),
            ("http/1.0 200 ok\r\nx-a: b", "all")
        );
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(answered(head, "HEAD").unwrap().body, "");
        for broken in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na",
        ] {
            assert!(answered(broken, "GET").is_err(), "{broken:?}");
        }
    }
}
