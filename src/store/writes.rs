//! What the pipeline writes, whatever engine keeps the log.
//!
//! Pipeline and daemon hold a [`LogWriter`] and know no engine. There is one of a log at a time, behind a lock: its
//! calls come one after the other, from threads that may block. Every call is one short transaction, bounded by its
//! arguments: all of it is in the log, or it fails and nothing is, so that it may be made again. What is committed
//! survives the process; what survives the machine is said by [`Syncs`]. Times are UNIX milliseconds and come from
//! the caller: an engine reads no clock, waits for nobody and retries nothing. Left out: how an engine is opened, which
//! is `store`'s, and what is asked of a log beside its writer (`asked`).

mod sqlite;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::control::{Again, Replay};
use super::early::Shrunk;
use super::fill::{Fill, SizeBounds};
use super::insert::Takes;
use super::nodes::Me;
use super::queue::Clamped;
use super::retain::Swept;
use super::transition::CameOver;
use super::turn::InHand;
use super::withdraw::Cancelled;
use super::{Error, Lost, WalBounds, WalState};
use crate::model::{
    Admission, Announce, Attempt, Batch, Bodies, Cursor, Deferred, DeliveryId, Dialect, Due,
    EventId, FanOut, Generation, LogId, Pause, Rejected, ReplayId, Trigger, TurnRule,
};

/// A log, opened for writing.
///
/// # Errors
/// Every call of its parts fails where the log can't be read or written, and with nothing else. Whether it is worth to
/// make it again, [`Error::is_transient`] says.
pub trait LogWriter:
    Admits + Queues + Records + Orders + Pauses + Obeys + Retains + Syncs + Shares + Debug + Send
{
    /// What tells this log from others.
    fn log_id(&self) -> LogId;

    /// Deliveries by state, for the pipeline's tests.
    #[cfg(test)]
    fn states(&self) -> Result<Vec<(String, i64)>, Error>;

    /// Attempts in the log, for the pipeline's tests.
    #[cfg(test)]
    fn attempts(&self) -> Result<i64, Error>;
}

/// Takes events in. The cursor moves only with what it moves over: a call that fails, or that a crash cuts
/// short, has written nothing, and the same events are taken in again, once.
pub trait Admits {
    /// How far the outbox has been taken in; `None` in a log that never was told.
    fn cursor(&mut self) -> Result<Option<Cursor>, Error>;

    /// Sets the cursor by itself: at the start of a new log, or after the outbox went back.
    fn set_cursor(&mut self, cursor: &Cursor, now_ms: i64) -> Result<(), Error>;

    /// Takes one batch of the outbox in, and moves the cursor behind it. Every delivery is due at once but for what waits
    /// for its turn; they are returned in the order of the events and of their webhooks, without those that wait. What
    /// memory `takes` is looked for by nobody while it has it; the rest is found when it is due. What `later` says of a
    /// webhook is owed: [`Self::materialize`] makes its deliveries.
    fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Error>;

    /// Sets rows aside that the cursor had passed before they were written. `unless_traced`: only those
    /// of whose ids the log knows nothing. Returns how many.
    fn set_aside(
        &mut self,
        generation: Generation,
        rows: &[Rejected],
        unless_traced: bool,
        now_ms: i64,
    ) -> Result<usize, Error>;

    /// Makes deliveries without moving the cursor: for a replay, or to try a webhook out.
    fn add(
        &mut self,
        generation: Generation,
        events: &[FanOut],
        origin: Trigger,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error>;

    /// Some of what is owed, the oldest first.
    fn owed(&mut self, rows: usize) -> Result<Vec<Deferred>, Error>;

    /// Makes the deliveries of what is owed and was not paid yet: a debt is paid once, whoever comes first. Every one is
    /// due at once.
    fn materialize(
        &mut self,
        owed: &[Deferred],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error>;

    /// The gaps below the cursor, `(first, last)`, the lowest first.
    fn gaps(&mut self) -> Result<Vec<RangeInclusive<EventId>>, Error>;

    /// Those of the events that have a trace of that generation.
    fn traced(
        &mut self,
        generation: Generation,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, Error>;
}

/// What is pending, and when it is due. What was admitted and handed over is the process's to remember; what it
/// lets go of, or never had, is found here.
pub trait Queues {
    /// The pending deliveries of a webhook that are due by now, in the order of their due times and
    /// ids, without those that `skip` names (their bodies are not loaded). At most `max_rows`, and
    /// none after those whose bodies reach `max_bytes` together; fewer than either are all there are.
    ///
    /// A row that can't be sent any more, for somebody removed its body or wrote a word that is
    /// none, is failed on the way, so that it stops nobody.
    fn due(
        &mut self,
        webhook: &str,
        now_ms: i64,
        max_rows: usize,
        max_bytes: usize,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<Vec<Due>, Error>;

    /// The deliveries that were given up since it was asked last because they can't be read.
    fn take_unreadable(&mut self) -> Vec<DeliveryId>;

    /// When the webhook's next pending delivery is due, or was.
    fn next_due(&mut self, webhook: &str) -> Result<Option<i64>, Error>;

    /// The same, of those due later than `after_ms`.
    fn next_due_after(&mut self, webhook: &str, after_ms: i64) -> Result<Option<i64>, Error>;

    /// The names of the webhooks that have deliveries in nobody's hands, in order.
    fn pending_webhooks(&mut self) -> Result<Vec<String>, Error>;

    /// Where to say that something was let go of: the next look finds it like anything else that is due. When a log is
    /// opened, all of it was.
    fn lost(&self) -> Lost;

    /// Cancels up to `max_rows` pending deliveries of a webhook, the oldest due first. Returns how
    /// many; fewer than `max_rows` means that none is left. What is `in_hand` keeps its turn until its attempt is over.
    fn cancel(
        &mut self,
        webhook: &str,
        max_rows: usize,
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<usize, Error>;

    /// After a clock step: whatever is due later than now + the longest delay that its dialect's
    /// schedule has after so many attempts, becomes due then, or when its endpoint may be tried again if that is
    /// later. Looks at no more than `max_rows` deliveries and webhooks a call, and only at those due later than now.
    /// A pass keeps its place between calls, so a step that comes during one needs another pass after it; where a call
    /// fails, the next begins anew.
    fn clamp_due(
        &mut self,
        now_ms: i64,
        longest_delay_ms: &dyn Fn(Dialect, u32) -> i64,
        max_rows: usize,
    ) -> Result<Clamped, Error>;

    /// Until when webhooks are not to be tried, by name, and a day from now at the most. Those whose time is over are among
    /// them: it may come again, by a clock that is set back.
    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error>;

    /// Whether another connection has committed to the log since the last call (or the opening):
    /// somebody's `INSERT INTO redelivery`, for one.
    fn changed(&mut self) -> Result<bool, Error>;

    /// What `INSERT INTO redelivery` has made since the row `last_seen`: the newest row, and the
    /// webhooks that got deliveries.
    fn redelivered_since(&mut self, last_seen: i64) -> Result<(i64, Vec<String>), Error>;
}

/// Results. A state is written only by the attempt that leads to it: delivered and failed end a delivery, a retry
/// has it due later; what has ended stays so, whatever comes late.
pub trait Records {
    /// Writes attempts and the states that follow, all or nothing.
    fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error>;

    /// Writes down a batch that is about to be sent.
    fn form(&mut self, batch: &Batch) -> Result<(), Error>;

    /// The delivery that holds a line by the failure of that one, which has ended: itself, or what it was sent again
    /// for.
    fn holder(&self, id: DeliveryId) -> Result<Option<DeliveryId>, Error>;

    /// Whose bodies stay, from the next attempts on that are recorded.
    fn keep_bodies(&mut self, bodies: Bodies);

    /// Writes the roll-up of what was recorded since the last one, without waiting for the disk.
    /// To be called once a second; where nothing was recorded since, it does nothing.
    fn roll_up(&mut self, now_ms: i64) -> Result<(), Error>;

    /// Writes the roll-up, and has the disk keep it and every earlier commit. It waits for the disk meanwhile, so this is
    /// for the end, and for when a checkpoint can't do it. Where all that was committed is on disk, it does nothing.
    fn flush(&mut self, now_ms: i64) -> Result<(), Error>;
}

/// Webhooks with an order: whose turn it is.
pub trait Orders {
    /// Takes the orders of today's configuration in. What they hold no longer goes by [`Self::let_lines_go`];
    /// of a line whose deliveries go otherwise than before, only what goes first stays due.
    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) -> Result<(), Error>;

    /// What was due and waits for its turn again, since this was asked last, with its webhook.
    fn take_held_back(&mut self) -> Vec<(DeliveryId, Arc<str>)>;

    /// The webhooks of which something became due because its turn came, since this was asked last.
    fn take_released(&mut self) -> Result<Vec<Arc<str>>, Error>;

    /// What was given up and holds its line by none of today's orders holds it no longer, and neither does what was
    /// cancelled in a worker's hand that `in_hand` says no worker has any more: up to a chunk of them. Whether there may
    /// be more.
    fn let_lines_go(&mut self, now_ms: i64, in_hand: InHand<'_>) -> Result<bool, Error>;
}

/// Webhooks that begin no attempt, and the events of webhooksd itself that tell of it.
pub trait Pauses {
    /// Every pause, by the webhook's name; those that are over among them.
    fn pauses(&mut self) -> Result<Vec<Pause>, Error>;

    /// Pauses a webhook, in the place of what pause it had. Fails where the log does not know it.
    fn pause(&mut self, pause: &Pause) -> Result<(), Error>;

    /// Ends a webhook's pause. Whether there was one.
    fn resume(&mut self, webhook: &str, now_ms: i64) -> Result<bool, Error>;

    /// Ends the pauses that are over by then. Where there is none, nothing is written.
    fn end_pauses(&mut self, now_ms: i64) -> Result<(), Error>;

    /// Has these webhooks pause themselves once every attempt failed for so many milliseconds.
    fn pause_by_themselves(&mut self, spans_ms: HashMap<Arc<str>, i64>) -> Result<(), Error>;

    /// Whether what was recorded has changed a pause since it was asked last.
    fn take_pauses_changed(&mut self) -> bool;

    /// Tells of pauses that somebody else has made or ended. Where there is none, nothing is written.
    fn tell_pauses(&mut self, now_ms: i64) -> Result<(), Error>;

    /// Takes note of whether a webhook asks for events of webhooksd itself. Where that is new, what is a fact
    /// already is not told; where nobody asks any more, nothing of it stays but the last id.
    fn ask_for_own(&mut self, asks: bool) -> Result<(), Error>;

    /// Has events of webhooksd itself made by that from now on; `None`: nobody asks for any.
    fn announce_by(&mut self, announce: Option<Arc<dyn Announce>>);

    /// The webhooks that got some since it was asked last: they are due, and in nobody's hands.
    fn take_announced(&mut self) -> Vec<Arc<str>>;
}

/// What the configuration says and what people ask for.
pub trait Obeys {
    /// Makes the table say what the configuration says: each name with whether it is active; names
    /// that are not in it are removed. A row is written only where that changes something.
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) -> Result<(), Error>;

    /// Makes the log say which webhooks wait longer for an answer. It is written only where that changes.
    fn know_dialects(&mut self, webhooks: &[(Arc<str>, Dialect)]) -> Result<(), Error>;

    /// An event id to try a webhook out with: `now_ms`, or one more than the last where that is less.
    fn next_test_id(&mut self, now_ms: i64) -> Result<EventId, Error>;

    /// Makes deliveries once more, with the same bytes. The answers are in the order of the ids: the
    /// new delivery's id and its webhook, or why there is none.
    fn redeliver(
        &mut self,
        ids: &[DeliveryId],
        is_served: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Again>, Error>;

    /// Cancels deliveries because somebody asked for it. One that was given up and holds an order lets go of it, and
    /// stays failed. What is `in_hand` keeps its turn until its attempt is over. The answers are in the order of the ids.
    fn cancel_by_order(
        &mut self,
        ids: &[DeliveryId],
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<Vec<Cancelled>, Error>;

    /// Writes a replay down. Returns its id.
    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> Result<ReplayId, Error>;

    /// The oldest replay that has not come to its end.
    fn unfinished_replay(&mut self) -> Result<Option<Replay>, Error>;

    /// One step of a replay: the deliveries of `events`, and where to go on. The cursor stays.
    fn replay_step(
        &mut self,
        replay: &Replay,
        next_id: EventId,
        events: &[FanOut],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error>;

    /// Notes that a replay has come to its end.
    fn finish_replay(&mut self, id: ReplayId, now_ms: i64) -> Result<(), Error>;
}

/// What goes, and when. What is pending stays, and all that it needs.
pub trait Retains {
    /// Writes a mark, unless the newest is less than an hour old. Returns whether it did.
    fn mark(&mut self, now_ms: i64) -> Result<bool, Error>;

    /// Whether time leapt by more than a week, less than a day ago.
    fn leapt(&mut self) -> Result<bool, Error>;

    /// How far the outbox had been taken in by `before_ms`, as `(generation, id)`: rows up to that
    /// id were taken before then. `None` where no mark is that old.
    fn outbox_mark(&mut self, before_ms: i64) -> Result<Option<(Generation, EventId)>, Error>;

    /// Deletes one chunk of what is older than `before_ms`, looking at no more than `max_rows` rows, and gives some of
    /// its space back. To be called until there is no more, between other work; where a call fails, the next goes on
    /// at the same place.
    fn sweep(&mut self, before_ms: i64, max_rows: usize) -> Result<Swept, Error>;

    /// From now on looks after each commit how full the log is by these bounds; `None`: it is never full.
    fn limit_size(&mut self, bounds: Option<SizeBounds>);

    /// How full it was after the last commit.
    fn fill(&self) -> Fill;

    /// Makes the log smaller by one chunk where it is beyond its bounds: deletes what ended first, looking
    /// at no more than `max_rows` of each kind, or gives space back. What the process has in hand stays.
    fn shrink(
        &mut self,
        bounds: &SizeBounds,
        max_rows: usize,
        now_ms: i64,
        held: InHand<'_>,
    ) -> Result<Shrunk, Error>;

    /// Brings up to `max_rows` pending deliveries over from the tables of the shape before.
    fn come_over(&mut self, max_rows: usize) -> Result<CameOver, Error>;
}

/// That other nodes write to the same log. An engine that has one writer keeps what stands here.
pub trait Shares {
    /// Who this node is, where there may be others.
    fn me(&self) -> Option<Me> {
        None
    }

    /// These webhooks have become this node's: what is pending of them is in nobody's hands, and nothing that is known by
    /// heart of them holds.
    fn take_over(&mut self, _webhooks: &[Arc<str>]) -> Result<(), Error> {
        Ok(())
    }

    /// The webhooks that were given deliveries since this was asked last, and not by this node's admissions into memory's
    /// hands.
    fn given_by_others(&mut self) -> Result<Vec<Arc<str>>, Error> {
        Ok(Vec::new())
    }
}

/// What is on disk. Where an engine sees to that by itself, nothing is ever unsynchronised and there is no WAL.
pub trait Syncs {
    /// Whether something was committed that is not known to be on disk.
    fn is_unsynced(&self) -> bool;

    /// Says so: false before a checkpoint begins to synchronise what was committed, true where it
    /// could not.
    fn set_unsynced(&mut self, unsynced: bool);

    /// Copies what can be copied without waiting for readers. While the caller holds the store
    /// nobody commits, so nothing is left unless a reader still needs the old state.
    fn checkpoint(&mut self) -> Result<WalState, Error>;

    /// How long the WAL may get.
    fn wal_bounds(&self) -> WalBounds;

    /// Cuts the WAL to these bounds from now on, whenever it starts over.
    fn bound_wal(&mut self, bounds: WalBounds) -> Result<(), Error>;

    /// Commits nothing in particular, so that a WAL that was copied whole starts over and is cut to
    /// its limit though nobody else commits.
    fn start_wal_over(&mut self) -> Result<(), Error>;
}
