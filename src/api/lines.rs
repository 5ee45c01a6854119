//! Plain lines: a connection whose first byte is `{` sends one event a line.
//!
//! Lines that are there together are committed together, each for itself, and answered by one line
//! each, in their order, after the event is durable. The last one needs no newline. Blank lines are
//! passed over. A line that is too long ends the connection, for its end can't be waited for.

use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::activity::{Activity, Phase};
use super::append::{Mode, NotAppended};
use super::body::SMALL_BYTES;
use super::limits::LAST_WORDS;
use super::{Api, item};
use crate::model::EventId;
use crate::outbox::NewEvent;

/// A connection's limits are its activity's; see there.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Takes lines until the client closes its side, or the daemon stops.
pub(super) async fn serve<S>(
    api: &Api,
    stream: &mut S,
    activity: &Activity,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    activity.is_lines();
    let mut buffer: Vec<u8> = Vec::new();
    let mut turn = None;
    let (mut answered, mut stopping) = (false, false);
    loop {
        let seen = buffer.len();
        buffer.reserve(SMALL_BYTES);
        let limit = if stopping { LAST_WORDS } else { FOREVER };
        let read = tokio::select! {
            read = tokio::time::timeout(limit, stream.read_buf(&mut buffer)) => read,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                if answered && buffer.is_empty() {
                    return Ok(());
                }
                continue;
            }
        };
        let Ok(read) = read else {
            return Ok(());
        };
        let read = read?;
        let new = buffer.get(seen..).unwrap_or_default();
        let end = new.iter().rposition(|byte| *byte == b'\n');
        let ready = match end {
            _ if read == 0 => buffer.len(),
            Some(end) => seen + end + 1,
            None => 0,
        };
        if ready > 0 {
            let rest = buffer.split_off(ready);
            let lines = std::mem::replace(&mut buffer, rest);
            activity.enter(Phase::Busy);
            let answers = api.lines(lines).await;
            activity.enter(Phase::Head);
            stream.write_all(answers.as_bytes()).await?;
            stream.flush().await?;
            turn = None;
            let begun = !buffer.is_empty();
            activity.enter(if begun { Phase::Body } else { Phase::Silent });
            answered = true;
        }
        if read == 0 || stopping && answered {
            return Ok(());
        }
        if buffer.len() > api.max_events_bytes() {
            activity.enter(Phase::Head);
            let answer = format!("{}\n", json!({ "error": "the line is too long" }));
            return stream.write_all(answer.as_bytes()).await;
        }
        if buffer.len() > SMALL_BYTES && turn.is_none() {
            turn = api.turn(activity).await;
        }
    }
}

impl Api {
    /// The answers to some whole lines.
    async fn lines(&self, lines: Vec<u8>) -> String {
        let parsed = if lines.len() <= 2 * SMALL_BYTES {
            parse(&lines)
        } else {
            self.dispatch.with_blocking(move || parse(&lines)).await
        };
        let faults: Vec<Option<String>> = parsed
            .iter()
            .map(|line| line.as_ref().err().cloned())
            .collect();
        let events: Vec<NewEvent> = parsed.into_iter().flatten().collect();
        let count = events.len();
        self.counts.asked(count);
        let ids = if events.is_empty() {
            Ok(Vec::new())
        } else {
            self.append.append(events, Mode::Each).await
        };
        let ids = ids.unwrap_or_else(|refusal| vec![Err(refusal); count]);
        let mut ids = ids.into_iter();
        let mut answers = String::with_capacity(faults.len() * 16);
        for fault in faults {
            let answer = match fault {
                Some(words) => Err(words),
                None => ids.next().map_or_else(|| Err(String::new()), in_words),
            };
            let answer = match answer {
                Ok(id) => format!("{{\"id\":{id}}}\n"),
                Err(words) => format!("{}\n", json!({ "error": words })),
            };
            answers.push_str(&answer);
        }
        answers
    }
}

fn in_words(id: Result<EventId, NotAppended>) -> Result<EventId, String> {
    id.map_err(|refusal| match refusal {
        NotAppended::Item(words) | NotAppended::Conflict(words) | NotAppended::Busy(words) => words,
    })
}

fn parse(lines: &[u8]) -> Vec<Result<NewEvent, String>> {
    let lines = lines.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    let event = |line| item::parse(item::text("the line", line)?.trim_ascii());
    lines.map(event).collect()
}
