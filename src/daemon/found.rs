//! What a start finds of the outbox, and who follows it: of a file now or once it is there, or of a server.

use std::cell::{RefCell, RefMut};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use super::nodes::{self, Given};
use super::opening::{self, Opening};
use crate::config::Config;
use crate::model::{Clock, Cursor, LogPlace, Server};
use crate::outbox::{Tail, postgres};
use crate::pipeline::{self, Dispatch, Follow, Followed, Intake, IntakeError};
use crate::store::{self, LogWriter};
use crate::transport::Client;

/// What was found.
pub(super) enum Found {
    /// A file, and where to go on in it.
    File(Box<(Tail, Cursor)>),
    /// Neither file nor table yet.
    Awaited,
    /// A server whose log several nodes share: who leads connects.
    Shared(Arc<Server>),
    /// A server, with a connection where it is not away.
    Server(Arc<Server>, Option<Box<(postgres::Tail, Cursor)>>),
}

impl Found {
    /// Whether it is still to come.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited | Self::Server(_, None))
    }
}

/// Opens outbox and log and settles where to go on.
pub(super) async fn open(
    config: &Config,
    given: &Given,
    opening: &Opening,
    clock: &Clock,
) -> Result<(Box<dyn LogWriter>, Found), Error> {
    let Some(server) = config.outbox.server.clone() else {
        return open_file(config, opening, clock);
    };
    let (config, given, now_ms) = (config.clone(), given.clone(), clock.now_ms());
    // What asks a server blocks, and drives a runtime of its own.
    let opened = tokio::task::spawn_blocking(move || open_server(&config, &given, &server, now_ms));
    opened.await.unwrap_or(Err(Error::Panicked))
}

/// The server as it is read from for this log, which shows in its name there.
pub(super) fn read_for(config: &Config, server: &Arc<Server>) -> Arc<Server> {
    let (machine, log) = match &config.log.place {
        LogPlace::File(log) => (
            // Without one, two machines that have the log under the same path are taken for one.
            std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(),
            std::path::absolute(log).unwrap_or_else(|_| log.clone()),
        ),
        // Nodes of one log are one reader.
        LogPlace::Server(log) => (String::new(), log.shown.clone().into()),
    };
    Arc::new(Server {
        application_name: postgres::reader_name(server, &machine, &log),
        ..Server::clone(server)
    })
}

fn open_server(
    config: &Config,
    given: &Given,
    server: &Arc<Server>,
    now_ms: i64,
) -> Result<(Box<dyn LogWriter>, Found), Error> {
    let server = read_for(config, server);
    let mut tail = match postgres::Tail::open(&server, config.outbox.max_data_bytes) {
        Ok(tail) => Some(tail),
        Err(error) if error.may_pass() => None,
        Err(error) => return Err(Error::Outbox(error)),
    };
    if let (Some(tail), LogPlace::Server(log)) = (&mut tail, &config.log.place) {
        judge(tail, &server, log)?;
    }
    let store = open_log(config, given, now_ms)?;
    if config.log.place.server().is_some() {
        // Another node may be taking events in just now: who leads settles where to go on.
        return Ok((store, Found::Shared(server)));
    }
    let Some(mut tail) = tail else {
        return Ok((store, Found::Server(server, None)));
    };
    let log = RefCell::new(store);
    let mut locked = || RefMut::map(log.borrow_mut(), |log| &mut **log);
    let settled = pipeline::settle_in(&mut tail, &server, &mut locked, now_ms);
    let store = log.into_inner();
    match settled {
        Ok(cursor) => {
            let found = Some(Box::new((tail, cursor)));
            Ok((store, Found::Server(server, found)))
        }
        // It went away between two questions.
        Err(IntakeError::Outbox(error)) if error.may_pass() => {
            Ok((store, Found::Server(server, None)))
        }
        Err(error) => Err(Error::of_intake(error)),
    }
}

/// Refuses an outbox that is not the one which a shared log has followed, before anything that is pending is sent: who leads
/// settles it later, and is somebody else where this node is not alone.
fn judge(tail: &mut postgres::Tail, server: &Server, log: &Arc<Server>) -> Result<(), Error> {
    // What is wrong with the log is said where that is opened.
    let Ok(known) = store::look_at(log) else {
        return Ok(());
    };
    match pipeline::settle(tail, server, known) {
        Ok(_) => Ok(()),
        Err(IntakeError::Outbox(error)) if error.may_pass() => Ok(()),
        Err(error) => Err(Error::of_intake(error)),
    }
}

/// Opens outbox and log and settles where to go on; without an outbox where it is still to come.
fn open_file(
    config: &Config,
    opening: &Opening,
    clock: &Clock,
) -> Result<(Box<dyn LogWriter>, Found), Error> {
    let tail = match opening.open() {
        Ok(tail) => Some(tail),
        Err(error) if error.is_awaited() => None,
        Err(error) => return Err(Error::Outbox(error)),
    };
    let now_ms = clock.now_ms();
    let mut store = open_log(config, &Given::default(), now_ms)?;
    let Some(mut tail) = tail else {
        return Ok((store, Found::Awaited));
    };
    let cursor =
        opening::resolve_cursor(&mut tail, &mut *store, now_ms).map_err(Error::of_intake)?;
    Ok((store, Found::File(Box::new((tail, cursor)))))
}

fn open_log(config: &Config, given: &Given, now_ms: i64) -> Result<Box<dyn LogWriter>, Error> {
    let name = given.node.clone().unwrap_or_else(nodes::host);
    store::write_log(&config.log.place, &name, now_ms).map_err(Error::Store)
}

/// Follows the outbox that was found, or will be.
pub(super) fn follow(
    dispatch: &Arc<Dispatch<Client>>,
    opening: &Opening,
    found: Found,
    tell: oneshot::Sender<Followed>,
) -> Result<Follow, IntakeError> {
    let ended = move |ended| drop(tell.send(ended));
    let path = opening.path().to_owned();
    match found {
        Found::File(found) => {
            let (tail, cursor) = *found;
            let intake = Intake::new(dispatch.clone(), tail, cursor);
            return pipeline::follow(intake, path, opening.keep(), ended);
        }
        Found::Server(server, tail) => {
            let tail = tail.map(|tail| *tail);
            return pipeline::follow_server(dispatch.clone(), server, tail, ended);
        }
        Found::Shared(server) => {
            return pipeline::follow_shared(dispatch.clone(), server, ended);
        }
        Found::Awaited => {}
    }
    let (claim, opening, of_log) = (opening.keep(), opening.clone(), dispatch.clone());
    let open = move || {
        let mut tail = opening.open().map_err(IntakeError::Outbox)?;
        let now_ms = of_log.clock().now_ms();
        let cursor = opening::resolve_cursor(&mut tail, &mut *of_log.store(), now_ms)?;
        Ok((tail, cursor))
    };
    pipeline::follow_later(dispatch.clone(), path, (open, claim), ended)
}
