//! A receiver of webhooks on loopback: takes requests, checks signatures, answers as told.
//!
//! It reads what came over the wire and computes the signature anew from the secret, as a
//! customer's own receiver would. It keeps nothing; who runs it is told of each request and decides
//! what it is answered with, badly on purpose where that is wanted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::dialect::{self, STANDARD_HEADERS};
use crate::model::{Clock, Dialect, Secret};

/// The largest body that is taken, over the largest that can be configured.
const MAX_BODY_BYTES: usize = 128 << 20;

/// Connections at a time; a daemon opens no more to one webhook by default.
const MAX_CONNECTIONS: usize = 256;

/// How far the time in a request may be off, in seconds, either way: as much as the libraries of Standard Webhooks allow.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// A request as it came.
pub(super) struct Received {
    /// `POST`.
    pub(super) method: String,
    /// The path it was sent to.
    pub(super) path: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case and values, in the order they came in, with U+FFFD for what is no UTF-8.
    pub(super) headers: Vec<(String, String)>,
    /// The body, to the byte.
    pub(super) body: Bytes,
    /// What its headers say about each signature; one at least.
    pub(super) signatures: Vec<Signature>,
}

/// Whether a request is signed as its dialect says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// Signed, with the right secret.
    Right(Dialect),
    /// The same, but the time in it is so many seconds off, for which receivers refuse it.
    OffTime(Dialect, u64),
    /// Signed as that dialect signs, but not this body with one of the secrets.
    Wrong(Dialect),
    /// There is no secret to check it with.
    Unchecked(Dialect),
    /// No dialect's header is there, or it is blank.
    Missing,
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// That status, so much later.
    Status(u16, Duration),
    /// Nothing, until the sender gives up.
    Silence,
    /// The connection is reset.
    Reset,
}

impl Reply {
    /// That status, at once.
    pub(super) fn status(status: u16) -> Self {
        Self::Status(status, Duration::ZERO)
    }
}

/// Decides what a request is answered with.
pub(super) type Answer = dyn Fn(&Received) -> Reply + Send + Sync;

/// Binds a port on loopback; 0: one of its own.
pub(super) async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Takes requests until it is dropped.
///
/// What is signed with one of the secrets is signed right.
pub(super) async fn serve(
    listener: TcpListener,
    secrets: Arc<[Secret]>,
    clock: Clock,
    answer: Arc<Answer>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // A connection that breaks off is the sender's to notice.
        let (secrets, clock, answer) = (secrets.clone(), clock.clone(), answer.clone());
        connections.spawn(async move { drop(connection(stream, secrets, clock, answer).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    stream: TcpStream,
    secrets: Arc<[Secret]>,
    clock: Clock,
    answer: Arc<Answer>,
) -> io::Result<()> {
    // A second descriptor, so that the socket can be told to reset while hyper has the first.
    let stream = stream.into_std()?;
    let twin = Arc::new(TcpStream::from_std(stream.try_clone()?)?);
    let stream = TcpStream::from_std(stream)?;
    let resetting = twin.clone();
    let service = service_fn(move |request| {
        let (secrets, answer) = (secrets.clone(), answer.clone());
        let (twin, now_ms) = (resetting.clone(), clock.now_ms());
        async move { respond(request, (&secrets, now_ms), &*answer, &twin).await }
    });
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    drop(twin);
    served.map_err(io::Error::other)
}

async fn respond(
    request: Request<Incoming>,
    (secrets, now_ms): (&[Secret], i64),
    answer: &Answer,
    twin: &TcpStream,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let reply = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Err(_) => Reply::status(413),
        Ok(body) => {
            let body = body.to_bytes();
            let signatures = check(&head.headers, secrets, &body, now_ms);
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = head.headers.iter();
            answer(&Received {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                target: head.uri.to_string(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), lossy(value.as_bytes())))
                    .collect(),
                body,
                signatures,
            })
        }
    };
    let status = match reply {
        Reply::Silence => std::future::pending().await,
        Reply::Reset => {
            twin.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Reply::Status(status, delay) => {
            tokio::time::sleep(delay).await;
            status
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}\n")));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

/// Computes the signatures anew, by the dialects whose headers are there.
fn check(headers: &HeaderMap, secrets: &[Secret], body: &Bytes, now_ms: i64) -> Vec<Signature> {
    let judged = |dialect: Dialect| {
        let is_right = match dialect::signature(dialect, &Secret::new(*b""), body) {
            Some((name, _)) => {
                let got = headers.get(name).filter(|got| !got.is_empty())?;
                let fits = |secret| {
                    let own = dialect::signature(dialect, secret, body);
                    own.is_some_and(|(_, value)| got.as_bytes() == value.as_bytes())
                };
                secrets.iter().any(fits)
            }
            None => is_standard(headers, secrets, body)?,
        };
        Some(match (secrets, is_right) {
            ([], _) => Signature::Unchecked(dialect),
            (_, false) => Signature::Wrong(dialect),
            (_, true) if dialect == Dialect::StandardWebhooks => off_time(headers, now_ms)
                .map_or(Signature::Right(dialect), |off| {
                    Signature::OffTime(dialect, off)
                }),
            (_, true) => Signature::Right(dialect),
        })
    };
    let mut signatures: Vec<Signature> = Dialect::ALL.into_iter().filter_map(judged).collect();
    if signatures.is_empty() {
        signatures.push(Signature::Missing);
    }
    signatures
}

/// Whether one of the signatures of Standard Webhooks is that of one of the secrets; `None` where there is none.
fn is_standard(headers: &HeaderMap, secrets: &[Secret], body: &Bytes) -> Option<bool> {
    let value = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then_some(value)
    };
    let [id, timestamp, signatures] = STANDARD_HEADERS.map(value);
    let (signatures, Some((id, timestamp))) = (signatures?, id.zip(timestamp)) else {
        return Some(false);
    };
    let fits = |secret| {
        let expected = dialect::standard_signature(secret, id, timestamp, body);
        signatures.split(' ').any(|signature| signature == expected)
    };
    Some(secrets.iter().any(fits))
}

/// By how many seconds the time of Standard Webhooks is off, where that is too much.
fn off_time(headers: &HeaderMap, now_ms: i64) -> Option<u64> {
    let [_, timestamp, _] = STANDARD_HEADERS;
    let sent: i64 = headers.get(timestamp)?.to_str().ok()?.parse().ok()?;
    let off = sent.abs_diff(now_ms / 1_000);
    (off > TOLERANCE_SECONDS).then_some(off)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_999;

    /// As the libraries have it, whose receivers would answer 400.
    #[test]
    fn a_time_that_receivers_refuse_is_told_of_and_so_is_a_head_that_lacks_one() {
        let (secret, body) = (Secret::new(*b"key"), Bytes::from_static(b"{}"));
        let standard = Dialect::StandardWebhooks;
        let at = |timestamp: &str, now_ms| {
            let signature = dialect::standard_signature(&secret, "evt_1", timestamp, &body);
            let mut headers = HeaderMap::new();
            let values = ["evt_1", timestamp, &signature];
            for (name, value) in STANDARD_HEADERS.into_iter().zip(values) {
                headers.insert(name, value.parse().unwrap());
            }
            let whole = check(&headers, std::slice::from_ref(&secret), &body, now_ms);
            headers.remove("webhook-id");
            let lacking = check(&headers, std::slice::from_ref(&secret), &body, now_ms);
            assert_eq!(lacking, [Signature::Wrong(standard)]);
            whole
        };
        assert_eq!(at("1000", 1_300_999), [Signature::Right(standard)]);
        assert_eq!(at("1000", 1_301_000), [Signature::OffTime(standard, 301)]);
        assert_eq!(at("1000", 700_000), [Signature::Right(standard)]);
        assert_eq!(at("1000", 699_999), [Signature::OffTime(standard, 301)]);
    }

    #[test]
    fn a_signature_is_right_only_for_its_body_and_secret() {
        let (secret, body) = (Secret::new(*b"key"), Bytes::from_static(b"{}"));
        let other = Bytes::from_static(b"{ }");
        for dialect in Dialect::ALL {
            let mut headers = HeaderMap::new();
            match dialect::signature(dialect, &secret, &body) {
                Some((name, value)) => {
                    headers.insert(name, value.parse().unwrap());
                }
                None => {
                    let signature = dialect::standard_signature(&secret, "evt_1", "1", &body);
                    let values = ["evt_1", "1", &format!("v1,AAAA {signature}")];
                    for (name, value) in STANDARD_HEADERS.into_iter().zip(values) {
                        headers.insert(name, value.parse().unwrap());
                    }
                }
            }
            let with =
                |secret: &Secret, body| check(&headers, std::slice::from_ref(secret), body, NOW_MS);
            assert_eq!(with(&secret, &body), [Signature::Right(dialect)]);
            assert_eq!(with(&secret, &other), [Signature::Wrong(dialect)]);
            let wrong = Secret::new(*b"kez");
            assert_eq!(with(&wrong, &body), [Signature::Wrong(dialect)]);
            let one_fits = [wrong, secret.clone()];
            let judged = check(&headers, &one_fits, &body, NOW_MS);
            assert_eq!(judged, [Signature::Right(dialect)]);
            let judged = check(&headers, &[], &body, NOW_MS);
            assert_eq!(judged, [Signature::Unchecked(dialect)]);
            headers.insert("x-qt-signature", "00".parse().unwrap());
            let count = if dialect == Dialect::BoldCms { 1 } else { 2 };
            assert_eq!(check(&headers, &one_fits, &body, NOW_MS).len(), count);
        }
        let mut headers = HeaderMap::new();
        let unsigned = |headers| check(headers, std::slice::from_ref(&secret), &body, NOW_MS);
        assert_eq!(unsigned(&headers), [Signature::Missing]);
        // Bold CMS sends a blank header where there is no secret.
        headers.insert("x-qt-signature", "".parse().unwrap());
        assert_eq!(check(&headers, &[], &body, NOW_MS), [Signature::Missing]);
    }
}
