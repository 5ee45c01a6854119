//! Reload: a new configuration for a pipeline that goes on running.
//!
//! A file with an error changes nothing. Reloads come one after the other; what is asked for
//! while one runs is one more afterwards.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::fixed::Fixed;
use super::judge::{Asked, apart, judge};
use super::{Error, limits, notify};
use crate::api;
use crate::config::{Config, LoadError, Severity};
use crate::model::{Webhook, crash};
use crate::pipeline::{Applied, Dispatch, PipelineConfig, Retention, chain};
use crate::transport::{Client, Endpoint};

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
) -> Result<Applied, String> {
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
            journal_error(&error, &report);
            tracing::error!("the configuration was not reloaded: the running one stays");
            Err(report)
        }
    }
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
    fixed: Fixed,
    dispatch: Arc<Dispatch<Client>>,
) -> Result<Applied, Error> {
    let making = dispatch.clone();
    let change = dispatch
        .with_blocking(move || {
            apart(|| {
                let client = making.transport();
                let mut judged = judge(&path, &Asked::Reload(&fixed), client)?;
                crash::point("reload", "configuration read");
                journal_warnings(&judged.config);
                let webhooks = webhooks(&mut judged.config);
                Ok(change(&judged.config, webhooks, judged.endpoints))
            })
        })
        .await?;
    dispatch.reconfigure(change).await.map_err(Error::Store)
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

/// Takes the webhooks out of a configuration: ten thousand of them are not to be in memory twice.
pub(super) fn webhooks(config: &mut Config) -> Vec<Arc<Webhook>> {
    let webhooks = std::mem::take(&mut config.webhooks);
    webhooks.into_iter().map(Arc::new).collect()
}

/// What a configuration changes, with its webhooks and their endpoints.
pub(super) fn change(
    config: &Config,
    webhooks: impl IntoIterator<Item = Arc<Webhook>>,
    endpoints: Vec<Endpoint>,
) -> PipelineConfig<Endpoint> {
    PipelineConfig {
        webhooks: webhooks.into_iter().zip(endpoints).collect(),
        tenant: config.tenant.as_deref().map(Arc::from),
        max_in_flight: limits::in_flight(config.delivery.max_in_flight),
        max_data_bytes: config.outbox.max_data_bytes,
        retention: Retention {
            log_days: config.log.keep_days,
            log: config.log.path.clone(),
            log_max_bytes: config.log.max_bytes,
            log_bodies: config.log.bodies,
            outbox_days: config.outbox.keep_days,
            outbox: config.outbox.path.clone(),
            outbox_server: config.outbox.server.clone(),
        },
    }
}

pub(super) fn journal_cancelled(directed: &Applied) {
    for (webhook, cancelled) in &directed.cancelled {
        tracing::warn!(
            webhook = &**webhook,
            cancelled,
            "pending deliveries cancelled: the webhook is inactive or has left the configuration"
        );
    }
}
