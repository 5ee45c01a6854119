//! Orders about many deliveries: found in the log page by page, done in chunks, told line by line.
//!
//! An order ends when its client goes: what was done is done, and the same order goes on from there, for
//! what was sent again is no longer among what failed, and what was cancelled not among what is pending.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::activity::Activity;
use super::answer::{self, Answer};
use crate::model::{DeliveryId, IdRange, TimeWindow};
use crate::pipeline::{Dispatch, chain};
use crate::store::{self, CancelError, Ended, PendingPage, Reader, RedeliverError};
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
pub(super) fn not_cancelled(why: CancelError) -> (StatusCode, &'static str) {
    match why {
        CancelError::Unknown => (StatusCode::NOT_FOUND, "no delivery has that id"),
        CancelError::Ended => (StatusCode::CONFLICT, "that delivery has ended"),
    }
}

impl Deed {
    fn chunk_rows(self, dispatch: &Dispatch<Client>) -> usize {
        match self {
            Self::Redeliver => dispatch.chunk_rows(),
            Self::Cancel => dispatch.cancel_rows(),
        }
    }

    /// Does it. How many were done, and why the others were not.
    async fn chunk(
        self,
        dispatch: &Arc<Dispatch<Client>>,
        ids: Vec<DeliveryId>,
    ) -> Result<(usize, Vec<Value>), store::Error> {
        let answers: Vec<(DeliveryId, Option<&'static str>)> = match self {
            Self::Redeliver => (dispatch.redeliver(ids).await?.into_iter())
                .map(|(id, answer)| (id, answer.err().map(|why| not_again(why).1)))
                .collect(),
            Self::Cancel => (dispatch.cancel(ids).await?.into_iter())
                .map(|(id, answer)| (id, answer.err().map(|why| not_cancelled(why).1)))
                .collect(),
        };
        let done = answers.iter().filter(|(_, why)| why.is_none()).count();
        let refused = answers.into_iter().filter_map(|(id, why)| {
            let words = why?;
            Some(json!({ "delivery_id": id, "error": words }))
        });
        Ok((done, refused.collect()))
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
    reader: Reader,
    among: Among,
    webhooks: Vec<String>,
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
        reader: Reader,
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
    _permit: OwnedSemaphorePermit,
}

/// The client has gone.
struct Gone;

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
        _permit: permit,
    };
    drop(tokio::spawn(work.run(source, dry_run)));
    answer::lines(lines, activity.clone())
}

impl Work {
    async fn run(mut self, source: Source, dry_run: bool) {
        let worked = self.work(source, dry_run).await;
        if self.deed == Deed::Cancel && self.done > 0 {
            tracing::info!(deliveries = self.done, "cancelled by order");
        }
        let last = match worked {
            Ok(()) => json!({ "finished": true, "done": self.done, "refused": self.refused }),
            Err(Some(words)) => {
                json!({ "finished": false, "done": self.done, "refused": self.refused, "error": words })
            }
            Err(None) => return,
        };
        drop(self.tell(&last).await);
    }

    async fn tell(&self, value: &Value) -> Result<(), Gone> {
        let sent = self.lines.send_timeout(answer::line(value), UNREAD).await;
        sent.or(Err(Gone))
    }

    /// The error's words; none where the client has gone.
    async fn work(&mut self, source: Source, dry_run: bool) -> Result<(), Option<String>> {
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
                let ids = ids.map_err(|error| Some(chain(&error)))?;
                if ids.is_empty() {
                    break;
                }
                self.chunk(ids).await?;
            },
        }
        Ok(())
    }

    async fn chunk(&mut self, ids: Vec<DeliveryId>) -> Result<(), Option<String>> {
        if *self.dispatch.stopping().borrow() {
            return Err(Some("the daemon is stopping".into()));
        }
        let done = self.deed.chunk(&self.dispatch, ids).await;
        let (done, refused) = done.map_err(|error| Some(chain(&error)))?;
        self.done += done;
        self.refused.extend(refused);
        let told = self.tell(&json!({ "done": self.done })).await;
        told.map_err(|Gone| None)
    }
}
