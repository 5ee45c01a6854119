//! The transport against real loopback sockets, whose other end is scripted to the byte.
//!
//! A test that waits for a time-out shortens it; the others have long ones, so that a busy machine
//! does not fail them. No test sleeps: an endpoint that is silent just holds its socket.

mod alike;
mod answers;
mod arbitrary;
mod hosts;
mod kept;
mod moved;
mod mutual;
mod names;
mod odd;
mod proxies;
mod secure;
mod silent;
mod stale;
mod trouble;
mod trust;
mod wire;

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, Endpoint, Transport};
use crate::dialect::Timeouts;
use crate::model::{
    Answer, Class, Clock, Dialect, Exchange, Failure, Fault, Header, Request, Webhook,
};

/// How long a test waits for what must come soon.
const SOON: Duration = Duration::from_secs(20);
/// A time-out for tests that wait for it, and in which a busy machine still does what comes before.
const SHORT: Duration = Duration::from_secs(1);

/// A client whose time-outs nobody meets.
fn client() -> Client {
    let timeouts = Timeouts {
        connect: SOON,
        response: SOON,
        body: SOON,
    };
    Client::with_timeouts(Clock::system(), move |_| timeouts)
}

/// A client whose time-outs are [`SHORT`].
fn hasty() -> Client {
    let timeouts = Timeouts {
        connect: SHORT,
        response: SHORT,
        body: SHORT,
    };
    Client::with_timeouts(Clock::system(), move |_| timeouts)
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        max_in_flight: 4,
        ..Webhook::sample("w", url)
    }
}

fn plain(client: &Client, to: SocketAddr) -> Endpoint {
    client
        .endpoint(&webhook(&format!("http://{to}/hook")))
        .unwrap()
}

fn kept(client: &Client, to: SocketAddr) -> Endpoint {
    let mut webhook = webhook(&format!("http://{to}/hook"));
    webhook.keep_alive = true;
    client.endpoint(&webhook).unwrap()
}

fn header(name: &'static str, value: &str) -> Header {
    Header {
        name: Cow::Borrowed(name),
        value: Cow::Owned(value.to_owned()),
        redacted: false,
    }
}

fn request(body: &'static [u8]) -> Request {
    Request {
        dialect: Dialect::BoldCms,
        headers: vec![
            header("Host", "h.example"),
            header("Content-Length", &body.len().to_string()),
        ],
        body: Bytes::from_static(body),
    }
}

async fn send(client: &Client, to: &Endpoint) -> Exchange {
    client.send(to, &request(b"{}")).await.unwrap()
}

fn answer(exchange: Exchange) -> Answer {
    exchange.result.unwrap()
}

fn failed(exchange: Exchange) -> (Class, String) {
    let failure = exchange.result.unwrap_err();
    (failure.class, failure.text)
}

/// An endpoint: each connection, with its number from 0 on, is given to the script.
async fn serve<F, S>(script: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(number, stream));
        }
    });
    address
}

/// An endpoint that reads one request and answers with these bytes, then closes.
async fn says(reply: impl Into<Vec<u8>>) -> SocketAddr {
    let reply: Arc<Vec<u8>> = Arc::new(reply.into());
    serve(move |_, mut stream| {
        let reply = Arc::clone(&reply);
        async move {
            read_request(&mut stream).await;
            drop(stream.write_all(&reply).await);
        }
    })
    .await
}

/// The exchange with such an endpoint.
async fn told(reply: impl Into<Vec<u8>>) -> Exchange {
    let client = client();
    let to = plain(&client, says(reply).await);
    send(&client, &to).await
}

/// The bytes of one request; fewer where the peer closes before.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return bytes;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(n @ 1..) => bytes.extend_from_slice(&chunk[..n]),
            _ => return bytes,
        }
    }
}

/// Waits until the other side has closed.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut chunk = [0; 4096];
    let end = async { while let Ok(1..) = stream.read(&mut chunk).await {} };
    tokio::time::timeout(SOON, end)
        .await
        .expect("it stays open");
}
