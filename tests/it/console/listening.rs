//! `listen`, and what is made from the parser's definition.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::same;
use crate::support::{base64, openssl_hmac_hex};

const BODY: &[u8] = b"{\"v1\":{\"event\":{\"id\":7},\"data\":\"\xc2\x9b\"}}";

struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Listener {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
            .args(["listen", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let port = first.split(':').nth(2).unwrap().split('/').next().unwrap();
        let port = port.parse().unwrap();
        Self { child, lines, port }
    }

    /// What it shows of one request, without the time.
    fn shown(&mut self) -> String {
        let mut shown = String::new();
        while !shown.contains("; signature: ") {
            self.lines.read_line(&mut shown).unwrap();
        }
        shown.replace(&self.port.to_string(), "PORT")
    }

    /// Sends a request with that header line; what is answered until the connection closes.
    fn send(&self, header: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let head = format!(
            "POST /hooks?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}Content-Length: {}\r\n\r\n",
            BODY.len()
        );
        stream.write_all(&[head.as_bytes(), BODY].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }
}

/// The dialects with their signature headers and what stands before the hex.
const DIALECTS: [(&str, &str); 3] = [
    ("bold-cms", "X-Qt-Signature: "),
    ("bold-factory", "X-Bold-Signature: "),
    ("openboxes-lift", "X-Webhook-Signature: sha256="),
];

/// The header line that signs the body, by another HMAC than ours.
fn signed(header: &str, secret: &str) -> String {
    let hex = openssl_hmac_hex(secret, BODY);
    assert_eq!(hex.len(), 64, "{hex}");
    format!("{header}{hex}\r\n")
}

/// The header lines of Standard Webhooks, of a plain secret.
fn standard(secret: &str) -> String {
    let text = [b"evt_1.1700000000.", BODY].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = base64(ring::hmac::sign(&key, &text).as_ref());
    format!(
        "webhook-id: evt_1\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: v1,{signature}\r\n"
    )
}

#[test]
fn a_request_is_shown_and_its_signature_judged() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("a.key");
    std::fs::write(&key, "a secret\n").unwrap();
    let mut listener = Listener::start(&["--secret-file", key.to_str().unwrap()]);
    let answer = listener
        .send(&signed("X-Qt-Signature: ", "a secret"))
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let shown = listener.shown();
    let (_, rest) = shown.split_once("Z ").unwrap();
    same("listen.txt", rest);
    for (dialect, header) in DIALECTS {
        for (secret, word) in [("a secret", "right"), ("another", "WRONG")] {
            listener.send(&signed(header, secret)).unwrap();
            let shown = listener.shown();
            let words = format!("signature: {word} ({dialect})");
            assert!(shown.contains(&words), "{words}: {shown}");
        }
    }
    for (secret, word) in [("a secret", "right"), ("another", "WRONG")] {
        listener.send(&standard(secret)).unwrap();
        let shown = listener.shown();
        let words = format!("signature: {word} (standard-webhooks)");
        assert!(shown.contains(&words), "{words}: {shown}");
        // It was sent in 2023.
        let is_off = shown.contains(" s off: receivers refuse more than 300; answered 200");
        assert_eq!(is_off, word == "right", "{shown}");
    }
    let both = signed("X-Bold-Signature: ", "a secret") + &standard("another");
    listener.send(&both).unwrap();
    let shown = listener.shown();
    let words = "signature: right (bold-factory), WRONG (standard-webhooks)";
    assert!(shown.contains(words), "{shown}");
    listener.send("").unwrap();
    assert!(
        listener
            .shown()
            .contains("signature: none: the request is unsigned")
    );
}

/// Headers beside a vendor's have a secret of their own, and while secrets change there are two.
#[test]
fn one_of_several_keys_has_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("one", "a secret\n"), ("two", "another\r\n")].map(|(name, secret)| {
        let path = folder.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let arguments = files.each_ref().map(|file| ["--secret-file", file]);
    let mut listener = Listener::start(arguments.as_flattened());
    let both = signed("X-Bold-Signature: ", "a secret") + &standard("another");
    listener.send(&both).unwrap();
    let shown = listener.shown();
    let words = "signature: right (bold-factory), right (standard-webhooks)";
    assert!(shown.contains(words), "{shown}");
    listener.send(&standard("a third")).unwrap();
    assert!(listener.shown().contains("WRONG (standard-webhooks)"));
}

#[test]
fn without_a_secret_nothing_is_judged() {
    let mut listener = Listener::start(&[]);
    listener.send(&signed(DIALECTS[2].1, "a secret")).unwrap();
    assert!(
        listener
            .shown()
            .contains("not checked (openboxes-lift), no secret given")
    );
}

#[test]
fn it_fails_on_purpose() {
    let listener = Listener::start(&["--status", "503", "--fail", "2"]);
    let status = || {
        listener
            .send("")
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        [status(), status(), status(), status()],
        ["503", "503", "200", "200"]
    );

    let listener = Listener::start(&["--reset", "--fail", "1"]);
    let reset = listener.send("").unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(listener.send("").unwrap().starts_with("HTTP/1.1 200"));

    let mut listener = Listener::start(&["--delay", "50ms", "--status", "404"]);
    assert!(listener.send("").unwrap().starts_with("HTTP/1.1 404"));
    assert!(listener.shown().contains("answers 404 in 50 ms"));
}

#[test]
fn silence_is_no_answer() {
    let mut listener = Listener::start(&["--silent"]);
    let mut stream = TcpStream::connect(("127.0.0.1", listener.port)).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
        .unwrap();
    assert!(listener.shown().contains("not answered"));
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let read = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::WouldBlock);
}

fn made(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn shells_take_their_completions() {
    let script = made(&["completions", "bash"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("completions");
    std::fs::write(&file, &script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(checked.success() && script.contains("--dry-run"));
    assert!(made(&["completions", "zsh"]).starts_with("#compdef webhooksd"));
    assert!(made(&["completions", "fish"]).contains("complete -c webhooksd"));
}

#[test]
fn every_command_has_a_manual_page() {
    let page = made(&["man"]);
    assert!(
        page.contains(".TH webhooksd 1") && page.contains("webhooksd\\-logs(1)"),
        "{page}"
    );
    let logs = made(&["man", "logs"]);
    assert!(
        logs.contains("The shape of \\-\\-json, version 1"),
        "{logs}"
    );
    assert!(
        logs.contains(".SH EXAMPLES\n.nf\nExamples:\n  webhooksd logs\n"),
        "{logs}"
    );
    assert_eq!(logs.matches(".nf").count(), logs.matches(".fi").count());
    for (name, title) in [
        ("databases", "WEBHOOKSD-DATABASES 7"),
        ("log", "WEBHOOKSD-LOG 7"),
        ("service", "WEBHOOKSD.SERVICE 8"),
        ("webhooks.toml", "WEBHOOKS.TOML 5"),
    ] {
        let page = made(&["man", name]);
        assert!(page.contains(&format!("\n.Dt {title}\n")), "{page:.200}");
    }
    let folder = tempfile::tempdir().unwrap();
    made(&["man", "--to", folder.path().to_str().unwrap()]);
    for name in [
        "webhooksd.1",
        "webhooksd-status.1",
        "webhooksd-start-from.1",
    ] {
        let page = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
}
