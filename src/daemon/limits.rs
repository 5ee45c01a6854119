//! Limits of the process: descriptors, one per request in flight and some for all the rest; threads,
//! enough of them to start; no core, which would hold secrets and bodies.

use std::io;
use std::thread::Builder;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::{api, page};

/// Descriptors for databases, the runtime, idle connections, and the clients of the socket.
const OTHER_FILES: u64 = 256 + api::DESCRIPTORS;

/// Threads that run futures: two do the work of today's loads, four leave room for TLS handshakes.
const THREADS: usize = 4;

/// Threads beside those that run futures: the outbox's reader, its writer, and one that may block.
/// More are had where the system gives them.
const OTHER_THREADS: usize = 3;

/// As small as a thread's stack gets: these do nothing.
const PROBE_STACK_BYTES: usize = 64 << 10;

/// How many threads run futures on this machine.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(1, THREADS)
}

/// Asks for no core. The hard limit stays, so that a person who wants one gets it by prlimit(1).
pub(super) fn forbid_core() {
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Core).maximum,
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may leave a core with secrets in it");
    }
}

/// Whether the system gives the threads that the daemon can't be without. The runtime panics where it
/// gets none, so it is better asked before.
///
/// # Errors
/// Why it does not.
pub(super) fn check_threads(workers: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        let shut = gate.lock();
        let threads: io::Result<Vec<_>> = (0..workers + OTHER_THREADS)
            .map(|_| {
                Builder::new()
                    .stack_size(PROBE_STACK_BYTES)
                    .spawn_scoped(scope, || drop(gate.lock()))
            })
            .collect();
        drop(shut);
        // Joined, for a thread counts until it has ended for the system as well.
        threads?.into_iter().for_each(|thread| drop(thread.join()));
        Ok(())
    })
}

/// Raises the number of open files to what the system lets this process have.
pub(super) fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of open files can't be raised");
    }
}

/// How many files this process may open.
pub(super) fn files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many requests may be in flight of those that the configuration wants.
pub(super) fn in_flight(config: &Config) -> usize {
    let wanted = config.delivery.max_in_flight;
    let has_port = config
        .page
        .as_ref()
        .is_some_and(|page| page.listen.is_some());
    let others = OTHER_FILES + if has_port { page::DESCRIPTORS } else { 0 };
    let most = usize::try_from(files().saturating_sub(others))
        .unwrap_or(usize::MAX)
        .max(1);
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            "max_in_flight is above what the limit of open files allows"
        );
    }
    wanted.min(most)
}
