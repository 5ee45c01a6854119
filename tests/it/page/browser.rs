//! `webhooksd page` as a process, and requests to it with and without its cookie.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::socket::http::{Reply, Request, exchange};
use crate::support::SOON;

pub(crate) struct Browser {
    /// The page's own process; none where the daemon serves it.
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    /// `NAME=VALUE` as it was set; empty before the door.
    pub(crate) cookie: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Browser {
    /// Starts the page in that folder, and goes through its door.
    #[track_caller]
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::outside(folder, arguments).enter()
    }

    /// The page at an address, and through its door.
    #[track_caller]
    pub(crate) fn at(address: SocketAddr, token: &str) -> Self {
        let browser = Self {
            child: None,
            address,
            token: token.to_owned(),
            cookie: String::new(),
        };
        browser.enter()
    }

    #[track_caller]
    fn enter(self) -> Self {
        let mut browser = self;
        let opened = browser.ask(&format!("/?token={}", browser.token), &[]);
        let cookie = opened.expect(200).header("set-cookie").unwrap().to_owned();
        cookie
            .split(';')
            .next()
            .unwrap()
            .clone_into(&mut browser.cookie);
        browser
    }

    /// The same, and stays outside.
    #[track_caller]
    pub(crate) fn outside(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
            .args(["page", "--port", "0"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let (address, token) = first
            .trim_end()
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once("/?token="))
            .unwrap_or_else(|| panic!("no address: {first:?}"));
        Self {
            address: address.parse().unwrap(),
            token: token.to_owned(),
            cookie: String::new(),
            child: Some(child),
        }
    }

    /// Makes a request with these lines of headers and no cookie of its own.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str]) -> Reply {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = Request {
            method,
            path,
            headers: headers.to_vec(),
            body: None,
        };
        exchange(stream, &request).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// GETs a path with the cookie and these lines of headers.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str, headers: &[&str]) -> Reply {
        let cookie = format!("Cookie: other=1; {}", self.cookie);
        self.send("GET", path, &[&[&*cookie], headers].concat())
    }

    /// POSTs a form with the cookie and these lines of headers.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, form: &str, headers: &[&str]) -> Reply {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let cookie = format!("Cookie: {}", self.cookie);
        let request = Request {
            method: "POST",
            path,
            headers: [&[&*cookie], headers].concat(),
            body: Some(form.as_bytes().to_vec()),
        };
        exchange(stream, &request).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The page under a path, which must be there.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> String {
        self.ask(path, &[]).expect(200).body
    }
}

/// The addresses that a page leads to which begin so, in their order, as a browser reads them.
pub(crate) fn links(page: &str, beginning: &str) -> Vec<String> {
    page.split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|address| address.replace("&amp;", "&"))
        .filter(|address| address.starts_with(beginning))
        .collect()
}
