//! The page: the log in a browser, rendered here, without a script.
//!
//! `serve` takes connections and keeps them within limits, `route` finds what answers a request, `door` lets
//! in who has the address that was printed, `look` reads the log, `view` makes HTML of what was read. A
//! template escapes whatever it is given; what endpoints and applications wrote goes through `model::shown`
//! besides, so that nothing of it hides. `act` makes orders of forms. Each view is bounded: in rows looked through, in rows shown, in bytes
//! of a body, and the log is opened for reading alone. Left out: the address and its token, and the way to the
//! daemon, which are the command's.

mod act;
mod also;
mod answer;
mod diff;
mod door;
mod export;
mod form;
mod look;
mod many;
mod route;
mod serve;
mod stanza;
mod view;

use std::path::PathBuf;

pub(crate) use act::GiveOrder;
pub(crate) use door::{CHANCE_BYTES, Door};
pub(crate) use serve::serve;

use crate::config::Config;
use crate::model::Clock;
use crate::query::Status;

/// Asks the daemon how it is; an error is why it did not answer.
pub(crate) type AskDaemon = Box<dyn Fn() -> Result<Status, String> + Send + Sync>;

/// What the page shows.
pub(crate) struct Page {
    /// Who is let in.
    pub door: Door,
    /// What is looked at.
    pub source: Source,
    /// The time.
    pub clock: Clock,
}

/// What is looked at.
pub(crate) enum Source {
    /// The log of a configuration, and its daemon.
    Own {
        /// The configuration as it was when the page began.
        config: Box<Config>,
        /// Its file; `None` where new webhooks are not tried out.
        file: Option<PathBuf>,
        /// A question to the daemon.
        ask: AskDaemon,
        /// Orders to it; `None` where the page only shows.
        give: Option<GiveOrder>,
    },
    /// A log by its path, without configuration or daemon.
    Copy(PathBuf),
}
