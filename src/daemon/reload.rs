//! Reload: a new configuration for a pipeline that goes on running.
//!
//! A file with an error changes nothing. Reloads come one after the other; what is asked for
//! while one runs is one more afterwards.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fixed::Fixed;
use super::judge::{Asked, apart, judge};
use super::shown::Shown;
use super::{Error, limits, nodes, notify};
use crate::api;
use crate::config::{Config, Diagnostic, LoadError, Severity};
use crate::model::{Webhook, crash};
use crate::pipeline::{Applied, Dispatch, PipelineConfig, Retention, chain};
use crate::transport::{Client, Endpoint};

/// Errors, and warnings, that are kept of a file for who asks afterwards: more are not read at once.
const REMARKS: usize = 10;

type Underway = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The reloads of a running daemon.
pub(super) struct Reload {
    path: PathBuf,
    fixed: Arc<Mutex<Fixed>>,
    dispatch: Arc<Dispatch<Client>>,
    shown: Arc<Shown>,
    asked: bool,
    /// Those who wait for the next reload's answer.
    waiting: Vec<api::Reload>,
    underway: Option<Underway>,
}

impl Reload {
    /// The reloads of what was started with that configuration.
    pub(super) fn new(
        path: &Path,
        config: &Config,
        socket: Option<&Path>,
        (dispatch, shown): (Arc<Dispatch<Client>>, Arc<Shown>),
    ) -> Self {
        let fixed = Fixed::at_start(config, shown.can(), socket);
        Self {
            path: path.to_owned(),
            fixed: Arc::new(Mutex::new(fixed)),
            dispatch,
            shown,
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
            let of_clients = (self.dispatch.clone(), self.shown.clone());
            let waiting = std::mem::take(&mut self.waiting);
            self.underway = Some(Box::pin(async move {
                let answer = reload(path, fixed, of_clients).await;
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
    fixed: Arc<Mutex<Fixed>>,
    of_clients: (Arc<Dispatch<Client>>, Arc<Shown>),
) -> Result<Applied, String> {
    let counters = of_clients.0.clone();
    let now_ms = counters.clock().now_ms();
    let counters = counters.counters();
    match try_reload(path, fixed, of_clients).await {
        Ok(directed) => {
            counters.reloaded(Ok(()), now_ms);
            directed.tell_cancelled();
            tracing::info!(webhooks = directed.active, "configuration reloaded");
            Ok(directed)
        }
        Err(error) => {
            counters.reloaded(Err(refusal(&error)), now_ms);
            let report = report(&error);
            journal_error(&error, &report);
            tracing::error!("the configuration was not reloaded: the running one stays");
            Err(report)
        }
    }
}

/// Why a reload was refused, for who asks afterwards: each error of the file for itself.
fn refusal(error: &Error) -> Vec<String> {
    match error {
        Error::Config(LoadError::Report(all)) => {
            let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
            remarks(all.diagnostics.iter().filter(is_error), all.more)
        }
        _ => vec![report(error)],
    }
}

/// What the configuration warns of, for who asks afterwards.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    remarks(config.warnings.iter(), 0)
}

/// The first of them, and how many others there are.
fn remarks<'a>(all: impl Iterator<Item = &'a Diagnostic>, more: usize) -> Vec<String> {
    let mut told = Vec::new();
    let mut left_out = more;
    for one in all {
        if told.len() < REMARKS {
            told.push(one.to_string());
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        told.push(format!("and {left_out} more: `webhooksd check` says all"));
    }
    told
}

/// An error with its causes and what can be done about it.
fn report(error: &Error) -> String {
    let mut report = chain(error);
    if let Some(hint) = error.hint() {
        report.push_str("\nhint: ");
        report.push_str(&hint);
    }
    report
}

async fn try_reload(
    path: PathBuf,
    fixed: Arc<Mutex<Fixed>>,
    (dispatch, shown): (Arc<Dispatch<Client>>, Arc<Shown>),
) -> Result<Applied, Error> {
    let making = dispatch.clone();
    let now = fixed.lock().clone();
    let (config, change, warnings) = dispatch
        .with_blocking(move || {
            apart(|| {
                let client = making.transport();
                let mut judged = judge(&path, &Asked::Reload(&now), client)?;
                crash::point("reload", "configuration read");
                journal_warnings(&judged.config);
                let warnings = warnings(&judged.config);
                judged.config.warnings = Vec::new();
                let change = change(&judged.config, judged.endpoints);
                Ok((Arc::new(judged.config), change, warnings))
            })
        })
        .await?;
    let listener = shown.listener(&config)?;
    let applied = dispatch.reconfigure(change).await.map_err(Error::Store)?;
    nodes::compare(&config, &dispatch);
    dispatch.counters().warned(warnings);
    shown.show(&config, listener);
    fixed.lock().moved(&config);
    Ok(applied)
}

/// Says what the configuration may not mean.
pub(super) fn journal_warnings(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{}", warning.bare());
    }
}

/// Says why there is no reload, each error of the file for itself, with its lines.
fn journal_error(error: &Error, report: &str) {
    let Error::Config(LoadError::Report(all)) = error else {
        return tracing::error!("{report}");
    };
    for one in &all.diagnostics {
        match one.severity {
            Severity::Error => tracing::error!("{}", one.bare()),
            Severity::Warning => tracing::warn!("{}", one.bare()),
        }
    }
    if all.more > 0 {
        tracing::error!("and {} more", all.more);
    }
}

/// Makes the endpoints of a configuration that was judged before.
pub(super) fn endpoints(
    client: &Client,
    webhooks: &[Arc<Webhook>],
) -> Result<Vec<Endpoint>, Error> {
    let endpoint = |webhook: &Arc<Webhook>| {
        client.endpoint(webhook).map_err(|source| Error::Endpoint {
            webhook: webhook.name.to_string(),
            source,
        })
    };
    webhooks.iter().map(endpoint).collect()
}

/// What a configuration changes, with its webhooks and their endpoints.
pub(super) fn change(config: &Config, endpoints: Vec<Endpoint>) -> PipelineConfig<Endpoint> {
    PipelineConfig {
        // Shared: ten thousand of them are not to be in memory twice.
        webhooks: config.webhooks.iter().cloned().zip(endpoints).collect(),
        tenant: config.tenant.as_deref().map(Arc::from),
        max_in_flight: limits::in_flight(config),
        max_data_bytes: config.outbox.max_data_bytes,
        retention: Retention {
            log_days: config.log.keep_days,
            log: config.log.place.clone(),
            log_max_bytes: config.log.max_bytes,
            log_bodies: config.log.bodies,
            outbox_days: config.outbox.keep_days,
            outbox: config.outbox.path.clone(),
            outbox_server: config.outbox.server.clone(),
        },
    }
}
