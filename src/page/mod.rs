//! The page: the log in a browser, rendered here; a little script of its own adds live rows, keys and copying.
//!
//! `serve` takes connections and keeps them within limits, `route` finds what answers a request, `door` lets
//! in who has the address that was printed, `look` reads the log, `view` makes HTML of what was read. A
//! template escapes whatever it is given; what endpoints and applications wrote goes through `model::shown`
//! besides, so that nothing of it hides. `act` makes orders of forms, `live` sends rows as they come. Each view is bounded: in rows looked through, in rows shown, in bytes
//! of a body, and the log is opened for reading alone. Left out: the address and its token, and the way to the
//! daemon, which are those of the command and of the daemon itself.

mod act;
mod also;
mod answer;
mod diff;
mod disk;
mod door;
mod export;
mod form;
mod live;
mod look;
mod many;
mod once;
mod order;
mod question;
mod route;
mod serve;
mod stanza;
mod streams;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

pub(crate) use act::GiveOrder;
pub(crate) use answer::{Events, Nowhere};
pub(crate) use door::{CHANCE_BYTES, Door};
pub(crate) use order::Order;
pub(crate) use question::Question;
pub(crate) use route::answer;
pub(crate) use serve::{DESCRIPTORS, serve};

use disk::OnDisk;
use once::Once;
use streams::Live;

use crate::config::Config;
use crate::model::Clock;

/// Looks into the log at a time; more wait for their turn.
const LOOKS: usize = 4;

/// Orders at a time: one may take half a minute.
const ORDERS: usize = 8;

/// What the page shows.
pub(crate) struct Page {
    /// Who is let in; `None`: whoever can ask.
    pub door: Option<Arc<Door>>,
    /// Names by which it may be asked for, in lower case, beside those of loopback.
    pub hosts: Vec<String>,
    /// What is looked at.
    pub source: Source,
    /// The time.
    pub clock: Clock,
    /// What it shares with the other pages of the process.
    pub shared: Arc<Shared>,
    /// The order of the overview's webhooks, where finding it takes long.
    pub order: Order,
}

/// The page of the moment: a reload makes another one. It is served until the sender is gone.
pub(crate) type Pages = watch::Receiver<Arc<Page>>;

/// What all pages of a process share: how much is done at a time, which forms have acted, and the streams.
pub(crate) struct Shared {
    looks: Semaphore,
    orders: Semaphore,
    live: Arc<Live>,
    disk: OnDisk,
    once: Once,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            looks: Semaphore::new(LOOKS),
            orders: Semaphore::new(ORDERS),
            live: Arc::default(),
            disk: OnDisk::default(),
            once: Once::default(),
        }
    }
}

impl Page {
    /// A mark for a form that acts.
    fn mark(&self) -> String {
        self.shared.once.mark(&self.clock)
    }
}

impl Shared {
    /// Ends the streams, whose browsers may begin others.
    pub(crate) fn cut(&self) {
        self.live.cut();
    }

    /// Ends the streams for good.
    pub(crate) fn end(&self) {
        self.live.end();
    }
}

/// What is looked at.
pub(crate) enum Source {
    /// The log of a configuration, and its daemon.
    Own {
        /// The configuration by which the page was made.
        config: Arc<Config>,
        /// Its file; `None` where new webhooks are not tried out.
        file: Option<PathBuf>,
        /// A question to the daemon.
        ask: Question,
        /// Orders to it; `None` where the page only shows.
        give: Option<GiveOrder>,
    },
    /// A log by its path, without configuration or daemon.
    Copy(PathBuf),
}
