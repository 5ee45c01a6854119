//! Limits of the process: one descriptor per request in flight, and some for all the rest.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::api;

/// Descriptors for databases, the runtime, idle connections, and the clients of the socket.
const OTHER_FILES: u64 = 256 + api::DESCRIPTORS;

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

/// How many requests may be in flight of those that the configuration wants.
pub(super) fn in_flight(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files.saturating_sub(OTHER_FILES))
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
