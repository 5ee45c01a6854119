//! Orders about many deliveries: found in the log page by page, done in chunks, told line by line.
//!
//! An order ends when its client goes: what was done is done, and the same order goes on from there, for
//! what was sent again is no longer among what failed, and what was cancelled not among what is pending.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::activity::Activity;
use super::answer::{self, Answer};
use super::order::not_taken;
use crate::model::{DeliveryId, IdRange, TimeWindow};
use crate::pipeline::{Dispatch, chain};
use crate::store::{self, CancelError, Ended, LogReader, PendingPage, RedeliverError, Withdrawal};
use crate::transport::Client;

/// A client that reads none of its lines for so long has gone.
const UNREAD: Duration = Duration::from_secs(60);

/// Lines that may wait for the client.
const LINES: usize = 16;

/// What is done with deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// They are sent again.
    Redeliver,
    /// They are cancelled.
    Cancel,
}

/// Why a delivery is not sent again: the status of an answer about it alone, and the words.
pub(super) fn not_again(why: RedeliverError) -> (StatusCode, &'static str) {
    let words = match why {
        RedeliverError::Unknown => return (StatusCode::NOT_FOUND, "no delivery has that id"),
        RedeliverError::Pending => "that delivery is still pending",
        RedeliverError::Unserved => "its webhook is inactive or has left the configuration",
        RedeliverError::NotKept => "its body was not kept; `webhooksd replay` reads the outbox",
    };
    (StatusCode::CONFLICT, words)
}

/// The same of one that is not cancelled.
pub(super) fn not_cancelled(why: CancelError) -> (StatusCode, Cow<'static, str>) {
    match why {
        CancelError::Unknown => (StatusCode::NOT_FOUND, "no delivery has that id".into()),
        CancelError::Ended => (StatusCode::CONFLICT, "that delivery has ended".into()),
        CancelError::Again(holder) => {
            let words = format!(
                "that delivery has ended; delivery {holder}, which it was sent again for, holds the line: \
                 `webhooksd cancel {holder}` lets it go"
            );
            (StatusCode::CONFLICT, words.into())
        }
    }
}

/// Says that what was given up holds its line no longer.
pub(super) fn journal_let_go(id: DeliveryId) {
    tracing::info!(
        delivery = id.get(),
        "let go by order: it stays failed, and the next of its line goes"
    );
}

/// What was done with a chunk.
#[derive(Default)]
struct Done {
    /// How many were done, those that were let go among them.
    count: usize,
    /// Why the others were not.
    refused: Vec<Value>,
    /// What had ended before, and held its line until now.
    let_go: Vec<DeliveryId>,
}

impl Deed {
    fn chunk_rows(self, dispatch: &Dispatch<Client>) -> usize {
        match self {
            Self::Redeliver => dispatch.chunk_rows(),
            Self::Cancel => dispatch.cancel_rows(),
        }
    }

    /// Does it.
    async fn chunk(
        self,
        dispatch: &Arc<Dispatch<Client>>,
        ids: Vec<DeliveryId>,
    ) -> Result<Done, store::Error> {
        let mut done = Done::default();
        let mut refuse = |id: DeliveryId, words: &str| {
            let refused = json!({ "delivery_id": id, "error": words });
            done.refused.push(refused);
        };
        match self {
            Self::Redeliver => {
                for (id, answer) in dispatch.redeliver(ids).await? {
                    match answer {
                        Ok(_) => done.count += 1,
                        Err(why) => refuse(id, not_again(why).1),
                    }
                }
            }
            Self::Cancel => {
                for (id, answer) in dispatch.cancel(ids).await? {
                    match answer {
                        Ok(Withdrawal::Cancelled) => done.count += 1,
                        Ok(Withdrawal::LetGo) => {
                            done.count += 1;
                            done.let_go.push(id);
                            journal_let_go(id);
                        }
                        Err(why) => refuse(id, &not_cancelled(why).1),
                    }
                }
            }
        }
        Ok(done)
    }
}

/// Where the ids of an order come from.
pub(super) enum Source {
    /// Its client named them.
    Ids(Vec<DeliveryId>),
    /// They are looked for.
    Search(Box<Search>),
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Among {
    /// What ended so.
    Ended(Ended),
    /// What is pending.
    Pending,
}

/// Deliveries of some webhooks within a window of time, webhook by webhook.
pub(super) struct Search {
    reader: Box<dyn LogReader>,
    among: Among,
    webhooks: Vec<String>,
    /// Whose pending deliveries they are, where it is those.
    cancelled: Option<String>,
    window: TimeWindow,
    ids: IdRange<DeliveryId>,
    page: PendingPage,
    /// This turn through the pages found something.
    found: bool,
    matched: i64,
}

impl Search {
    /// What there is to find now; nothing that is made later. Blocks.
    ///
    /// # Errors
    /// The log can't be read.
    pub(super) fn new(
        reader: Box<dyn LogReader>,
        among: Among,
        webhooks: Vec<String>,
        window: TimeWindow,
    ) -> Result<Self, store::Error> {
        let up_to = reader.newest_delivery()?;
        let mut matched = 0;
        for webhook in &webhooks {
            matched += match among {
                Among::Ended(how) => reader.count_ended(how, webhook, window, up_to)?,
                Among::Pending => reader.count_pending(webhook, window, up_to)?,
            };
        }
        Ok(Self {
            reader,
            among,
            cancelled: match among {
                Among::Pending => webhooks.first().cloned(),
                Among::Ended(_) => None,
            },
            webhooks,
            window,
            ids: IdRange {
                after: DeliveryId::NONE,
                up_to,
            },
            page: PendingPage::default(),
            found: false,
            matched,
        })
    }

    /// The next ids; none at the end. Blocks.
    fn next(&mut self, rows: usize) -> Result<Vec<DeliveryId>, store::Error> {
        while let Some(webhook) = self.webhooks.last() {
            let (window, ids) = (self.window, self.ids);
            let found = match self.among {
                Among::Ended(how) => self.reader.ended(how, webhook, window, ids, rows)?,
                Among::Pending => {
                    let page = &mut self.page;
                    self.reader
                        .pending_page(webhook, window, ids.up_to, page, rows)?
                }
            };
            if let Some(last) = found.last() {
                self.ids.after = *last;
                self.found = true;
                return Ok(found);
            }
            // What is pending moves: only a turn that finds nothing was the last.
            let again = matches!(self.among, Among::Pending) && self.found;
            if !again {
                self.webhooks.pop();
            }
            self.found = false;
            self.page = PendingPage::default();
            self.ids.after = DeliveryId::NONE;
        }
        Ok(Vec::new())
    }
}

/// An order at work.
struct Work {
    dispatch: Arc<Dispatch<Client>>,
    deed: Deed,
    lines: mpsc::Sender<Bytes>,
    done: usize,
    refused: Vec<Value>,
    let_go: Vec<DeliveryId>,
    /// What was given up and holds its line of the webhook whose deliveries were cancelled.
    holding: Option<Value>,
    _permit: OwnedSemaphorePermit,
}

/// The client has gone.
struct Gone;

/// Why it went no further.
struct Broken {
    words: String,
    hint: Option<String>,
}

impl Broken {
    /// The log did not take or tell it, behind so many that were done.
    fn of(error: &store::Error, done: usize) -> Option<Self> {
        let hint = match done {
            0 => Some(not_taken(error)),
            _ => error.hint(),
        };
        let words = chain(error);
        Some(Self { words, hint })
    }
}

/// Works an order off. The answer is the lines that tell of it.
pub(super) fn work_off(
    (deed, source, dry_run): (Deed, Source, bool),
    dispatch: Arc<Dispatch<Client>>,
    activity: &Arc<Activity>,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let (send, lines) = mpsc::channel(LINES);
    let work = Work {
        dispatch,
        deed,
        lines: send,
        done: 0,
        refused: Vec::new(),
        let_go: Vec::new(),
        holding: None,
        _permit: permit,
    };
    drop(tokio::spawn(work.run(source, dry_run)));
    answer::lines(lines, activity.clone())
}

impl Work {
    async fn run(mut self, source: Source, dry_run: bool) {
        let worked = self.work(source, dry_run).await;
        let cancelled = self.done - self.let_go.len();
        if self.deed == Deed::Cancel && cancelled > 0 {
            tracing::info!(deliveries = cancelled, "cancelled by order");
        }
        let mut last =
            json!({ "finished": worked.is_ok(), "done": self.done, "refused": self.refused });
        match worked {
            Ok(()) => {}
            Err(Some(Broken { words, hint })) => {
                last["error"] = words.into();
                if let Some(hint) = hint {
                    last["hint"] = hint.into();
                }
            }
            Err(None) => return,
        }
        if !self.let_go.is_empty() {
            last["let_go"] = json!(self.let_go);
        }
        if let Some(holding) = &self.holding {
            last["holding"] = holding.clone();
        }
        drop(self.tell(&last).await);
    }

    async fn tell(&self, value: &Value) -> Result<(), Gone> {
        let sent = self.lines.send_timeout(answer::line(value), UNREAD).await;
        sent.or(Err(Gone))
    }

    /// What broke it off; none where the client has gone.
    async fn work(&mut self, source: Source, dry_run: bool) -> Result<(), Option<Broken>> {
        let rows = self.deed.chunk_rows(&self.dispatch);
        let matched = match &source {
            Source::Ids(ids) => i64::try_from(ids.len()).unwrap_or(i64::MAX),
            Source::Search(search) => search.matched,
        };
        let told = self.tell(&json!({ "matched": matched })).await;
        told.map_err(|Gone| None)?;
        if dry_run {
            return Ok(());
        }
        match source {
            Source::Ids(mut ids) => {
                if self.deed == Deed::Cancel {
                    // From the end, so that nobody's turn comes that is to be cancelled too.
                    ids.sort_unstable_by(|a, b| b.cmp(a));
                }
                for ids in ids.chunks(rows) {
                    self.chunk(ids.to_vec()).await?;
                }
            }
            Source::Search(mut search) => loop {
                let (same, ids) = self
                    .dispatch
                    .with_blocking(move || {
                        let ids = search.next(rows);
                        (search, ids)
                    })
                    .await;
                search = same;
                let ids = ids.map_err(|error| Broken::of(&error, self.done))?;
                if ids.is_empty() {
                    self.holding = self.still_holding(*search).await?;
                    break;
                }
                self.chunk(ids).await?;
            },
        }
        Ok(())
    }

    /// Who still holds a line of the webhook whose deliveries were cancelled: it was given up, so it is none of those.
    async fn still_holding(&self, search: Search) -> Result<Option<Value>, Option<Broken>> {
        let Search {
            reader, cancelled, ..
        } = search;
        let Some(webhook) = cancelled else {
            return Ok(None);
        };
        let held = move || reader.held_of(&webhook);
        let held = self.dispatch.with_blocking(held).await;
        let held = held.map_err(|error| Broken::of(&error, self.done))?;
        let holding = held.and_then(|held| held.holding);
        Ok(
            holding
                .map(|holding| json!({ "count": holding.count.count, "oldest": holding.oldest })),
        )
    }

    async fn chunk(&mut self, ids: Vec<DeliveryId>) -> Result<(), Option<Broken>> {
        if *self.dispatch.stopping().borrow() {
            let words = "the daemon is stopping".to_owned();
            return Err(Some(Broken { words, hint: None }));
        }
        let done = self.deed.chunk(&self.dispatch, ids).await;
        let done = done.map_err(|error| Broken::of(&error, self.done))?;
        self.done += done.count;
        self.refused.extend(done.refused);
        self.let_go.extend(done.let_go);
        let told = self.tell(&json!({ "done": self.done })).await;
        told.map_err(|Gone| None)
    }
}
