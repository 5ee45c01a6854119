//! A receiver of webhooks on loopback: takes requests, checks signatures, answers as told.
//!
//! It reads what came over the wire and computes the signature anew from the secret, as a
//! customer's own receiver would. It keeps nothing but counts; who runs it is told of each request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::dialect;
use crate::model::{Dialect, Secret};

/// The largest body that is taken, over the largest that can be configured.
const MAX_BODY_BYTES: usize = 128 << 20;

/// Connections at a time; a daemon opens no more to one webhook by default.
const MAX_CONNECTIONS: usize = 256;

/// A request as it came.
pub(super) struct Received {
    /// The path it was sent to.
    pub(super) path: String,
    /// What its headers say about the signature.
    pub(super) signature: Signature,
}

/// Whether a request is signed as its dialect says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// Signed, with the right secret.
    Right(Dialect),
    /// Not signed, or not with this secret.
    Wrong,
}

/// Decides what a request is answered with: a status code.
pub(super) type Answer = dyn Fn(&Received) -> u16 + Send + Sync;

/// Binds a port of its own on loopback.
pub(super) async fn bind() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Takes requests until it is dropped.
pub(super) async fn serve(listener: TcpListener, secret: Secret, answer: Arc<Answer>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (secret, answer) = (secret.clone(), answer.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let (secret, answer) = (secret.clone(), answer.clone());
                async move { Ok::<_, Infallible>(respond(request, &secret, &*answer).await) }
            });
            // A connection that breaks off is the sender's to notice.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(
    request: Request<Incoming>,
    secret: &Secret,
    answer: &Answer,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let status = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Err(_) => 413,
        Ok(body) => {
            let body = body.to_bytes();
            let signature = check(&head.headers, secret, &body);
            answer(&Received {
                path: head.uri.path().to_owned(),
                signature,
            })
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}\n")));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Computes the signature anew, by the dialect whose header is there.
fn check(headers: &hyper::HeaderMap, secret: &Secret, body: &Bytes) -> Signature {
    let right = Dialect::ALL.into_iter().find(|dialect| {
        let (name, value) = dialect::signature(*dialect, secret, body);
        headers
            .get(name)
            .is_some_and(|got| got.as_bytes() == value.as_bytes())
    });
    right.map_or(Signature::Wrong, Signature::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_right_only_for_its_body_and_secret() {
        let (secret, body) = (Secret::new(*b"key"), Bytes::from_static(b"{}"));
        for dialect in Dialect::ALL {
            let (name, value) = dialect::signature(dialect, &secret, &body);
            let mut headers = hyper::HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(check(&headers, &secret, &body), Signature::Right(dialect));
            assert_eq!(
                check(&headers, &secret, &Bytes::from_static(b"{ }")),
                Signature::Wrong
            );
            assert_eq!(
                check(&headers, &Secret::new(*b"kez"), &body),
                Signature::Wrong
            );
        }
        assert_eq!(
            check(&hyper::HeaderMap::new(), &secret, &body),
            Signature::Wrong
        );
    }
}
