//! Reload: a new configuration for a pipeline that goes on running.
//!
//! A file with an error changes nothing. Reloads come one after the other; what is asked for
//! while one runs is one more afterwards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::{Error, limits, load, notify};
use crate::api;
use crate::config::{Config, Socket};
use crate::model::crash;
use crate::pipeline::{Change, Directed, Dispatch, Retention};
use crate::transport::{Client, Endpoint};

/// What only a restart changes: files, and who may connect to what.
#[derive(Clone, PartialEq, Eq)]
struct Fixed {
    outbox: PathBuf,
    log: PathBuf,
    socket: Option<Socket>,
    metrics: Option<SocketAddr>,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            outbox: config.outbox.path.clone(),
            log: config.log.path.clone(),
            socket: config.socket.clone(),
            metrics: config.metrics.map(|metrics| metrics.listen),
        }
    }

    /// The first setting that is another one there.
    fn differs(&self, new: &Self) -> Option<&'static str> {
        let of = |fixed: &Self| {
            let socket = fixed.socket.clone();
            socket.map_or((None, None, None), |s| {
                (Some(s.path), Some(s.mode), s.group)
            })
        };
        let (was, is) = (of(self), of(new));
        [
            ("[outbox] path", self.outbox == new.outbox),
            ("[log] path", self.log == new.log),
            ("[socket] path", was.0 == is.0),
            ("[socket] mode", was.1 == is.1),
            ("[socket] group", was.2 == is.2),
            ("[metrics] listen", self.metrics == new.metrics),
        ]
        .into_iter()
        .find_map(|(key, same)| (!same).then_some(key))
    }
}

type Underway = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The reloads of a running daemon.
pub(super) struct Reload {
    path: PathBuf,
    fixed: Fixed,
    dispatch: Arc<Dispatch<Client>>,
    asked: bool,
    /// Those who wait for the next reload's answer.
    waiting: Vec<api::Reload>,
    underway: Option<Underway>,
}

impl Reload {
    pub(super) fn new(path: &Path, config: &Config, dispatch: Arc<Dispatch<Client>>) -> Self {
        let fixed = Fixed::of(config);
        Self {
            path: path.to_owned(),
            fixed,
            dispatch,
            asked: false,
            waiting: Vec::new(),
            underway: None,
        }
    }

    /// Asks for a reload.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Asks for a reload, and for its answer.
    pub(super) fn ask_for_answer(&mut self, answer: api::Reload) {
        self.asked = true;
        self.waiting.push(answer);
    }

    /// Goes on with the reload; never ends where there is none. May be dropped between polls.
    pub(super) async fn step(&mut self) {
        if self.underway.is_none() && std::mem::take(&mut self.asked) {
            notify::reloading();
            let (path, fixed) = (self.path.clone(), self.fixed.clone());
            let (dispatch, waiting) = (self.dispatch.clone(), std::mem::take(&mut self.waiting));
            self.underway = Some(Box::pin(async move {
                let answer = reload(path, fixed, dispatch).await;
                for waiting in waiting {
                    // Who has gone reads it in the journal.
                    drop(waiting.send(answer.clone()));
                }
            }));
        }
        match &mut self.underway {
            Some(underway) => underway.await,
            None => std::future::pending().await,
        }
        self.underway = None;
        notify::ready();
    }
}

/// Returns what it did, or the report of why it did nothing.
async fn reload(
    path: PathBuf,
    fixed: Fixed,
    dispatch: Arc<Dispatch<Client>>,
) -> Result<Directed, String> {
    let counters = dispatch.clone();
    let counters = counters.counters();
    match try_reload(path, fixed, dispatch).await {
        Ok(directed) => {
            counters.reloaded(true);
            journal_cancelled(&directed);
            tracing::info!(webhooks = directed.active, "configuration reloaded");
            Ok(directed)
        }
        Err(error) => {
            counters.reloaded(false);
            let report = report(&error);
            report.lines().for_each(|line| tracing::error!("{line}"));
            tracing::error!("the configuration was not reloaded: the running one stays");
            Err(report)
        }
    }
}

/// An error with its cause and what can be done about it.
fn report(error: &Error) -> String {
    let mut report = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        report.push_str(": ");
        report.push_str(&cause.to_string());
    }
    if let Some(hint) = error.hint() {
        report.push_str("\nhint: ");
        report.push_str(&hint);
    }
    report
}

async fn try_reload(
    path: PathBuf,
    fixed: Fixed,
    dispatch: Arc<Dispatch<Client>>,
) -> Result<Directed, Error> {
    let making = dispatch.clone();
    let change = dispatch
        .with_blocking(move || {
            let config = load(&path)?;
            crash::point("reload", "configuration read");
            match fixed.differs(&Fixed::of(&config)) {
                Some(key) => Err(Error::Restart { key }),
                None => change(&making, &config),
            }
        })
        .await?;
    dispatch.direct(change).await.map_err(Error::Store)
}

/// Makes the endpoints of a configuration.
pub(super) fn change(
    dispatch: &Dispatch<Client>,
    config: &Config,
) -> Result<Change<Endpoint>, Error> {
    let mut webhooks = Vec::with_capacity(config.webhooks.len());
    dispatch.transport().read_trust_again();
    for webhook in &config.webhooks {
        let endpoint =
            dispatch
                .transport()
                .endpoint(webhook)
                .map_err(|source| Error::Endpoint {
                    webhook: webhook.name.to_string(),
                    source,
                })?;
        webhooks.push((Arc::new(webhook.clone()), endpoint));
    }
    Ok(Change {
        webhooks,
        tenant: config.tenant.as_deref().map(Arc::from),
        max_in_flight: limits::in_flight(config.delivery.max_in_flight),
        max_data_bytes: config.outbox.max_data_bytes,
        retention: Retention {
            log_days: config.log.keep_days,
            outbox_days: config.outbox.keep_days,
            outbox: config.outbox.path.clone(),
        },
    })
}

pub(super) fn journal_cancelled(directed: &Directed) {
    for (webhook, cancelled) in &directed.cancelled {
        tracing::warn!(
            webhook = &**webhook,
            cancelled,
            "pending deliveries cancelled: the webhook is inactive or has left the configuration"
        );
    }
}
