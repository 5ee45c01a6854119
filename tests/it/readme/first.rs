//! The first event of `README.md`: its configuration, its receiver, its daemon, its event.
//!
//! Each command is the page's own; only the receiver's port is any that is free.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::{CONFIGURE, WRITE, app_db, command, one, shell, under};
use crate::support::{SOON, eventually, need};

/// A command that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_first_event_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let folder_path = folder.path();
    if !need("openssl") {
        return;
    }
    let commands = under(WRITE, "sh").remove(1);
    let [listen, run, emit] = commands.lines().collect::<Vec<_>>()[..] else {
        panic!("{commands}");
    };
    let start = |line: &str| {
        let mut words = command(folder_path, &["sh", "-c", &format!("exec {line}")]);
        words.stdout(Stdio::piped()).stderr(Stdio::null());
        Running(words.spawn().unwrap())
    };
    let keys = one(CONFIGURE, "sh").replace("webhooksd check\n", "");
    shell(folder_path, &keys);
    let mut receiver = start(&format!("{listen} --port 0"));
    let mut shown = BufReader::new(receiver.0.stdout.take().unwrap());
    let mut first = String::new();
    shown.read_line(&mut first).unwrap();
    let port = first.split(':').nth(2).unwrap().split('/').next().unwrap();
    let configuration = one(CONFIGURE, "toml");
    let url = "http://127.0.0.1:8080/";
    assert!(configuration.contains(url));
    let configuration = configuration.replace(url, &format!("http://127.0.0.1:{port}/"));
    std::fs::write(folder_path.join("webhooks.toml"), configuration).unwrap();
    let made = under(WRITE, "sh").remove(0);
    let schema = made.strip_suffix(" | sqlite3 app.db\n").unwrap();
    app_db(&folder, &shell(folder_path, schema));
    let _daemon = start(run);
    eventually("the daemon is ready", SOON, || {
        let socket = folder_path.join("webhooksd.sock");
        let there = std::os::unix::net::UnixStream::connect(socket);
        there.map(drop).map_err(|error| error.to_string())
    });
    shell(folder_path, emit);
    let mut request = String::new();
    while !request.contains("; signature: ") {
        assert_ne!(shown.read_line(&mut request).unwrap(), 0, "{request}");
    }
    assert!(
        request.contains("story-approve") && request.contains("signature: right (bold-cms)"),
        "{request}"
    );
}
