//! The rows of the table, in its order.
//!
//! Each measures one round of one build, starts what it needs and leaves nothing running; rounds,
//! turns and comparison are the driver's. Small pieces that several rows use are here.

mod backlog;
mod batch;
mod crowd;
mod dead;
mod emit;
mod filters;
mod history;
mod idle;
mod latency;
mod live;
mod many;
mod ordered;
mod postgres;

use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::build::Build;
use crate::config::{Config, Webhook};
use crate::figure::Figure;

/// What a round costs, which decides how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Seconds.
    Short,
    /// Up to a quarter of a minute.
    Middle,
    /// More; or much is written.
    Long,
}

/// A row of the table, or a few that are measured together.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) length: Length,
    /// Makes the folder that a build finds again in all its rounds.
    pub(crate) past: Option<fn(&mut Bench, &Build) -> PathBuf>,
    /// Measures, once a round, the rate that all builds are held against.
    pub(crate) ceiling: Option<fn(&mut Bench) -> f64>,
    pub(crate) measure: fn(&mut Bench, &Round<'_>) -> Vec<Figure>,
}

/// Whose turn it is.
pub(crate) struct Round<'a> {
    /// From 0: a row that compares within itself has its own turns by it.
    pub(crate) number: usize,
    pub(crate) build: &'a Build,
    pub(crate) ceiling: Option<f64>,
    pub(crate) past: Option<&'a Path>,
}

impl Round<'_> {
    /// A rate beside the ceiling of this round.
    fn of_ceiling(&self, rate: f64, what: &str) -> Figure {
        let ceiling = self.ceiling.expect("a ceiling");
        Figure::new(what, rate / ceiling, "", 2)
    }

    fn past(&self) -> &Path {
        self.past.expect("a folder with a past")
    }
}

const fn row(
    name: &'static str,
    about: &'static str,
    length: Length,
    measure: fn(&mut Bench, &Round<'_>) -> Vec<Figure>,
) -> Row {
    Row {
        name,
        about,
        length,
        past: None,
        ceiling: None,
        measure,
    }
}

impl Row {
    const fn beside(mut self, ceiling: fn(&mut Bench) -> f64) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    const fn after(mut self, past: fn(&mut Bench, &Build) -> PathBuf) -> Self {
        self.past = Some(past);
        self
    }
}

pub(crate) const ALL: &[Row] = &[
    row(
        "backlog",
        "backlog of 100,000 rows, one webhook, keep-alive, all logged",
        Length::Short,
        backlog::keep_alive,
    )
    .beside(|bench| backlog::bare(bench, backlog::plain)),
    row(
        "close",
        "50,000 rows with Connection: close",
        Length::Short,
        backlog::close,
    )
    .beside(|bench| backlog::bare(bench, backlog::plain_close)),
    row(
        "tls",
        "100,000 rows over TLS, keep-alive",
        Length::Short,
        backlog::tls,
    )
    .beside(|bench| backlog::bare(bench, backlog::secure)),
    row(
        "tls-close",
        "10,000 rows over TLS with Connection: close, sessions resumed",
        Length::Short,
        backlog::tls_close,
    )
    .beside(|bench| backlog::bare(bench, backlog::secure_close)),
    row(
        "fan-out",
        "10,000 events to 10 webhooks each",
        Length::Short,
        backlog::fan_out,
    )
    .beside(|bench| backlog::bare(bench, backlog::ten)),
    row(
        "trickle",
        "COMMIT returns to request arrives, 50 events/s",
        Length::Middle,
        latency::trickle,
    ),
    row(
        "stream",
        "the same at 5,000 events/s",
        Length::Middle,
        latency::stream,
    ),
    row(
        "silent",
        "healthy webhook beside 100 that never answer, 50 events/s",
        Length::Middle,
        crowd::silent,
    ),
    row(
        "hanging",
        "10,000 requests hanging",
        Length::Long,
        crowd::hanging,
    ),
    row(
        "live",
        "100 live pages of the log: a backlog of 100,000 rows, and 50 events/s",
        Length::Middle,
        live::live,
    ),
    row("idle", "idle for 20 seconds", Length::Long, idle::idle),
    row(
        "dead",
        "1,000,000 rows waiting behind a dead endpoint",
        Length::Long,
        dead::dead,
    ),
    row(
        "paused",
        "1,000,000 rows waiting behind a pause, which is ended then",
        Length::Long,
        dead::paused,
    ),
    row(
        "values",
        "the same in the order of 1,000,000 values",
        Length::Long,
        dead::values,
    ),
    row(
        "history",
        "30 days of events to three webhooks in the log, 5,000,000 attempts",
        Length::Middle,
        history::history,
    )
    .after(history::kept),
    row(
        "sweep",
        "1,000,000 expired attempts being swept",
        Length::Middle,
        history::sweep,
    )
    .after(history::expired),
    row(
        "many",
        "10,000 webhooks, of which one matches",
        Length::Middle,
        many::many,
    ),
    row(
        "filters",
        "where: three rules, and 1,000 webhooks of which one takes the event",
        Length::Short,
        filters::filters,
    ),
    row(
        "batch",
        "100,000 events in POSTs of up to 100, beside one by one",
        Length::Short,
        batch::batch,
    ),
    row(
        "ordered",
        "100,000 events in the order of 10,000 values, beside none",
        Length::Short,
        ordered::ordered,
    ),
    row(
        "emit",
        "emit - of 1,000,000 events",
        Length::Long,
        emit::emit,
    )
    .beside(emit::import),
    row(
        "postgres",
        "outbox and log in PostgreSQL: backlogs, latency, two nodes, the application's commits, idle",
        Length::Long,
        postgres::postgres,
    ),
];

/// One healthy webhook for the event "tick", with the arrival of each noted.
fn timed(bench: &Bench) -> Config {
    Config::new(vec![Webhook::new("healthy", bench.timed_url(), "tick")])
}

/// One webhook for the event "tick", on `/ok`.
fn one(bench: &Bench) -> Config {
    Config::new(vec![Webhook::new("main", bench.url("ok"), "tick")])
}
