//! Browsers that watch the page's log: streams of server-sent events, in a process of their own, so that their CPU time
//! is told apart from the daemon's.
//!
//! They read whatever comes and look at nothing of it: what a browser does with a row is the browser's. Orders come line
//! by line on standard input; when that ends, so does the process. [`Watchers`] is the bench's side of it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::cpu_us;

/// The process: `watch ADDRESS COOKIE COUNT`. Says `open` once each stream has begun.
pub(crate) fn run(arguments: &[String]) {
    let [address, cookie, count] = arguments else {
        panic!("watch ADDRESS COOKIE COUNT");
    };
    let count: usize = count.parse().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let orders = bytes.clone();
    runtime.block_on(async {
        let mut begun = Vec::new();
        for _ in 0..count {
            begun.push(tokio::spawn(open(address.clone(), cookie.clone())));
        }
        for stream in begun {
            let (mut stream, bytes) = (stream.await.unwrap(), bytes.clone());
            tokio::spawn(async move {
                let mut chunk = vec![0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            });
        }
        println!("open");
        std::thread::spawn(move || {
            for _ in std::io::stdin().lines() {
                println!("{}", orders.load(Ordering::Relaxed));
            }
            std::process::exit(0);
        });
        std::future::pending::<()>().await;
    });
}

/// A stream whose answer has begun well.
async fn open(address: String, cookie: String) -> TcpStream {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /live?q= HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

pub(crate) struct Watchers {
    child: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Watchers {
    /// So many, let in by the page's token.
    pub(crate) fn start(address: &str, token: &str, count: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "watch",
                address,
                &cookie(address, token),
                &count.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the watchers");
        let orders = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        let mut watchers = Self {
            child,
            orders,
            replies,
        };
        assert_eq!(watchers.line(), "open", "not every stream began");
        watchers
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// What all of them have read so far.
    pub(crate) fn bytes(&mut self) -> u64 {
        writeln!(self.orders, "bytes").expect("the watchers live");
        self.line().parse().expect("a number")
    }

    /// CPU microseconds that they have used since their start.
    pub(crate) fn cpu_us(&self) -> f64 {
        cpu_us(self.child.id())
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a browser is given for the token.
fn cookie(address: &str, token: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("the page's port");
    let request =
        format!("GET /?token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    let mut cookies = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let (_, cookie) = cookies.next().expect("a cookie");
    cookie.split(';').next().unwrap_or_default().to_owned()
}
