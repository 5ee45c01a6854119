//! Whether a start or a reload would be refused: one judgement for `run`, `reload` and `check`.
//!
//! What the file says is judged first, then what it leads to. A start and a reload stop where something
//! is wrong with the first; the databases and sockets they then open for good, and what refuses them there
//! is one of [`Error`]'s variants. `check` opens nothing for good and asks the same questions by looking
//! ([`look`](super::look)), so that each of those refusals is an error with its line and column before a
//! restart meets it. What a start waits for is a warning.

use std::panic::resume_unwind;
use std::path::Path;

use super::fixed::Fixed;
use super::look::Looking;
use super::refusal::note;
use super::{Error, limits, listen, lock};
use crate::config::{self, Config, Draft, Key, SecretsWanted};
use crate::model::Clock;
use crate::pipeline::chain;
use crate::transport::{self, Client, Endpoint, Part};

/// A configuration that nothing is known against, and its endpoints in the order of its webhooks.
pub(super) struct Judged {
    pub(super) config: Config,
    pub(super) endpoints: Vec<Endpoint>,
}

/// Who asks.
pub(super) enum Asked<'a> {
    /// A start, which opens everything for good once this is passed; with the socket that was named, if one was.
    Start(Option<&'a Path>),
    /// A reload of a daemon that was started with these.
    Reload(&'a Fixed),
    /// Somebody who wants to know before.
    Check,
}

impl Asked<'_> {
    /// The socket that was named when the daemon was started.
    fn socket(&self) -> Option<&Path> {
        match self {
            Self::Start(socket) => *socket,
            Self::Reload(fixed) => fixed.named_socket(),
            Self::Check => None,
        }
    }
}

/// Judges a configuration file. The endpoints are of that client.
///
/// # Errors
/// The file can't be read, or the report of all that is wrong.
pub(super) fn judge(path: &Path, asked: &Asked<'_>, client: &Client) -> Result<Judged, Error> {
    let secrets = match asked {
        Asked::Check => SecretsWanted::Check,
        Asked::Start(_) | Asked::Reload(_) => SecretsWanted::Read,
    };
    let draft = config::load_draft(path, secrets, &transport::check_ca);
    let mut draft = draft.map_err(Error::Config)?;
    if let Some(path) = asked.socket() {
        draft.move_socket(path);
    }
    let endpoints = endpoints(&mut draft, client);
    match asked {
        Asked::Start(_) => {}
        Asked::Reload(fixed) => restart(&mut draft, fixed),
        Asked::Check => look(&mut draft, path),
    }
    let config = draft.finish().map_err(config::LoadError::from);
    Ok(Judged {
        config: config.map_err(Error::Config)?,
        endpoints,
    })
}

/// Runs what reads the file on a thread of its own. The allocator gives a thread memory that it keeps: each of the
/// runtime's threads that had once read ten thousand webhooks kept thirty megabytes, where now the next thread
/// takes over what this one leaves.
///
/// # Errors
/// No thread can be made, or the call's own.
pub(super) fn apart<R: Send>(call: impl FnOnce() -> Result<R, Error> + Send) -> Result<R, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("configuration".into());
        let thread = thread.spawn_scoped(scope, call).map_err(Error::Threads)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Judges a configuration file for somebody who wants to know what a start or a reload would say.
/// Nothing is made, bound or connected to.
///
/// # Errors
/// The file can't be read, or the report of all that is wrong.
pub(crate) fn check(path: &Path) -> Result<Config, Error> {
    let client = Client::new(Clock::system());
    judge(path, &Asked::Check, &client).map(|judged| judged.config)
}

/// Makes the endpoints, and notes those that can't be made.
fn endpoints(draft: &mut Draft, client: &Client) -> Vec<Endpoint> {
    client.read_trust_again();
    let mut endpoints = Vec::with_capacity(draft.config().webhooks.len());
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let now_ms = client.now_ms();
    for (place, webhook) in draft.config().webhooks.iter().enumerate() {
        match client.endpoint(webhook) {
            Ok(endpoint) => {
                let found = endpoint.warnings(now_ms).into_iter();
                warnings.extend(found.map(|found| (place, found)));
                endpoints.push(endpoint);
            }
            Err(error) => faults.push((place, error)),
        }
    }
    for (place, error) in faults {
        let key = match &error {
            transport::Error::Ca { .. } => Key::CaFile(place),
            transport::Error::Client { part, .. } => match part {
                Part::Certificate => Key::ClientCert(place),
                Part::Key => Key::ClientSecret(place),
            },
            _ => Key::Url(place),
        };
        let fix = error.hint().unwrap_or("give the webhook another url");
        draft.error(key, chain(&error), fix);
    }
    for (place, (message, fix)) in warnings {
        draft.warning(Key::ClientCert(place), message, fix);
    }
    endpoints
}

/// Notes the settings that only a restart changes.
fn restart(draft: &mut Draft, fixed: &Fixed) {
    for (key, name) in fixed.differing(&Fixed::of(draft.config())) {
        let message = format!("{name} is another one than at the start");
        draft.error(key, message, "restart the service to change it");
    }
    let config = draft.config();
    let Some(address) = config.page.as_ref().and_then(|page| page.listen) else {
        return;
    };
    if !fixed.has_clients() {
        draft.error(
            Key::Page,
            "[page] listen is new, and the daemon was started with nothing that answers clients",
            "restart the service to have the page",
        );
    } else if fixed.page() != Some(address)
        && let Err(source) = listen::may_listen(address)
    {
        note(draft, Key::Page, &Error::Page { address, source });
    }
}

/// Looks at everything that a start would open.
fn look(draft: &mut Draft, path: &Path) {
    let config = draft.config();
    let daemon = config.log.place.file().and_then(lock::of_log);
    if let Err(source) = limits::check_threads(limits::threads()) {
        note(draft, Key::File, &Error::Threads(source));
    }
    let mut looking = Looking::new(path, daemon);
    looking.socket(draft);
    looking.ports(draft);
    let known = looking.log(draft);
    looking.outbox(draft, known);
    looking.running(draft);
}
