//! The daemon: a configuration becomes a running pipeline, and stays one until a signal ends it.
//!
//! It reads like a checklist: configuration, lock, outbox, log, cursor, webhooks, follow, ready;
//! then signals; then stop, which flows like the data: no event is taken any more, no attempt
//! begins, what is in flight ends within its time-outs and is recorded, the log is synchronised.
//!
//! Knows no arguments and no terminal. What it has to say goes to the journal or is its `Error`.

mod claim;
mod clients;
mod differs;
mod error;
mod fixed;
mod found;
mod hangup;
mod holder;
mod judge;
mod limits;
mod listen;
mod lock;
mod look;
mod nodes;
mod notify;
mod opening;
mod patience;
mod predecessor;
mod refusal;
mod reload;
mod second;
mod shown;
mod stop;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use error::Error;
pub(crate) use judge::check;
pub(crate) use lock::Lock;
pub(crate) use nodes::Given;
pub(crate) use opening::{make_own_outbox, makes_outbox};

use crate::api::{self, Appending};
use crate::config::Config;
use crate::model::{Clock, crash};
use crate::pipeline::{Dispatch, Follow, Followed, Pace};
use crate::query;
use crate::store::{self, Checkpointer};
use crate::transport::{Client, Endpoint};
use hangup::{HangUp, HungUp};
use judge::{Asked, Judged, judge};
use listen::OwnSocket;
use opening::Opening;
use patience::StartupRetry;
use reload::Reload;
use shown::Shown;

/// Idle connections past their time are closed at this pace.
const SWEEP_IDLE: Duration = Duration::from_secs(5);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting or ended it. The configuration's own errors are in it, whole.
pub(crate) fn run(config_path: &Path, given: &Given) -> Result<(), Error> {
    limits::forbid_core();
    let client = Client::new(Clock::system());
    let judged = judge(config_path, &Asked::Start(given.socket.as_deref()), &client)?;
    limits::raise_files();
    let threads = limits::threads();
    limits::check_threads(threads).map_err(Error::Threads)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("webhooksd")
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let ended = runtime.block_on(serve(config_path, given, judged, client));
    runtime.shutdown_timeout(stop::EXIT);
    ended
}

/// What is running.
struct Running {
    dispatch: Arc<Dispatch<Client>>,
    follow: Follow,
    followed: oneshot::Receiver<Followed>,
    loops: JoinSet<Result<(), store::Error>>,
    stopped: oneshot::Sender<()>,
    served: JoinSet<()>,
    /// The thread that appends what clients send, where there are listeners.
    appending: Option<Appending>,
    /// Becomes true when no connection is accepted any more.
    closed: watch::Sender<bool>,
    own_socket: Option<OwnSocket>,
    reloads: mpsc::Receiver<api::Reload>,
    shown: Arc<Shown>,
    outbox: PathBuf,
    /// The outbox is not there yet.
    awaits: bool,
    /// Of a log in a file.
    _lock: Option<Lock>,
    /// Of one on a server.
    successor: Option<Arc<Mutex<predecessor::Successor>>>,
    /// Holds the outbox's lock.
    _opening: Opening,
}

async fn serve(
    config_path: &Path,
    given: &Given,
    mut judged: Judged,
    client: Client,
) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    reload::journal_warnings(&judged.config);
    let warnings = reload::warnings(&judged.config);
    judged.config.warnings = Vec::new();
    let Judged { config, endpoints } = judged;
    let config = Arc::new(config);
    let mut reload_wanted = false;
    let mut running = {
        let mut started = pin!(start((config_path, given), &config, endpoints, client));
        loop {
            tokio::select! {
                started = &mut started => break started?,
                _ = signals.stop.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                hung_up = signals.hang_up.next() => match hung_up {
                    HungUp::End => return Ok(()),
                    HungUp::Reload => reload_wanted = true,
                },
            }
        }
    };
    tracing::info!(
        outbox = &*config.outbox.path.to_string_lossy(),
        log = &*config.log.place.shown(),
        webhooks = config.webhooks.len(),
        version = env!("CARGO_PKG_VERSION"),
        "{}",
        if running.awaits {
            "ready: waiting for the outbox"
        } else {
            "ready: following the outbox"
        }
    );
    crash::point("start", "ready");
    running.dispatch.counters().warned(warnings);
    let of_clients = (running.dispatch.clone(), running.shown.clone());
    let mut reload = Reload::new(config_path, &config, given.socket.as_deref(), of_clients);
    // The dispatch and the page have it, and may be told to have another one.
    drop(config);
    if reload_wanted {
        reload.ask();
    }
    let ended = loop {
        tokio::select! {
            _ = signals.stop.recv() => break Ok(()),
            _ = signals.interrupt.recv() => break Ok(()),
            hung_up = signals.hang_up.next() => match hung_up {
                HungUp::Reload => reload.ask(),
                HungUp::End => {
                    tracing::info!("the terminal was closed");
                    break Ok(());
                }
            },
            Some(answer) = running.reloads.recv() => reload.ask_for_answer(answer),
            () = reload.step() => {}
            followed = &mut running.followed => break followed_on(followed),
            Some(ended) = running.loops.join_next() => break loop_ended(ended),
            // Who accepts connections ends before the stop by a panic only.
            Some(_) = running.served.join_next() => break Err(Error::Panicked),
            error = append_ended(&mut running.appending) => break Err(error),
        }
    };
    drop(reload);
    stop(running, &mut signals, ended).await
}

/// Makes everything, in the order in which one thing needs another.
async fn start(
    (config_path, given): (&Path, &Given),
    config: &Arc<Config>,
    endpoints: Vec<Endpoint>,
    client: Client,
) -> Result<Running, Error> {
    let clock = Clock::system();
    let mut patience = StartupRetry::new(&clock);
    let lock = patience
        .until_done(async || config.log.place.file().map(Lock::take).transpose())
        .await?;
    crash::point("start", "lock taken");
    let listeners = listen::listen(config).await?;
    let opening = Opening::new(config);
    let (store, found) = patience
        .until_done(async || found::open(config, given, &opening, &clock).await)
        .await?;
    let awaits = found.is_awaited();
    crash::point("start", "cursor settled");
    let checkpointer = patience.until_done(async || checkpointer(config)).await?;
    let me = store.me();
    let dispatch = Dispatch::new(
        store,
        client,
        clock,
        Pace::default(),
        Handle::current().into(),
    );
    let mut nodes = nodes::Nodes::join(me, config, &dispatch, &mut patience).await?;
    let mut endpoints = Some(endpoints);
    let direct = async || {
        dispatch.clamp().await.map_err(Error::Store)?;
        let endpoints = match endpoints.take() {
            Some(endpoints) => endpoints,
            None => reload::endpoints(dispatch.transport(), &config.webhooks)?,
        };
        let change = reload::change(config, endpoints);
        dispatch.reconfigure(change).await.map_err(Error::Store)
    };
    patience.until_done(direct).await?.tell_cancelled();
    // The webhooks that the log got to know by that.
    nodes.look_again(&dispatch, &mut patience).await?;
    let (stopped, ended) = oneshot::channel();
    let mut loops = loops(&dispatch);
    let successor = nodes.keep(&dispatch, &mut loops);
    loops.spawn(dispatch.clone().keep_durable(checkpointer, ended));
    let about = query::About {
        config: std::path::absolute(config_path).unwrap_or_else(|_| config_path.to_owned()),
        outbox: config.outbox.path.clone(),
        log: config.log.place.clone(),
        started_ms: dispatch.clock().now_ms(),
    };
    loops.spawn(notify::tell(dispatch.clone(), about.clone()));
    let (tell, followed) = oneshot::channel();
    let follow = found::follow(&dispatch, &opening, found, tell).map_err(Error::of_intake)?;
    let clients = clients::serve(about, &dispatch, config, listeners)?;
    Ok(Running {
        dispatch,
        follow,
        followed,
        loops,
        stopped,
        served: clients.served,
        appending: clients.appending,
        closed: clients.closed,
        own_socket: clients.own_socket,
        reloads: clients.reloads,
        shown: clients.shown,
        outbox: config.outbox.path.clone(),
        awaits,
        _lock: lock,
        successor,
        _opening: opening,
    })
}

/// What has the disk keep a log in a file; a server does that by itself.
fn checkpointer(config: &Config) -> Result<Option<Checkpointer>, Error> {
    let opened = config.log.place.file().map(Checkpointer::open);
    opened.transpose().map_err(Error::Store)
}

/// What goes on until the pipeline stops.
fn loops(dispatch: &Arc<Dispatch<Client>>) -> JoinSet<Result<(), store::Error>> {
    let mut loops = JoinSet::new();
    loops.spawn(dispatch.clone().record());
    loops.spawn(dispatch.clone().refill());
    loops.spawn(dispatch.clone().retain());
    loops.spawn(dispatch.clone().keep_small());
    loops.spawn(dispatch.clone().replay());
    loops.spawn(sweep_idle(dispatch.clone()));
    loops
}

/// Closes connections that have been idle for too long.
async fn sweep_idle(dispatch: Arc<Dispatch<Client>>) -> Result<(), store::Error> {
    let mut stop = dispatch.stopping();
    while tokio::time::timeout(SWEEP_IDLE, stop.wait_for(|stop| *stop))
        .await
        .is_err()
    {
        dispatch.each_endpoint(|endpoint| {
            endpoint.sweep_idle();
        });
    }
    Ok(())
}

/// Stops what runs; `ended` is why. Each wait has its bound, and what does not end in time keeps nothing
/// that comes behind it from being done.
async fn stop(
    mut running: Running,
    signals: &mut Signals,
    ended: Result<(), Error>,
) -> Result<(), Error> {
    crash::point("stop", "begun");
    let in_flight = running.dispatch.in_flight();
    tracing::info!(
        in_flight,
        "stopping: no event is taken any more, what is in flight may end"
    );
    drop(running.own_socket.take());
    running.shown.end();
    running.closed.send_replace(true);
    // Who waits for a reload is told at once that there will be none.
    running.reloads.close();
    while running.reloads.try_recv().is_ok() {}
    notify::stopping(in_flight);
    running.follow.stop();
    running.dispatch.stop();
    let dispatch = running.dispatch.clone();
    let successor = running.successor.take();
    let finished = async {
        let in_flight = dispatch.drained().await;
        crash::point("stop", "in flight ended");
        let lost = tokio::time::timeout(stop::RECORD, dispatch.recorded()).await;
        while running.served.join_next().await.is_some() {}
        stop::append_stopped(running.appending).await?;
        // The loop that is told may have failed already; its own result says so below.
        let _told: Result<(), ()> = running.stopped.send(());
        // Where the log took no results, a loop says so too, and less of what it means.
        let loops = tokio::time::timeout(stop::LOOPS, loops_ended(running.loops)).await;
        if loops.is_err() && in_flight == 0 && lost == Ok(0) {
            tracing::warn!(
                step = "synchronise the log",
                hint = "what was recorded is in its WAL; a crash of the machine may lose the last of it",
                "it takes too long; not waited for"
            );
        }
        crash::point("stop", "synchronised");
        if ended.is_ok() {
            let left = stop::leave_whole(running.outbox, running.followed);
            // What takes longer stays in the WAL, where it is as safe.
            drop(tokio::time::timeout(stop::WHOLE, left).await);
        }
        if lost != Ok(0) {
            return Err(Error::Unrecorded);
        }
        loops.unwrap_or(Ok(()))?;
        if in_flight > 0 {
            return Err(Error::Undrained { in_flight });
        }
        Ok(())
    };
    let finished = tokio::select! {
        finished = finished => finished,
        () = second::signal(dispatch.clock(), async || signals.any().await) => {
            Err(Error::Interrupted { in_flight: dispatch.in_flight() })
        }
    };
    if finished.is_ok() && ended.is_ok() {
        if let Some(successor) = successor {
            successor.lock().leave();
        }
        tracing::info!("stopped");
    }
    ended.and(finished)
}

/// Waits for the loops, which were told to stop. The first that failed says why.
async fn loops_ended(mut loops: JoinSet<Result<(), store::Error>>) -> Result<(), Error> {
    while let Some(ended) = loops.join_next().await {
        loop_result(ended)?;
    }
    Ok(())
}

/// The thread that appends ends before the stop by a panic only. Never ends where there is none.
async fn append_ended(appending: &mut Option<Appending>) -> Error {
    match appending {
        Some(thread) => {
            let _: bool = thread.ended().await;
            *appending = None;
            Error::Panicked
        }
        None => std::future::pending().await,
    }
}

/// The thread that follows the outbox ends by itself only when a person has to decide.
fn followed_on(followed: Result<Followed, oneshot::error::RecvError>) -> Result<(), Error> {
    match followed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::of_intake(error)),
        Err(_) => Err(Error::Panicked),
    }
}

type LoopEnded = Result<Result<(), store::Error>, tokio::task::JoinError>;

fn loop_result(ended: LoopEnded) -> Result<(), Error> {
    match ended {
        Ok(result) => result.map_err(Error::Store),
        Err(_) => Err(Error::Panicked),
    }
}

/// No loop ends before the pipeline is stopped, unless it failed.
fn loop_ended(ended: LoopEnded) -> Result<(), Error> {
    loop_result(ended).and(Err(Error::Panicked))
}

struct Signals {
    stop: Signal,
    interrupt: Signal,
    hang_up: HangUp,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Runtime);
        Ok(Self {
            stop: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: HangUp::new(Clock::system())?,
        })
    }

    /// Waits for a signal that asks for the end.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.stop.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
