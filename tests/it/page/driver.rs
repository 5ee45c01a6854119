//! Debian's Chromium by `chromedriver`, in the words of `WebDriver` (W3C Recommendation of 2018), over plain HTTP.
//!
//! Only what the tests ask of a browser. A session has a browser and a profile of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::socket::http::{Request, exchange};
use crate::support::need;

/// A browser that is started takes some seconds, on a busy machine more.
const LIMIT: Duration = Duration::from_secs(120);

/// The key of an element's id in `WebDriver`'s JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How a browser is.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) scripts: bool,
    pub(super) dark: bool,
    pub(super) wide: u32,
}

pub(super) const USUAL: Kind = Kind {
    scripts: true,
    dark: false,
    wide: 1280,
};

pub(super) struct Driver {
    child: Child,
    address: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
}

/// The program, and the port that it has found; `None` where it ended instead.
fn chromedriver() -> Option<(Child, u16)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.by_ref().find_map(|line| {
        let line = line.unwrap();
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse::<u16>().ok()
    });
    let Some(port) = port else {
        child.kill().unwrap();
        child.wait().unwrap();
        return None;
    };
    // Whatever more it says is read, or it would wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Some((child, port))
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The browser ends with its session; without an answer the driver's end takes it along.
        if !std::thread::panicking() {
            self.ask("DELETE", "", None).unwrap();
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Driver {
    /// A browser; `None` where there is none, which is said.
    pub(super) fn start(kind: Kind) -> Option<Self> {
        if !need("chromium") || !need("chromedriver") {
            return None;
        }
        // Drivers that start at once may choose the same port, and all but one of them end.
        let (child, port) = (0..10).find_map(|_| chromedriver()).unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _profile: profile,
        };
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--force-prefers-reduced-motion".to_owned(),
            format!("--user-data-dir={}", driver._profile.path().display()),
            format!("--window-size={},900", kind.wide),
        ];
        if kind.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let scripts = if kind.scripts { 1 } else { 2 };
        let options = json!({
            "args": arguments,
            "prefs": { "profile.managed_default_content_settings.javascript": scripts },
        });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = driver.ask("POST", "/session", Some(&wanted)).unwrap();
        let id = session["sessionId"].as_str().unwrap();
        driver.session = format!("/session/{id}");
        Some(driver)
    }

    /// The value that is answered, or the error's words.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let path = format!("{}{path}", self.session);
        let request = Request {
            method,
            path: &path,
            headers: vec!["Content-Type: application/json"],
            body: body.map(|body| body.to_string().into_bytes()),
        };
        let reply = exchange(stream, &request).map_err(|error| format!("{path}: {error}"))?;
        let value = reply.json()["value"].clone();
        if reply.status == 200 {
            return Ok(value);
        }
        Err(format!("{path}: {}: {}", value["error"], value["message"]))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, Some(body))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub(super) fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The address that is shown.
    pub(super) fn url(&self) -> String {
        let url = self.ask("GET", "/url", None).unwrap();
        url.as_str().unwrap().to_owned()
    }

    /// The HTML that is there now.
    pub(super) fn source(&self) -> String {
        let source = self.ask("GET", "/source", None).unwrap();
        source.as_str().unwrap().to_owned()
    }

    /// How many elements a selector finds.
    pub(super) fn count(&self, selector: &str) -> usize {
        self.found(selector).len()
    }

    fn found(&self, selector: &str) -> Vec<String> {
        let using = json!({ "using": "css selector", "value": selector });
        let found = self.post("/elements", &using);
        let id = |element: &Value| element[ELEMENT].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(id).collect()
    }

    #[track_caller]
    fn first(&self, selector: &str) -> String {
        let mut found = self.found(selector);
        assert!(!found.is_empty(), "no {selector}: {}", self.source());
        found.swap_remove(0)
    }

    /// Clicks the first that a selector finds.
    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        let element = self.first(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into the first that a selector finds; `\u{e007}` is Enter.
    #[track_caller]
    pub(super) fn enter(&self, selector: &str, text: &str) {
        let element = self.first(selector);
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Presses keys, wherever the focus is.
    #[track_caller]
    pub(super) fn press(&self, keys: &str) {
        let each = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let actions: Vec<Value> = each.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// What the first that a selector finds says to who sees it.
    #[track_caller]
    pub(super) fn text(&self, selector: &str) -> String {
        let element = self.first(selector);
        let text = self.ask("GET", &format!("/element/{element}/text"), None);
        text.unwrap().as_str().unwrap().to_owned()
    }

    /// What a script returns.
    #[track_caller]
    pub(super) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What a script hands to its last argument, once it does.
    #[track_caller]
    pub(super) fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// What the browser complains of: what a policy forbids, and what a script throws.
    pub(super) fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", Some(&json!({ "type": "browser" })));
        let entries = log.unwrap_or_else(|error| panic!("{error}"));
        let entries = entries.as_array().unwrap().iter();
        entries.map(ToString::to_string).collect()
    }
}
