//! The socket: any bytes of a connection, through the real listener, HTTP or plain lines.
//!
//! What is in the outbox afterwards is exactly what was answered with an id; of plain lines each has
//! its answer. Nothing is delivered: there are no webhooks, and no loop of the pipeline runs.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use webhooksd::tested::Client;
use webhooksd::tested::Clock;
use webhooksd::tested::SCHEMA;
use webhooksd::tested::Store;
use webhooksd::tested::{Api, Reload, item, serve_socket};
use webhooksd::tested::{Dispatch, Pace, PipelineConfig, Retention};

use super::folder;

/// Longer than any limit of the socket that ends a connection whose client has ended.
const LIMIT: Duration = Duration::from_secs(20);

const MAX_DATA_BYTES: usize = 3_000;

/// Set when a thread of the listener panicked, which a runtime would else keep to itself.
static PANICKED: AtomicBool = AtomicBool::new(false);

struct Listening {
    path: PathBuf,
    outbox: Connection,
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

static LISTENING: OnceLock<Mutex<Listening>> = OnceLock::new();

pub(crate) fn run(bytes: &[u8]) {
    let listening = LISTENING.get_or_init(|| Mutex::new(Listening::new()));
    let listening = listening.lock().unwrap_or_else(PoisonError::into_inner);
    listening.outbox.execute("DELETE FROM outbox", ()).unwrap();
    let answer = listening.say(bytes);
    assert!(
        !PANICKED.load(Ordering::SeqCst),
        "a thread of the listener panicked"
    );
    let answer = String::from_utf8(answer).expect("answers are text");
    let told: BTreeSet<i64> = if bytes.first() == Some(&b'{') {
        lines(&listening.outbox, bytes, &answer)
    } else {
        answers(&answer)
    };
    let mut all = listening
        .outbox
        .prepare_cached("SELECT id FROM outbox")
        .unwrap();
    let kept = all.query_map((), |row| row.get(0)).unwrap();
    let kept: BTreeSet<i64> = kept.map(Result::unwrap).collect();
    assert_eq!(told, kept, "the ids told are not those kept: {answer}");
}

impl Listening {
    fn new() -> Self {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            if matches!(thread.name(), Some("listener" | "append")) {
                PANICKED.store(true, Ordering::SeqCst);
            }
            before(panic);
        }));
        let folder = folder();
        let path = folder.path().join("s.sock");
        let outbox = Connection::open(folder.path().join("outbox.db")).unwrap();
        outbox.busy_timeout(LIMIT).unwrap();
        outbox.pragma_update(None, "journal_mode", "WAL").unwrap();
        outbox.execute_batch(SCHEMA).unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("listener")
            .enable_all()
            .build()
            .unwrap();
        let stop = watch::Sender::new(false);
        runtime.block_on(serve(&folder, stop.subscribe()));
        Self {
            path,
            outbox,
            _runtime: runtime,
            _stop: stop,
            _folder: folder,
        }
    }

    /// Sends the bytes, ends, and reads all that is answered.
    fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        // Who has sent nonsense may find the connection closed before all of it is taken.
        let sent = stream.write_all(bytes);
        drop(sent.and_then(|()| stream.shutdown(Shutdown::Write)));
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("no end of the answer: {error}"),
        }
        answer
    }
}

async fn serve(folder: &tempfile::TempDir, stop: watch::Receiver<bool>) {
    let clock = Clock::system();
    let path = |name: &str| folder.path().join(name);
    let store = Store::open(&path("log.db"), clock.now_ms()).unwrap();
    let client = Client::new(clock.clone());
    let runtime = tokio::runtime::Handle::current();
    let dispatch = Dispatch::new(
        Box::new(store),
        client,
        clock,
        Pace::default(),
        runtime.into(),
    );
    let change = PipelineConfig {
        webhooks: Vec::new(),
        tenant: None,
        max_in_flight: 16,
        max_data_bytes: MAX_DATA_BYTES,
        retention: Retention::default(),
    };
    dispatch.reconfigure(change).await.unwrap();
    let (order, mut reloads) = mpsc::channel::<Reload>(16);
    tokio::spawn(async move {
        while let Some(answer) = reloads.recv().await {
            drop(answer.send(Err("there is no file".to_owned())));
        }
    });
    let about = webhooksd::tested::About {
        config: path("webhooks.toml"),
        outbox: path("outbox.db"),
        log: webhooksd::tested::LogPlace::File(path("log.db")),
        started_ms: 0,
    };
    let (api, _appending): (Arc<Api>, _) = Api::new(dispatch, about, order).unwrap();
    let listener = tokio::net::UnixListener::bind(path("s.sock")).unwrap();
    tokio::spawn(serve_socket(api, listener, 4_096, stop));
}

/// The ids of a connection of plain lines, whose answers must stand for the lines one by one.
fn lines(outbox: &Connection, bytes: &[u8], answer: &str) -> BTreeSet<i64> {
    let said: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    let told: Vec<Value> = answer.lines().map(json).collect();
    assert_eq!(said.len(), told.len(), "{answer}");
    let mut ids = BTreeSet::new();
    for (line, told) in said.iter().zip(&told) {
        let Some(id) = told["id"].as_i64() else {
            assert!(
                told["error"]
                    .as_str()
                    .is_some_and(|words| !words.is_empty()),
                "{told}"
            );
            continue;
        };
        let text = std::str::from_utf8(line).expect("what has an id is UTF-8");
        let event = item::parse(text).expect("what has an id is an event");
        let sql = "SELECT event, data, coalesce(?2 IS NULL OR time = ?2, 0), tenant, key FROM outbox WHERE id = ?1";
        let row = |row: &rusqlite::Row<'_>| {
            let texts = (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
            Ok((texts, row.get::<_, bool>(2)?))
        };
        let kept = outbox.query_row(sql, (id, event.time_ms), row).unwrap();
        assert_eq!(
            kept,
            ((event.event, event.data, event.tenant, event.key), true)
        );
        ids.insert(id);
    }
    ids
}

/// The ids in the answers of a connection of HTTP.
fn answers(text: &str) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, after) = rest
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("half a head: {rest}"));
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status: u16 = status
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("{head}"));
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
        };
        let length = header("content-length").map_or(0, |text| text.parse().unwrap());
        // The answer to HEAD has the length of what it leaves out.
        let left_out = after.is_empty() || after.starts_with("HTTP/1.");
        let (body, next) = if length > 0 && left_out {
            ("", after)
        } else if header("transfer-encoding").is_some() {
            // Lines of an order: they end where the next answer begins, if one follows.
            after
                .find("HTTP/1.")
                .map_or((after, ""), |end| after.split_at(end))
        } else {
            after
                .split_at_checked(length)
                .unwrap_or_else(|| panic!("half a body: {rest}"))
        };
        rest = next;
        if header("content-type") != Some("application/json") || body.is_empty() {
            continue;
        }
        let body = json(body);
        if status == 202 && body["ids"].is_array() {
            ids.extend(
                body["ids"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|id| id.as_i64().unwrap()),
            );
        } else if status >= 400 {
            assert!(
                body["error"]
                    .as_str()
                    .is_some_and(|words| !words.is_empty()),
                "{body}"
            );
        }
    }
    ids
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
