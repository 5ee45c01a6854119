//! The one thread that appends to the outbox: what waits together is committed together.
//!
//! The daemon owns it: it watches that the thread moves while requests wait, ends where it panicked,
//! and waits for it at the stop.
//!
//! An fsync costs milliseconds and a row microseconds, so a hundred clients that each wait for their
//! own event share a commit. Whole requests stay whole: where one could break another's transaction
//! (several events with keys, of which one may conflict) it gets a transaction of its own.
//!
//! The outbox may be exchanged under our feet. Its identity is looked at before and after each
//! commit, so that no id is answered that went into a file that nobody reads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::model::{EventId, crash};
use crate::outbox::{self, AppendError, Appended, Appender, NewEvent, Tail, Trouble};
use crate::pipeline::{Dispatch, chain};
use crate::transport::Client;

/// Requests that wait for the thread: two for each connection there may be.
const WAITING: usize = 1_024;

/// Events in one transaction of several requests: 10 ms, so that one that comes next waits little.
const BATCH_EVENTS: usize = 2_048;

/// Bytes of data in one transaction of several requests.
const BATCH_BYTES: usize = 4 << 20;

/// A request that has waited so long is refused and not tried: its client tries again or has gone.
/// The outbox's own patience with the application's transactions, 5 s, comes on top.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why an event, or a request, was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotAppended {
    /// It breaks a rule.
    Item(String),
    /// Its key was seen with other content.
    Conflict(String),
    /// The outbox takes nothing now.
    Busy(String),
}

/// Whether the events of a request stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All or nothing.
    Whole,
    /// Each for itself.
    Each,
}

/// What came of each event.
pub(super) type Ids = Vec<Result<EventId, NotAppended>>;

struct Order {
    events: Vec<NewEvent>,
    mode: Mode,
    since: Instant,
    _waits: Waits,
    answer: oneshot::Sender<Result<Ids, NotAppended>>,
}

impl Order {
    /// Whether it may share a transaction: then none of its events can take back another's.
    fn shares(&self) -> bool {
        let free = self.mode == Mode::Each || self.events.len() <= 1;
        free || self.events.len() <= BATCH_EVENTS && self.events.iter().all(|e| e.key.is_none())
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.data.len()).sum()
    }

    fn reply(self, answer: Result<Ids, NotAppended>) {
        // A client that has gone is told nothing; what was durable stays so.
        drop(self.answer.send(answer));
    }
}

/// Counts a request as one that waits for as long as anybody holds it, so that a thread that stands
/// still is told from one that has nothing to do.
struct Waits(Arc<Dispatch<Client>>);

impl Waits {
    fn new(dispatch: &Arc<Dispatch<Client>>) -> Self {
        dispatch.counters().append_asked(dispatch.clock());
        Self(dispatch.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.counters().append_answered();
    }
}

/// The way to the thread.
pub(super) struct Append {
    orders: mpsc::Sender<Order>,
    dispatch: Arc<Dispatch<Client>>,
}

/// The thread, for its owner to wait for. It ends when nobody is left who could ask it for anything.
#[derive(Debug)]
pub struct Appending(oneshot::Receiver<()>);

impl Appending {
    /// Waits for the thread's end; whether it came to it by itself, and not by a panic. May be dropped
    /// between polls, and asked again until it has answered.
    pub async fn ended(&mut self) -> bool {
        (&mut self.0).await.is_ok()
    }
}

impl Append {
    pub(super) fn start(
        path: &Path,
        dispatch: &Arc<Dispatch<Client>>,
    ) -> io::Result<(Self, Appending)> {
        let (orders, waiting) = mpsc::channel(WAITING);
        // Dropped unsent by a panic.
        let (tell, ended) = oneshot::channel();
        let desk = Desk {
            path: path.to_owned(),
            dispatch: dispatch.clone(),
            outbox: None,
        };
        std::thread::Builder::new()
            .name("append".into())
            .spawn(move || {
                desk.run(waiting);
                // A daemon that is stopping may not wait any more.
                tell.send(()).unwrap_or_default();
            })?;
        let dispatch = dispatch.clone();
        Ok((Self { orders, dispatch }, Appending(ended)))
    }

    /// Appends, and waits until it is durable.
    pub(super) async fn append(
        &self,
        events: Vec<NewEvent>,
        mode: Mode,
    ) -> Result<Ids, NotAppended> {
        let (answer, answered) = oneshot::channel();
        let order = Order {
            events,
            mode,
            since: self.dispatch.clock().instant(),
            _waits: Waits::new(&self.dispatch),
            answer,
        };
        // The thread has gone: by a panic, which ends the daemon.
        let stopping = || busy("the daemon is stopping");
        match self.orders.send_timeout(order, LONGEST_WAIT).await {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(stopping())),
            Err(SendTimeoutError::Timeout(_)) => Err(busy("too many requests wait for the outbox")),
            Err(SendTimeoutError::Closed(_)) => Err(stopping()),
        }
    }
}

fn busy(words: &str) -> NotAppended {
    NotAppended::Busy(words.into())
}

/// The thread's own.
struct Desk {
    path: PathBuf,
    dispatch: Arc<Dispatch<Client>>,
    outbox: Option<(Tail, Appender)>,
}

impl Desk {
    fn run(mut self, mut waiting: mpsc::Receiver<Order>) {
        let mut next = waiting.blocking_recv();
        while let Some(first) = next.take() {
            let mut batch = vec![first];
            next = gather(&mut batch, &mut waiting);
            self.serve(batch);
            self.moved();
            if next.is_none() {
                next = waiting.blocking_recv();
            }
        }
    }

    /// To be said after whatever may wait for the application's transactions.
    fn moved(&self) {
        self.dispatch.counters().append_moved(self.dispatch.clock());
    }

    fn serve(&mut self, mut batch: Vec<Order>) {
        let now = self.dispatch.clock().instant();
        let late = |order: &mut Order| now.saturating_duration_since(order.since) > LONGEST_WAIT;
        for order in batch.extract_if(.., late) {
            order.reply(Err(busy("the outbox is busy with other writers")));
        }
        if batch.is_empty() {
            return;
        }
        let done = self.open().and_then(|()| {
            self.moved();
            let answers = self.commit(&mut batch)?;
            self.check_companions()?;
            match &self.outbox {
                Some((tail, _)) if tail.replaced() => Err(busy("the outbox was replaced")),
                _ => Ok(answers),
            }
        });
        match done {
            Ok(answers) => {
                crash::point("append", "before the answer");
                for (order, answer) in batch.into_iter().zip(answers) {
                    order.reply(answer);
                }
            }
            Err(refusal) => {
                for order in batch {
                    order.reply(Err(refusal.clone()));
                }
            }
        }
    }

    /// Refuses where the outbox's companions are no longer those that are open: the intake sees the
    /// same, and ends the daemon unless they come back.
    fn check_companions(&self) -> Result<(), NotAppended> {
        let Some((tail, appender)) = &self.outbox else {
            return Ok(());
        };
        let now = self.dispatch.clock().instant().into_std();
        tail.check_companions(now, false).map_err(|error| {
            appender.abandon();
            refusal(&error)
        })
    }

    /// Opens the outbox that is under the path now.
    fn open(&mut self) -> Result<(), NotAppended> {
        self.check_companions()?;
        let retention = self.dispatch.running().retention();
        if let Some(server) = retention.outbox_server {
            let trouble = Trouble::sqlite_only(&server, "taking events over the socket");
            return Err(NotAppended::Item(chain(&outbox::Error::Server(trouble))));
        }
        let max_data_bytes = self.dispatch.max_data_bytes();
        if let Some((_, appender)) = self.outbox.as_mut().filter(|(tail, _)| !tail.replaced()) {
            appender.limit_data(max_data_bytes);
            return Ok(());
        }
        self.outbox = None;
        let open = || {
            let tail = Tail::open(&self.path, max_data_bytes)?;
            let appender = Appender::open(&self.path, max_data_bytes)?;
            Ok((tail, appender))
        };
        self.outbox = Some(open().map_err(|error| refusal(&error))?);
        Ok(())
    }

    /// One transaction for the batch, or one for its only order. An order that breaks a rule leaves
    /// the batch's transaction before it is tried again.
    fn commit(
        &mut self,
        batch: &mut [Order],
    ) -> Result<Vec<Result<Ids, NotAppended>>, NotAppended> {
        let Some((_, appender)) = &mut self.outbox else {
            return Err(busy("the outbox is not open"));
        };
        if let [only] = batch
            && !only.shares()
        {
            return match appender.append_all(&only.events) {
                Ok(appended) => Ok(vec![Ok(appended.into_iter().map(id_of).collect())]),
                Err(AppendError::Outbox(error)) => Err(refusal(&error)),
                Err(error @ AppendError::Item { .. }) => {
                    Ok(vec![Err(NotAppended::Item(error.to_string()))])
                }
                Err(error @ AppendError::Conflict { .. }) => {
                    Ok(vec![Err(NotAppended::Conflict(error.to_string()))])
                }
            };
        }
        let sizes: Vec<usize> = batch.iter().map(|order| order.events.len()).collect();
        let modes: Vec<Mode> = batch.iter().map(|order| order.mode).collect();
        let events: Vec<NewEvent> = batch
            .iter_mut()
            .flat_map(|order| std::mem::take(&mut order.events))
            .collect();
        match together(appender, &events, &sizes, &modes) {
            Ok(answers) => Ok(answers),
            // A rule of the application's own table, perhaps: it must cost only who breaks it.
            Err(error) if batch.len() > 1 && !error.is_busy() => {
                let mut events = events.into_iter();
                for (order, size) in batch.iter_mut().zip(sizes) {
                    order.events = events.by_ref().take(size).collect();
                }
                let each = batch.iter_mut().map(std::slice::from_mut);
                let answers = each.map(|order| {
                    self.moved();
                    match self.commit(order) {
                        Ok(answers) => answers.into_iter().next().unwrap_or(Ok(Ids::new())),
                        Err(refusal) => Err(refusal),
                    }
                });
                Ok(answers.collect())
            }
            Err(error) => Err(refusal(&error)),
        }
    }
}

/// One transaction for orders that may share it.
fn together(
    appender: &mut Appender,
    events: &[NewEvent],
    sizes: &[usize],
    modes: &[Mode],
) -> Result<Vec<Result<Ids, NotAppended>>, outbox::Error> {
    let mut faults: Vec<Option<NotAppended>> = vec![None; events.len()];
    let appended = match appender.append(events) {
        Ok(appended) => appended,
        Err(AppendError::Outbox(error)) => return Err(error),
        Err(AppendError::Item { .. } | AppendError::Conflict { .. }) => {
            faults = judge(appender, events, sizes, modes);
            let sound = events.iter().zip(&faults).filter(|(_, f)| f.is_none());
            let sound: Vec<NewEvent> = sound.map(|(event, _)| event.clone()).collect();
            match appender.append(&sound) {
                Ok(appended) => appended,
                Err(AppendError::Outbox(error)) => return Err(error),
                // What was judged sound is sound: none was added, and each is told so.
                Err(AppendError::Item { .. } | AppendError::Conflict { .. }) => Vec::new(),
            }
        }
    };
    let mut appended = appended.into_iter();
    let mut each = faults.into_iter().map(|fault| match fault {
        Some(fault) => Err(fault),
        None => appended.next().map_or_else(
            || Err(busy("the outbox did not answer for each event")),
            id_of,
        ),
    });
    let answers = sizes.iter().zip(modes).map(|(size, mode)| {
        let ids: Ids = each.by_ref().take(*size).collect();
        match ids.iter().find_map(|id| id.as_ref().err()) {
            Some(fault) if *mode == Mode::Whole => Err(fault.clone()),
            _ => Ok(ids),
        }
    });
    Ok(answers.collect())
}

/// Adds what waits and may share; returns the first that may not.
fn gather(batch: &mut Vec<Order>, waiting: &mut mpsc::Receiver<Order>) -> Option<Order> {
    let first = batch.first()?;
    if !first.shares() {
        return None;
    }
    let (mut events, mut bytes) = (first.events.len(), first.bytes());
    while events < BATCH_EVENTS && bytes < BATCH_BYTES {
        let next = waiting.try_recv().ok()?;
        if !next.shares() {
            return Some(next);
        }
        events += next.events.len();
        bytes += next.bytes();
        batch.push(next);
    }
    None
}

/// What is wrong with each event; where an order stands together, with all of it.
fn judge(
    appender: &Appender,
    events: &[NewEvent],
    sizes: &[usize],
    modes: &[Mode],
) -> Vec<Option<NotAppended>> {
    let mut faults = Vec::with_capacity(events.len());
    let mut rest = events;
    for (size, mode) in sizes.iter().zip(modes) {
        let (mine, others) = rest.split_at(*size);
        rest = others;
        let fault_of = |(index, event): (usize, &NewEvent)| {
            let (field, reason) = appender.check(event).err()?;
            Some(NotAppended::Item(match mode {
                Mode::Whole => AppendError::Item {
                    index,
                    field,
                    reason,
                }
                .to_string(),
                Mode::Each => format!("{field} {reason}"),
            }))
        };
        let mut found: Vec<_> = mine.iter().enumerate().map(fault_of).collect();
        if *mode == Mode::Whole
            && let Some(first) = found.iter().flatten().next().cloned()
        {
            found.fill(Some(first));
        }
        faults.append(&mut found);
    }
    faults
}

fn id_of(appended: Appended) -> Result<EventId, NotAppended> {
    match appended {
        Appended::New(id) | Appended::Again(id) => Ok(id),
        Appended::Conflict(id) => Err(NotAppended::Conflict(format!(
            "key was given before, to event {id}, with other content"
        ))),
    }
}

/// The outbox's trouble, with its causes, for the client.
fn refusal(error: &outbox::Error) -> NotAppended {
    let words = chain(error);
    tracing::warn!(
        error = words,
        "the outbox does not take events from the socket"
    );
    NotAppended::Busy(words)
}
