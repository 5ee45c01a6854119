//! The ceiling of every rate: a bare loop of hyper's own client to the same receiver.
//!
//! One connection to a worker, held by hand, no pool, no signing, no database, nothing kept of the
//! answer; the request's headers and body have the daemon's size. `bare URL COUNT CONCURRENCY
//! close|keep CERTIFICATE` runs in a process of its own and prints nanoseconds and CPU microseconds.
//! Over TLS it resumes sessions, as the daemon does.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Webhook;
use crate::http;
use crate::process::{cpu_us, now_ns};

/// Requests under way at a time: the daemon's default for a webhook.
const CONCURRENCY: usize = 64;

/// What a loop took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
}

/// Runs the loop in its own process.
pub(crate) fn measure(webhook: &Webhook, count: u64, certificate: &Path) -> Bare {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "bare",
            &webhook.url,
            &count.to_string(),
            &CONCURRENCY.to_string(),
        ])
        .arg(if webhook.keep_alive { "keep" } else { "close" })
        .arg(certificate)
        .output()
        .expect("start the bare client");
    assert!(
        output.status.success(),
        "the bare client: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (ns, cpu_us) = text.trim().split_once(' ').expect("two numbers");
    let (ns, cpu_us): (f64, f64) = (ns.parse().unwrap(), cpu_us.parse().unwrap());
    Bare {
        per_second: count as f64 * 1e9 / ns,
        cpu_us: cpu_us / count as f64,
    }
}

struct Loop {
    uri: Uri,
    left: AtomicI64,
    body: Bytes,
    close: bool,
    tls: Option<TlsConnector>,
}

/// The process.
pub(crate) fn run(arguments: &[String]) {
    let uri: Uri = arguments[0].parse().expect("a URL");
    let count: i64 = arguments[1].parse().expect("a count");
    let concurrency: usize = arguments[2].parse().expect("a concurrency");
    let tls = uri.scheme_str() == Some("https");
    let work = Arc::new(Loop {
        uri,
        left: AtomicI64::new(count),
        body: http::body("tick").into(),
        close: arguments[3] == "close",
        tls: tls.then(|| TlsConnector::from(crate::certificate::client(Path::new(&arguments[4])))),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let begun = now_ns();
    runtime.block_on(async {
        let workers: Vec<_> = (0..concurrency)
            .map(|_| tokio::spawn(work.clone().work()))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
    println!("{} {}", now_ns() - begun, cpu_us(std::process::id()));
}

impl Loop {
    async fn work(self: Arc<Self>) {
        let mut kept = None;
        while self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect().await,
            };
            sender.ready().await.expect("an open connection");
            let response = sender
                .send_request(self.request())
                .await
                .expect("an answer");
            assert!(response.status().is_success());
            response
                .into_body()
                .collect()
                .await
                .expect("the answer's body");
            if !self.close {
                kept = Some(sender);
            }
        }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let (host, port) = (self.uri.host().unwrap(), self.uri.port_u16().unwrap());
        let stream = TcpStream::connect((host, port))
            .await
            .expect("the receiver listens");
        stream.set_nodelay(true).unwrap();
        match &self.tls {
            None => shake(TokioIo::new(stream)).await,
            Some(tls) => {
                let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
                shake(TokioIo::new(tls.connect(name, stream).await.expect("TLS"))).await
            }
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::post(self.uri.path())
            .header("Host", self.uri.authority().unwrap().as_str())
            .header("Accept-Encoding", "gzip, deflate")
            .header("Content-Type", "application/json")
            .header("User-Agent", "bare/0.0.0")
            .header(
                "X-Qt-Signature",
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            );
        if self.close {
            request = request.header("Connection", "close");
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

async fn shake<I>(io: I) -> SendRequest<Full<Bytes>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(io).await.expect("a connection");
    tokio::spawn(async move {
        connection.await.ok();
    });
    sender
}
