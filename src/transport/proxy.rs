//! The way through a proxy: a tunnel that it opens for TLS, or the whole URL in the request for plain http.
//!
//! What the proxy does wrong is said to be the proxy's, and is no word of the endpoint's: no batch is split for it, and
//! no webhook pauses itself. Left out: how the proxy itself is connected to (`connect`).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::failure::{AttemptError, is_ours};
use super::http1::{Error, Exchanged, HeadReader};
use crate::model::{Class, Failure, Fault, Proxy, Url};

/// Bytes of the proxy's consent that are read at most, interim answers among them.
const HEARD_BYTES: usize = 64 * 1024;

/// How an endpoint is reached through a proxy.
pub(super) struct Via {
    /// Host and port of the proxy.
    place: Box<str>,
    /// Host and port of the endpoint.
    to: Box<str>,
    /// What opens a tunnel; `None`: the request says where it is for. It may hold a password.
    ask: Option<Box<[u8]>>,
    knows_us: bool,
}

impl Via {
    pub(super) fn new(proxy: &Proxy, url: &Url) -> Self {
        let to = with_port(url);
        let ask = url.is_tls().then(|| {
            let mut ask = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
            ask.extend(authorization(proxy));
            ask.extend(b"\r\n");
            ask.into()
        });
        Self {
            place: proxy.place().into(),
            to: to.into(),
            ask,
            knows_us: proxy.authorization.is_some(),
        }
    }

    /// Whether the proxy opens a tunnel, and knows nothing of what goes through.
    pub(super) fn is_tunnel(&self) -> bool {
        self.ask.is_some()
    }

    /// Host and port of the proxy.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A failure on the way to the proxy, as the proxy's. That our own rule forbids it stays what it is.
    pub(super) fn on_the_way(&self, error: AttemptError) -> AttemptError {
        match error {
            AttemptError::Endpoint(Failure { class, text }) => {
                let class = match class {
                    Class::Address => Class::Address,
                    _ => Class::Proxy,
                };
                AttemptError::new(class, format!("the proxy {}: {text}", self.place))
            }
            local @ AttemptError::Local(_) => local,
        }
    }

    /// A failure of a request that the proxy had, as whose it is.
    pub(super) fn afterwards(&self, error: AttemptError) -> AttemptError {
        match error {
            AttemptError::Endpoint(Failure { class, text }) if class == Class::ResponseTimeout => {
                AttemptError::new(class, format!("{text}; through the proxy {}", self.place))
            }
            error if self.is_tunnel() => error,
            error => self.on_the_way(error),
        }
    }

    /// Has the proxy open the tunnel, where it takes one.
    pub(super) async fn open(&self, stream: &mut TcpStream) -> Result<(), AttemptError> {
        let Some(ask) = &self.ask else {
            return Ok(());
        };
        // A proxy may answer and reset: the answer is read before the error counts.
        let written = stream.write_all(ask).await;
        let mut reader = HeadReader::default();
        let mut room = [0; 1024];
        let mut heard = 0;
        let reply = loop {
            let reason = match stream.read(&mut room).await {
                Ok(0) => Error::Closed,
                Ok(n) => {
                    heard += n;
                    match reader.take(room.get(..n).unwrap_or_default()) {
                        Ok(Some(reply)) => break Ok(reply),
                        Ok(None) if heard < HEARD_BYTES => continue,
                        Ok(None) => break Err(Error::TooLarge),
                        Err(error) => break Err(error),
                    }
                }
                Err(error) => Error::Io(error),
            };
            break match reader.end(reason) {
                // Who falls silent within its consent has opened nothing.
                Ok(reply) if is_consent(reply.status) => Err(Error::Closed),
                ended => ended,
            };
        };
        match reply {
            Ok(reply) if is_consent(reply.status) => {
                if reply.body.into_bytes().is_empty() {
                    return Ok(());
                }
                Err(self.fails("says more behind its consent, where the endpoint's words begin"))
            }
            Ok(reply) => Err(self.fails(&self.refusal(reply.status))),
            Err(error) => Err(self.silence(&error, written)),
        }
    }

    fn silence(&self, error: &Error, written: io::Result<()>) -> AttemptError {
        let what = match error {
            Error::Io(error) if is_ours(error) => {
                let place = &self.place;
                return Fault(format!("talk to the proxy {place}: {error}")).into();
            }
            Error::Io(_) => "reset the connection",
            Error::TooLarge => "answers with more than 64 KiB",
            Error::NotHttp(_) => "does not answer in HTTP",
            _ if written.is_err() => "reset the connection",
            _ => "closed the connection",
        };
        self.fails(&format!(
            "{what} when it was asked to connect to {}",
            self.to
        ))
    }

    fn refusal(&self, status: u16) -> String {
        match status {
            407 => self.unknown(),
            _ => format!("does not connect to {}: it answered {status}", self.to),
        }
    }

    fn unknown(&self) -> String {
        let words = if self.knows_us {
            "does not accept the user and password of proxy_secret_file: it answered 407"
        } else {
            "wants a user and a password, and there is no proxy_secret_file: it answered 407"
        };
        words.to_owned()
    }

    fn fails(&self, what: &str) -> AttemptError {
        AttemptError::new(Class::Proxy, format!("the proxy {} {what}", self.place))
    }

    /// An answer that the proxy gave in the endpoint's place, by marks that no endpoint has.
    pub(super) fn own_answer(&self, answer: &Exchanged) -> Option<AttemptError> {
        if self.is_tunnel() {
            return None;
        }
        let status = answer.status;
        if status == 407 {
            return Some(self.fails(&self.unknown()));
        }
        let has = |name| answer.headers.get_all(name).next().is_some();
        let is_tinyproxy = || {
            let mut servers = answer.headers.get_all("server");
            servers.any(|server| server.starts_with("tinyproxy/"))
        };
        let is_own = status >= 400
            && (has("x-squid-error")
                || has("x-smokescreen-error")
                || answer.is_privoxy
                || is_tinyproxy());
        is_own.then(|| self.fails(&format!("answered {status} itself, for {}", self.to)))
    }

    /// What to know of an answer that may be the proxy's own.
    pub(super) fn doubt(&self, status: u16) -> Option<String> {
        let is_doubtful = !self.is_tunnel() && !(200..=299).contains(&status);
        is_doubtful.then(|| format!("through the proxy {}: may be its own answer", self.place))
    }
}

fn is_consent(status: u16) -> bool {
    (200..=299).contains(&status)
}

/// The start of a request, as a proxy wants it or the endpoint itself. It may hold a password.
pub(super) fn start_line(url: &Url, proxy: Option<&Proxy>) -> Box<[u8]> {
    let mut line = String::from("POST ");
    let proxy = proxy.filter(|_| !url.is_tls());
    if proxy.is_some() {
        line.push_str("http://");
        line.push_str(url.authority());
    }
    line.push_str(url.target());
    line.push_str(" HTTP/1.1\r\n");
    let mut bytes = line.into_bytes();
    if let Some(proxy) = proxy {
        bytes.extend(authorization(proxy));
    }
    bytes.into()
}

fn authorization(proxy: &Proxy) -> Vec<u8> {
    match &proxy.authorization {
        Some(value) => [b"Proxy-Authorization: ", value.bytes(), b"\r\n"].concat(),
        None => Vec::new(),
    }
}

/// Host and port; CONNECT wants the port said.
fn with_port(url: &Url) -> String {
    let (host, port) = (url.host(), url.port());
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
