//! `webhooksd listen`: a receiver for developing, which shows what comes and can fail on purpose.
//!
//! It listens on loopback only. Each request is shown whole and safe for a terminal, the body as it
//! came and again indented where it is JSON. The secret is only computed with, never shown.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::receiver::{self, Received, Reply, Signature};
use super::screen::{Look, Screen, paint};
use super::{Ended, Failure, text, when};
use crate::model::clock::utc;
use crate::model::{Clock, Secret};

/// Receives webhooks on loopback and shows them, for developing
///
/// Checks the signature in each dialect where it is given the secret. Answers 200 unless told
/// otherwise; with --fail N only the first N requests are treated badly. Header names are shown in
/// lower case.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd listen --secret-file search-index.key
  webhooksd listen --secret-file new.key --secret-file old.key
  webhooksd listen --port 9000 --status 500 --fail 2      fails twice, then recovers
  webhooksd listen --delay 4s                             runs into the sender's time-out
  webhooksd listen --silent")]
pub(super) struct Arguments {
    /// The port on 127.0.0.1; 0: any that is free
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The key that requests are signed with; other users of this machine may see it here
    #[arg(long, conflicts_with = "secret_file")]
    secret: Option<String>,
    /// The file that holds the key; one newline at its end does not count. Said more than once: one of the keys has to fit
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Answers that status [default: 200; 500 with --fail alone]
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: Option<u16>,
    /// Treats only the first N requests badly, and answers 200 after that
    #[arg(long, value_name = "N")]
    fail: Option<u64>,
    /// Answers so much later: 500ms, 4s, 1m
    #[arg(long, value_name = "SPAN", value_parser = delay)]
    delay: Option<Duration>,
    /// Never answers
    #[arg(long, conflicts_with_all = ["status", "delay"])]
    silent: bool,
    /// Resets the connection instead of an answer
    #[arg(long, conflicts_with_all = ["status", "delay", "silent"])]
    reset: bool,
}

/// Deeper levels are not indented further: a thousand are allowed, and would be mostly blanks.
const MAX_INDENT: usize = 20;

/// The largest secret, as for the configuration's secret files.
const MAX_SECRET_BYTES: usize = 64 * 1024;

fn delay(text: &str) -> Result<Duration, String> {
    let ms = when::parse_span_ms(text).and_then(|ms| u64::try_from(ms).ok());
    let ms = ms.filter(|ms| *ms <= 3_600_000);
    ms.map(Duration::from_millis)
        .ok_or_else(|| "say 500ms, 4s, 1m; at most 1h".to_owned())
}

/// What requests are answered with.
#[derive(Clone, Copy, Debug)]
struct Plan {
    badly: Reply,
    /// So many requests are treated so; `None`: all.
    fail: Option<u64>,
}

impl Plan {
    fn of(arguments: &Arguments) -> Self {
        let delay = arguments.delay.unwrap_or_default();
        let usual = if arguments.fail.is_some() && arguments.delay.is_none() {
            500
        } else {
            200
        };
        let badly = if arguments.silent {
            Reply::Silence
        } else if arguments.reset {
            Reply::Reset
        } else {
            Reply::Status(arguments.status.unwrap_or(usual), delay)
        };
        Self {
            badly,
            fail: arguments.fail,
        }
    }

    /// What the request of that number, 1 for the first, is answered with.
    fn reply(self, number: u64) -> Reply {
        match self.fail {
            Some(fail) if number > fail => Reply::status(200),
            _ => self.badly,
        }
    }
}

pub(super) fn listen(arguments: &Arguments) -> Ended {
    let secrets = secrets(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    runtime.block_on(receive(arguments, secrets.into()))
}

fn secrets(arguments: &Arguments) -> Result<Vec<Secret>, Failure> {
    let typed = arguments.secret.iter().map(|text| Ok(text.clone().into()));
    let read = arguments.secret_file.iter().map(|path| of_file(path));
    let checked = |bytes: Result<Vec<u8>, Failure>| match bytes? {
        bytes if bytes.is_empty() || bytes.len() > MAX_SECRET_BYTES => {
            Err(Failure::text("a secret has 1 to 65536 bytes").code(2))
        }
        bytes => Ok(Secret::new(bytes)),
    };
    typed.chain(read).map(checked).collect()
}

fn of_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = std::fs::read(path)
        .map_err(|error| Failure::text(format!("read the secret {path:?}: {error}")).code(2))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

async fn receive(arguments: &Arguments, secrets: Arc<[Secret]>) -> Ended {
    let bound = receiver::bind(arguments.port).await;
    let (listener, address) = bound.map_err(|error| {
        let text = format!("listen on 127.0.0.1:{}: {error}", arguments.port);
        Failure::text(text).hint(Some("take another port: --port 0 finds a free one"))
    })?;
    let unchecked = if secrets.is_empty() {
        "; signatures are not checked without --secret-file"
    } else {
        ""
    };
    let plan = Plan::of(arguments);
    let (clock, count, colours) = (Clock::system(), AtomicU64::new(0), Screen::new().colours());
    let closed = Arc::new(Notify::new());
    let closing = closed.clone();
    let answer = Arc::new(move |received: &Received| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let reply = plan.reply(number);
        let head = format!("#{number} {}", utc(clock.now_ms()));
        if print(&shown(&head, received, reply, colours)).is_err() {
            closing.notify_one();
        }
        reply
    });
    let port = address.port();
    print(&format!(
        "listening on http://127.0.0.1:{port}/{unchecked}; Ctrl-C ends it\n"
    ))?;
    tokio::select! {
        () = receiver::serve(listener, secrets, Clock::system(), answer) => {}
        () = closed.notified() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    if io::stdout().is_terminal() {
        print("\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A request as it is shown.
fn shown(head: &str, received: &Received, reply: Reply, colours: bool) -> String {
    let request = format!(
        "{} {}",
        text::line(&received.method),
        text::line(&received.target)
    );
    let mut shown = format!(
        "\n{} {}\n",
        paint(head, Look::Dim, colours),
        paint(&request, Look::Bold, colours)
    );
    for (name, value) in &received.headers {
        shown.push_str(&format!("  {}: {}\n", text::line(name), text::line(value)));
    }
    shown.push('\n');
    let exact = String::from_utf8_lossy(&received.body);
    shown.push_str(&text::block(&exact, "  "));
    if let Some(pretty) = pretty(&exact) {
        shown.push_str(&paint("  the same, to read:\n", Look::Dim, colours));
        shown.push_str(&text::block(&pretty, "    "));
    }
    let signatures = received.signatures.iter().map(|one| {
        let (words, look) = signature(*one);
        paint(&words, look, colours)
    });
    let words = signatures.collect::<Vec<_>>().join(", ");
    let bytes = text::counted(
        i64::try_from(received.body.len()).unwrap_or(i64::MAX),
        "byte",
    );
    shown.push_str(&format!(
        "  {bytes}; signature: {}; {}\n",
        words,
        answered(reply)
    ));
    shown
}

/// JSON over several lines, its texts and their order untouched; `None` where it is none, or has
/// several lines already.
fn pretty(exact: &str) -> Option<String> {
    let json: &RawValue = serde_json::from_str(exact).ok()?;
    if json.get().contains('\n') {
        return None;
    }
    let (mut pretty, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let mut chars = json.get().chars().peekable();
    let end_line = |pretty: &mut String, depth: usize| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n("  ", depth.min(MAX_INDENT)));
    };
    while let Some(c) = chars.next() {
        if quoted {
            pretty.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' | '\r' => {}
            '{' | '[' => {
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                pretty.push(c);
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(close);
                } else {
                    depth += 1;
                    end_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                end_line(&mut pretty, depth);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                end_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                quoted = c == '"';
                pretty.push(c);
            }
        }
    }
    pretty.contains('\n').then_some(pretty)
}

fn signature(signature: Signature) -> (String, Look) {
    match signature {
        Signature::Right(dialect) => (format!("right ({})", dialect.name()), Look::Good),
        Signature::OffTime(dialect, off) => (
            format!(
                "right ({}), but its time is {off} s off: receivers refuse more than 300",
                dialect.name()
            ),
            Look::Bad,
        ),
        Signature::Wrong(dialect) => (
            format!(
                "WRONG ({}): another secret, or another body",
                dialect.name()
            ),
            Look::Bad,
        ),
        Signature::Unchecked(dialect) => (
            format!("not checked ({}), no secret given", dialect.name()),
            Look::Warning,
        ),
        Signature::Missing => ("none: the request is unsigned".to_owned(), Look::Warning),
    }
}

fn answered(reply: Reply) -> String {
    match reply {
        Reply::Status(status, Duration::ZERO) => format!("answered {status}"),
        Reply::Status(status, delay) => {
            format!("answers {status} in {} ms", delay.as_millis())
        }
        Reply::Silence => "not answered".to_owned(),
        Reply::Reset => "connection reset".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_are_treated_badly() {
        let plan = Plan {
            badly: Reply::Reset,
            fail: Some(2),
        };
        let replies: Vec<Reply> = (1..=4).map(|number| plan.reply(number)).collect();
        let good = Reply::status(200);
        assert_eq!(replies, [Reply::Reset, Reply::Reset, good, good]);
        let always = Plan { fail: None, ..plan };
        assert_eq!(always.reply(1_000), Reply::Reset);
    }

    #[test]
    fn a_request_is_shown_exactly_and_to_read_and_nothing_is_obeyed() {
        let received = Received {
            method: "POST".into(),
            path: "/a".into(),
            target: "/a?b".into(),
            headers: vec![("x-evil".into(), "\x1b[2J".into())],
            body: bytes::Bytes::from_static(b"{\"b\":1,\"a\":\"\xc2\x9b\"}"),
            signatures: vec![Signature::Missing],
        };
        let text = shown("#1 now", &received, Reply::Silence, false);
        assert_eq!(
            text,
            "\n#1 now POST /a?b\n  x-evil: \\u{1b}[2J\n\n  {\"b\":1,\"a\":\"\\u{9b}\"}\n\
             \x20 the same, to read:\n    {\n      \"b\": 1,\n      \"a\": \"\\u{9b}\"\n    }\n\
             \x20 16 bytes; signature: none: the request is unsigned; not answered\n"
        );
    }

    #[test]
    fn json_is_set_out_without_a_change_to_its_texts() {
        let pretty = |text| pretty(text).unwrap();
        assert_eq!(
            pretty(r#"{"b" :1.0,"a":[ ],"c":{"d":["x,\"{]",null]}}"#),
            "{\n  \"b\": 1.0,\n  \"a\": [],\n  \"c\": {\n    \"d\": [\n      \"x,\\\"{]\",\n      null\n    ]\n  }\n}"
        );
        assert_eq!(pretty(r#"["\\",1]"#), "[\n  \"\\\\\",\n  1\n]");
        for not in ["7", "no", "{}", "{\n}"] {
            assert_eq!(super::pretty(not), None, "{not}");
        }
    }

    #[test]
    fn delays_have_a_limit() {
        assert_eq!(delay("4s"), Ok(Duration::from_secs(4)));
        assert!(delay("2h").is_err() && delay("4").is_err());
    }
}
