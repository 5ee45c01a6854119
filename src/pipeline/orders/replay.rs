//! Replay: events of the outbox are sent again, from a point in time, by today's webhooks.
//!
//! A replay is a row of the log with its position, worked off in the background by chunks that are
//! small beside live traffic. A step writes its deliveries and the new position in one transaction,
//! so a crash neither skips an event nor makes its deliveries twice. The outbox is read through a
//! connection of its own; the cursor is never moved. Events behind the cursor only: what is before
//! it comes anyway. Rows that were pruned are gone; how many is estimated, not mourned.

use std::sync::Arc;
use std::time::Duration;

use super::chunks::CHUNK_ROWS;
use super::error::OrderError;
use crate::model::{Cursor, Due, Event, EventId, FanOut, Pattern, ReplayId, crash};
use crate::outbox::{self, Past, PastRows, Row};
use crate::pipeline::send::{Dispatch, Lane};
use crate::pipeline::shared::{Patience, Routes, chain, is_in_order};
use crate::store::{self, Replay};
use crate::transport::Transport;

/// Rows of the outbox read at once, and bytes of their data: a millisecond, and little memory.
const READ: (usize, usize) = (250, 1 << 20);

/// After trouble with the outbox or the log.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks whether a full log has room.
const ROOM: Duration = Duration::from_millis(500);

/// Which events are wanted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From that UNIX millisecond on.
    pub since_ms: i64,
    /// From that row of the outbox on.
    pub from: Option<EventId>,
    /// Before that UNIX millisecond.
    pub until_ms: Option<i64>,
    /// For that webhook only.
    pub webhook: Option<String>,
    /// Of that pattern only.
    pub event: Option<String>,
}

/// What a replay would be, or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id; `None` where it was only counted.
    pub id: Option<ReplayId>,
    /// Deliveries to be made.
    pub matched: i64,
    /// Events since then that are no longer in the outbox, as far as the log's hourly marks tell.
    pub pruned: i64,
}

impl Wanted {
    /// The part of the subscriptions that the replay is for.
    fn routes(&self, all: &Routes) -> Routes {
        let wanted = |name: &str| self.webhook.as_ref().is_none_or(|only| only == name);
        all.part(|webhook| wanted(&webhook.name))
    }

    fn takes(&self, event: &Event) -> bool {
        event.time_ms >= self.since_ms
            && self.until_ms.is_none_or(|until| event.time_ms < until)
            && (self.event.as_ref()).is_none_or(|text| Pattern::new(text).matches(&event.name))
    }

    fn of(replay: &Replay) -> Self {
        Self {
            since_ms: replay.since_ms,
            // It has begun, and goes on by its position.
            from: None,
            until_ms: replay.until_ms,
            webhook: replay.webhook.clone(),
            event: replay.event.clone(),
        }
    }
}

/// One chunk that was read.
struct Chunk {
    events: Vec<Event>,
    next_id: EventId,
    ended: bool,
}

/// A step's result: the lanes that got something, whether it was the last, and how long it took.
struct Stepped<E> {
    lanes: Vec<Arc<Lane<E>>>,
    next_id: EventId,
    ended: bool,
    took: Duration,
}

enum StepError {
    Outbox(outbox::Error),
    Store(store::Error),
    /// The outbox was put back or replaced, and the intake has not seen it yet.
    Moved,
}

impl<T: Transport> Dispatch<T> {
    /// Counts what a replay would send, and writes it down unless it is a `dry_run`.
    ///
    /// # Errors
    /// There is no such webhook, or it is inactive; outbox or log can't be read or written.
    pub async fn begin_replay(
        self: &Arc<Self>,
        wanted: Wanted,
        dry_run: bool,
    ) -> Result<Found, OrderError> {
        if let Some(name) = &wanted.webhook {
            self.served(name)?;
        }
        let since_ms = wanted.since_ms;
        let (cursor, mark) = self
            .with_store(move |_, store| {
                let cursor = store.cursor()?.unwrap_or_default();
                Ok((cursor, store.outbox_mark(since_ms)?))
            })
            .await
            .map_err(OrderError::Store)?;
        let this = self.clone();
        let (mut replay, pruned) = self
            .with_blocking(move || {
                let marked = mark.filter(|(generation, _)| *generation == cursor.generation);
                this.survey(&wanted, &cursor, marked.map_or(EventId::NONE, |(_, id)| id))
            })
            .await
            .map_err(OrderError::Outbox)?;
        let matched = replay.matched;
        if !dry_run {
            let written = self
                .with_store(move |this, store| {
                    let id = store.begin_replay(&replay, this.clock().now_ms())?;
                    // In the same call: who asked may be gone when it returns, and this future too.
                    this.signals().ask_for_replay();
                    replay.id = id;
                    Ok(replay)
                })
                .await
                .map_err(OrderError::Store)?;
            tracing::info!(replay = written.id.get(), matched, "replay begun");
            return Ok(Found {
                id: Some(written.id),
                matched,
                pruned,
            });
        }
        Ok(Found {
            id: None,
            matched,
            pruned,
        })
    }

    /// Waits until another node may have written a replay down; for ever where there is none.
    async fn others_may_ask(&self) {
        if self.share().has_all() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.running().pace().poll).await;
    }

    /// Reads through the outbox and counts. Blocks, as long as that takes.
    fn survey(
        &self,
        wanted: &Wanted,
        cursor: &Cursor,
        taken_before: EventId,
    ) -> Result<(Replay, i64), outbox::Error> {
        let mut tail = self.replay_tail()?;
        let routes = wanted.routes(&self.routes());
        let (first, taken_before) = match wanted.from {
            Some(from) => (Some(from), from.back(1)),
            None => (tail.first_at_or_after(wanted.since_ms)?, taken_before),
        };
        let oldest = tail.read(EventId::NONE, 1, 1)?.rows.first().map(Row::id);
        let gone = oldest.map_or(cursor.event_id, |id| id.back(1));
        let pruned = match tail.counts_by_ids() {
            true => gone.distance_from(taken_before),
            false => 0,
        };
        let mut replay = Replay {
            id: ReplayId::NONE,
            generation: cursor.generation,
            since_ms: wanted.since_ms,
            until_ms: wanted.until_ms,
            webhook: wanted.webhook.clone(),
            event: wanted.event.clone(),
            next_id: first.unwrap_or(cursor.event_id.next()),
            last_id: cursor.event_id,
            matched: 0,
            done: 0,
            finished: false,
        };
        let mut next_id = replay.next_id;
        while !self.is_stopping() {
            let chunk = chunk(read(&mut tail, next_id)?, &replay, next_id, cursor);
            for event in chunk.events.iter().filter(|event| wanted.takes(event)) {
                replay.matched += i64::try_from(routes.count(event)).unwrap_or(i64::MAX);
            }
            next_id = chunk.next_id;
            if chunk.ended {
                break;
            }
        }
        Ok((replay, pruned.max(0)))
    }

    fn replay_tail(&self) -> Result<Past, outbox::Error> {
        let retention = self.running().retention();
        let (server, path) = (retention.outbox_server.as_ref(), &retention.outbox);
        Past::open_by(self.vfs(), server, path, self.max_data_bytes())
    }

    /// Works replays off, one after the other, until the pipeline stops.
    ///
    /// # Errors
    /// The log can't be read or written for a reason that will not pass.
    pub async fn replay(self: Arc<Self>) -> Result<(), store::Error> {
        let mut stop = self.stopping();
        while !self.is_stopping() {
            let next = self
                .with_store(|this, store| {
                    if !this.share().leads() {
                        return Ok(None);
                    }
                    store.unfinished_replay()
                })
                .await;
            let worked = match next {
                Ok(Some(replay)) => self.work_off(replay).await,
                Ok(None) => {
                    tokio::select! {
                        () = self.signals().replay_asked() => {}
                        () = self.others_may_ask() => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                    continue;
                }
                Err(error) if error.is_transient() => {
                    // The refill reads the log as well, and tells.
                    drop(tokio::time::timeout(RETRY_PAUSE, stop.wait_for(|stop| *stop)).await);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match worked {
                Ok(()) => continue,
                Err(StepError::Store(error)) if !error.is_transient() => return Err(error),
                Err(StepError::Store(error)) => {
                    tracing::warn!(
                        step = "replay events",
                        error = chain(&error),
                        "trying again"
                    );
                }
                // The next try is in what is there then, or ends the replay.
                Err(StepError::Moved) => {}
                Err(StepError::Outbox(error)) => {
                    tracing::warn!(
                        step = "read events to replay",
                        error = chain(&error),
                        "trying again"
                    );
                }
            }
            drop(tokio::time::timeout(RETRY_PAUSE, stop.wait_for(|stop| *stop)).await);
        }
        Ok(())
    }

    /// One replay to its end, or to the stop.
    async fn work_off(self: &Arc<Self>, mut replay: Replay) -> Result<(), StepError> {
        let this = self.clone();
        let mut tail = self
            .with_blocking(move || this.replay_tail())
            .await
            .map_err(StepError::Outbox)?;
        let mut patience = Patience::default();
        while !self.is_stopping() {
            self.wait_for_room(&mut patience).await;
            let (this, mine) = (self.clone(), replay.clone());
            let (same, stepped) = self
                .with_blocking(move || {
                    let stepped = this.replay_step(&mut tail, &mine);
                    (tail, stepped)
                })
                .await;
            tail = same;
            let Stepped {
                lanes,
                next_id,
                ended,
                took,
            } = stepped?;
            for lane in &lanes {
                self.fill(lane);
            }
            replay.next_id = next_id;
            if ended {
                let id = replay.id;
                self.with_store(move |this, store| store.finish_replay(id, this.clock().now_ms()))
                    .await
                    .map_err(StepError::Store)?;
                tracing::info!(replay = id.get(), "replay finished");
                return Ok(());
            }
            self.let_others_through(&lanes, took).await;
        }
        Ok(())
    }

    /// As the intake does: what is replayed has no more right to room.
    async fn wait_for_room(&self, patience: &mut Patience) {
        let hold = self.log().hold();
        while !self.is_stopping() && self.waits_for_room(patience) {
            drop(tokio::time::timeout(ROOM, hold.freed()).await);
        }
    }

    /// Reads one chunk and writes its deliveries. Blocks for the log's lock.
    fn replay_step(
        &self,
        tail: &mut Past,
        replay: &Replay,
    ) -> Result<Stepped<T::Endpoint>, StepError> {
        let rows = read(tail, replay.next_id).map_err(StepError::Outbox)?;
        let cursor = self.store().cursor().map_err(StepError::Store)?;
        // Asked after the rows were read: what they were read from, or something later, is looked at.
        let known = cursor.unwrap_or_default();
        if !is_followed(tail, &known, self.clock().now_ms()).map_err(StepError::Outbox)? {
            return Err(StepError::Moved);
        }
        // Of a server, what is not taken by now comes anyway, whatever its id.
        let chunk = chunk(rows, replay, replay.next_id, &known);
        crash::point("replay events", "chunk read");
        let wanted = Wanted::of(replay);
        loop {
            let routes = self.routes();
            let (events, next_id) = fan_out(&wanted.routes(&routes), &wanted, &chunk);
            let mut log = self.store();
            // As in the intake: a reload exchanges the routes under this lock.
            if !Arc::ptr_eq(&routes, &self.routes()) {
                continue;
            }
            let begun = self.clock().instant();
            let cursor = log.cursor().map_err(StepError::Store)?.unwrap_or_default();
            if cursor.generation != replay.generation {
                tracing::warn!(
                    replay = replay.id.get(),
                    "the outbox was put back or exchanged: its ids mean other events now, and the \
                     replay ends here"
                );
                return Ok(Stepped {
                    lanes: Vec::new(),
                    next_id,
                    ended: true,
                    took: Duration::ZERO,
                });
            }
            let mut room = self.room_for_next(&log);
            let mut takes = |due: &Due| room.takes(due);
            let now_ms = self.clock().now_ms();
            let dues = log
                .replay_step(replay, next_id, &events, &mut takes, now_ms)
                .map_err(StepError::Store)?;
            let lanes = self.offer(&log, room, dues);
            drop(log);
            return Ok(Stepped {
                lanes,
                next_id,
                ended: chunk.ended && next_id == chunk.next_id,
                took: begun.elapsed(),
            });
        }
    }
}

/// The deliveries of a chunk, as far as one transaction goes, and the id to go on at.
fn fan_out(routes: &Routes, wanted: &Wanted, chunk: &Chunk) -> (Vec<FanOut>, EventId) {
    let (mut events, mut deliveries) = (Vec::new(), 0);
    for event in chunk.events.iter().filter(|event| wanted.takes(event)) {
        let Some(fanned) = routes.fan_out(event) else {
            continue;
        };
        if deliveries > 0 && deliveries + fanned.webhooks.len() > CHUNK_ROWS {
            return (events, event.id);
        }
        deliveries += fanned.webhooks.len();
        events.push(fanned);
    }
    (events, chunk.next_id)
}

/// Whether what is read is what the log knows, as far as the intake has looked.
fn is_followed(tail: &mut Past, known: &Cursor, now_ms: i64) -> Result<bool, outbox::Error> {
    match tail {
        Past::File(tail) => Ok(!tail.replaced() && is_in_order(tail, known, now_ms)?),
        Past::Server(by_id) => {
            let place = known.snapshot.as_deref();
            Ok(place.is_some_and(|place| by_id.is_of(place) && !place.is_again()))
        }
    }
}

fn read(tail: &mut Past, next_id: EventId) -> Result<PastRows, outbox::Error> {
    tail.read(next_id.back(1), READ.0, READ.1)
}

/// What of some rows, which begin with that id, belongs to a replay.
fn chunk(mut read: PastRows, replay: &Replay, next_id: EventId, known: &Cursor) -> Chunk {
    let last_id = replay.last_id;
    let last = read.rows.last().map(Row::id);
    let beyond = last.is_none_or(|last| last >= last_id);
    read.leave_untaken(known.snapshot.as_deref());
    let events = read.rows.into_iter().filter_map(|row| match row {
        Row::Event(event) if event.id <= last_id => Some(event),
        Row::Event(_) | Row::Rejected(_) => None,
    });
    Chunk {
        events: events.collect(),
        next_id: last.map_or(next_id, EventId::next),
        ended: beyond || !read.more,
    }
}
