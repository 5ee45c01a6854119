#!/usr/bin/env bash
# A server of TLS 1.2 that asks for another handshake once it has the request, as Apache does where SSLVerifyClient stands
# in a Location, is to be told no by an alert (no_renegotiation, RFC 5246, 7.2.2), so that it ends the connection at once.
# rustls makes that alert, but tokio-rustls sends it with what is written next. Whoever has asked and waits for the answer
# writes nothing: both wait, and the attempt is a time-out instead of a refusal that says why. A flush sends it.
#
# Meets: clients that only read, of any TLS library that does no I/O by itself.
# Seen on 2026-11-29 with rustls 0.23.46, tokio-rustls 0.26.6 (crates.io), OpenSSL 3.0 (Debian 12).
# Needs cargo, openssl and python3; no root.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -addext basicConstraints=critical,CA:false -out cert.pem -keyout key.pem 2>/dev/null
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "waits"
version = "0.0.0"
edition = "2024"
[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std", "tls12"] }
tokio-rustls = { version = "=0.26.6", default-features = false, features = ["ring", "tls12"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt", "io-util", "time"] }
TOML
cat >src/main.rs <<'RUST'
use std::{sync::Arc, time::Duration};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file("cert.pem").unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", std::env::args().nth(1).unwrap().parse().unwrap())).await.unwrap();
    let mut tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    tls.write_all(b"request\n").await.unwrap();
    let mut byte = [0; 1];
    let read = timeout(Duration::from_secs(3), tls.read(&mut byte)).await;
    println!("reads for 3 s: {}", if read.is_err() { "nothing" } else { "an end" });
    println!("has something to write: {}", tls.get_ref().1.wants_write());
    tls.flush().await.unwrap();
    let read = timeout(Duration::from_secs(3), tls.read(&mut byte)).await;
    println!("after a flush: {}", if read.is_err() { "nothing" } else { "an end" });
}
RUST
cargo build -q 2>/dev/null
# Asks for another handshake (r) once the request has come, which the server's own output tells.
# shellcheck disable=SC2094
(while ! grep -q '^request' said 2>/dev/null; do sleep 0.1; done; echo r; sleep 8) |
  openssl s_server -accept "$port" -tls1_2 -cert cert.pem -key key.pem >said 2>&1 &
for _ in $(seq 100); do grep -q ACCEPT said 2>/dev/null && break; sleep 0.05; done
target/debug/waits "$port" | tee told
diff told - <<'TOLD'
reads for 3 s: nothing
has something to write: true
after a flush: an end
TOLD
