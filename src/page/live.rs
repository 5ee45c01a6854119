//! Live rows: what is made while somebody looks, as server-sent events.
//!
//! One look into the log, some seven times a second while a stream is open, serves all streams: those with one search
//! share its rows and their very bytes. A stream goes on from the last row that a browser had, by `Last-Event-ID`. Where
//! more comes than people read, the newest are sent, and it is said that others were passed over. Left out: the script
//! in the browser that shows them (`page.js`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::answer::{self, Answer, troubled};
use super::look::Trouble;
use super::streams::{Batch, Live};
use super::{Page, form, view};
use crate::model::AttemptId;
use crate::query;
use crate::store::{LogFilter, LogReader};

/// Between two looks: a row is there a fifth of a second after its attempt.
const TICK: Duration = Duration::from_millis(150);

/// Rows of a search that a look sends: more than people read in that time.
const ROWS: usize = 10;

/// Where so many times as many rows more were found in a look, they come in a flood.
const FLOOD: usize = 2;

/// Rows of a search that a stream begins with where its browser missed some: a page of the log.
const MISSED_ROWS: usize = 50;

/// Attempts that are looked through for them.
const LOOKED_THROUGH: i64 = 1_000;

/// Attempts that a look goes through.
const LOOKED_AT: i64 = 200;

/// A log that was put in the place of another is seen after so many looks.
const LOOKS_A_READER: u32 = 64;

/// A browser whose stream broke off begins another after two seconds.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Says that rows were passed over.
const GAP: &[u8] = b"event: gap\ndata: \n\n";

/// A stream says after such a silence that it is there, which shows also whether the browser is.
const SILENCE: Duration = Duration::from_secs(15);

/// Answers with a stream, or with why there is none.
pub(super) async fn open(page: Arc<Page>, query: &str, headers: &HeaderMap) -> Answer {
    let live = page.shared.live.clone();
    let Ok(place) = live.places.clone().try_acquire_owned() else {
        let words =
            "too many pages are live at a time; this one shows what there was when it was made";
        return answer::told(StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let searched = form::field(query, "q").unwrap_or_default();
    let last = headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok().map(str::to_owned));
    let last = last.or_else(|| form::field(query, "after"));
    let last = last.and_then(|id| id.parse().ok()).map(AttemptId::new);
    // After a restart all browsers come at once, and each begins with a look into the log.
    let turns = page.shared.clone();
    let turn = turns.looks.acquire().await;
    let begun = tokio::task::spawn_blocking(move || begin(&live, &page, &searched, last)).await;
    drop(turn);
    match begun {
        Ok(Ok((missed, found))) => {
            let (send, sent) = mpsc::channel(1);
            tokio::spawn(stream(missed, found, send, place));
            answer::events(sent)
        }
        Ok(Err(trouble)) => troubled(trouble),
        Err(_) => answer::fault(),
    }
}

type Begun = (Batch, watch::Receiver<Arc<Batch>>);

/// Begins a stream: what its browser missed, and then what is found.
fn begin(
    live: &Arc<Live>,
    page: &Arc<Page>,
    searched: &str,
    last: Option<AttemptId>,
) -> Result<Begun, Trouble> {
    if !page.is_live() {
        return Err(Trouble::Nowhere);
    }
    let filter = query::search(searched, page.clock.now_ms()).map_err(Trouble::Wrong)?;
    let reader = page.reader()?;
    // Joined before it is read: what is made meanwhile is found twice, and sent once.
    let from = reader.newest_id()?;
    let (found, is_first) = live.join(searched, filter.clone());
    if is_first {
        tokio::spawn(look_for_all(live.clone(), page.clone(), from));
    }
    let to = reader.newest_id()?;
    let after = last.filter(|last| *last <= to).unwrap_or(to);
    let missed = found_since(
        &*reader,
        &filter,
        (after, to),
        LOOKED_THROUGH,
        (MISSED_ROWS, page.acts()),
    )?;
    Ok((missed, found))
}

/// The rows of a search between two attempts: the newest, of those that were made last.
fn found_since(
    reader: &dyn LogReader,
    filter: &LogFilter,
    (after, to): (AttemptId, AttemptId),
    looked_at: i64,
    (rows, ticks): (usize, bool),
) -> Result<Batch, Trouble> {
    let mut batch = Batch {
        after,
        to,
        ..Batch::default()
    };
    if to <= after {
        return Ok(batch);
    }
    let from = after.max(AttemptId::new(to.get().saturating_sub(looked_at)));
    let most = usize::try_from(looked_at).unwrap_or(usize::MAX);
    let (mut ids, _) = reader.after(from, filter, most)?;
    ids.retain(|id| *id <= to);
    let over = ids.len().saturating_sub(rows);
    ids.drain(..over);
    batch.gap = over > 0 || from > after;
    batch.is_flood = over > FLOOD * rows;
    let mut whole = if batch.gap { GAP.to_vec() } else { Vec::new() };
    for id in ids {
        if let Some(row) = reader.attempt(id)? {
            let event = event(id, &view::row(&row, ticks).into_string());
            whole.extend_from_slice(&event);
            batch.rows.push((id, event));
        }
    }
    batch.whole = whole.into();
    Ok(batch)
}

/// A row as an event, whose data is one line.
fn event(id: AttemptId, html: &str) -> Bytes {
    let html = html.replace(['\n', '\r'], " ");
    Bytes::from(format!("id: {id}\nevent: row\ndata: {html}\n\n"))
}

/// Looks into the log for all streams, behind that attempt, while there are any.
async fn look_for_all(live: Arc<Live>, page: Arc<Page>, from: AttemptId) {
    let (mut kept, mut last, mut looks) = (None, from, 0_u32);
    loop {
        tokio::time::sleep(TICK).await;
        let (look, had) = ((live.clone(), page.clone(), last), kept.take());
        let looked = tokio::task::spawn_blocking(move || look_once(&look.0, &look.1, look.2, had));
        match looked.await {
            Ok(Ok(Some((reader, to)))) => {
                last = to;
                looks = looks.wrapping_add(1);
                kept = (!looks.is_multiple_of(LOOKS_A_READER)).then_some(reader);
            }
            Ok(Ok(None)) => return,
            // The log can't be read: the next look tries again, for those who are still there.
            Ok(Err(_)) | Err(_) => {
                if live.searches().is_empty() {
                    return;
                }
            }
        }
    }
}

/// An opened log, and the attempt up to which it was looked at.
type Looked = (Box<dyn LogReader>, AttemptId);

/// One look behind that attempt; `None` where nobody is there to have it.
fn look_once(
    live: &Live,
    page: &Page,
    last: AttemptId,
    had: Option<Box<dyn LogReader>>,
) -> Result<Option<Looked>, Trouble> {
    let reader = had.map_or_else(|| page.reader(), Ok)?;
    // Read before it is asked who is there: who comes in between reads at least so far by himself.
    let to = reader.newest_id()?;
    let searches = live.searches();
    if searches.is_empty() {
        return Ok(None);
    }
    // A log that was emptied begins anew.
    let after = last.min(to);
    for search in searches {
        let asked = ((after, to), LOOKED_AT, (ROWS, page.acts()));
        let find = || found_since(&*reader, &search.filter, asked.0, asked.1, asked.2);
        search.told((after < to).then(find).transpose()?);
    }
    Ok(Some((reader, to)))
}

/// Sends what is found, until the browser is gone or nobody looks any more.
async fn stream(
    missed: Batch,
    mut found: watch::Receiver<Arc<Batch>>,
    send: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let mut at = missed.after;
    if send.send(Bytes::from_static(RETRY)).await.is_err() {
        return;
    }
    let mut bytes = news(&missed, &mut at);
    drop(missed);
    loop {
        if !bytes.is_empty() && send.send(bytes).await.is_err() {
            return;
        }
        bytes = tokio::select! {
            changed = tokio::time::timeout(SILENCE, found.changed()) => match changed {
                Ok(Ok(())) => {
                    let batch = found.borrow_and_update().clone();
                    news(&batch, &mut at)
                }
                Ok(Err(_)) => return,
                // An id alone is no event, and is what the browser says when it comes again.
                Err(_) => format!("id: {at}\n\n").into(),
            },
            () = send.closed() => return,
        };
    }
}

/// What of a batch a stream has not had yet.
fn news(batch: &Batch, at: &mut AttemptId) -> Bytes {
    if batch.to <= *at {
        return Bytes::new();
    }
    if batch.after == *at {
        *at = batch.to;
        return batch.whole.clone();
    }
    let mut bytes = Vec::new();
    if batch.gap || batch.after > *at {
        bytes.extend_from_slice(GAP);
    }
    for (id, row) in &batch.rows {
        if id > at {
            bytes.extend_from_slice(row);
        }
    }
    *at = batch.to;
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(after: i64, to: i64, rows: &[i64], gap: bool) -> Batch {
        let row = |id: &i64| {
            let id = AttemptId::new(*id);
            (id, event(id, "<tr>\n</tr>"))
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let gap_bytes = if gap { GAP } else { &[] };
        let pieces = rows.iter().map(|(_, row)| &row[..]);
        let whole: Vec<&[u8]> = std::iter::once(gap_bytes).chain(pieces).collect();
        Batch {
            after: AttemptId::new(after),
            to: AttemptId::new(to),
            whole: whole.concat().into(),
            rows,
            gap,
            is_flood: false,
        }
    }

    #[test]
    fn each_row_is_sent_once_and_a_gap_is_told() {
        let mut at = AttemptId::new(5);
        let mut sent = |batch: Batch| String::from_utf8(news(&batch, &mut at).to_vec()).unwrap();
        assert_eq!(sent(batch(3, 5, &[4, 5], false)), "");
        let row = |id: i64| format!("id: {id}\nevent: row\ndata: <tr> </tr>\n\n");
        assert_eq!(sent(batch(4, 7, &[5, 7], false)), row(7));
        assert_eq!(sent(batch(7, 8, &[], false)), "");
        let gap = "event: gap\ndata: \n\n";
        assert_eq!(
            sent(batch(9, 10, &[10], false)),
            format!("{gap}{}", row(10))
        );
        assert_eq!(
            sent(batch(10, 99, &[99], true)),
            format!("{gap}{}", row(99))
        );
    }
}
