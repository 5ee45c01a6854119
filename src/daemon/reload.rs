//! Reload: a new configuration for a pipeline that goes on running.
//!
//! A file with an error changes nothing. Reloads come one after the other; what is asked for
//! while one runs is one more afterwards.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::{Error, limits, load};
use crate::config::Config;
use crate::pipeline::{Change, Directed, Dispatch, Retention};
use crate::transport::{Client, Endpoint};

/// The paths that only a restart changes.
#[derive(Clone, PartialEq, Eq)]
struct Paths {
    outbox: PathBuf,
    log: PathBuf,
    socket: Option<PathBuf>,
}

impl Paths {
    fn of(config: &Config) -> Self {
        Self {
            outbox: config.outbox.path.clone(),
            log: config.log.path.clone(),
            socket: config.socket.as_ref().map(|socket| socket.path.clone()),
        }
    }
}

type Underway = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The reloads of a running daemon.
pub(super) struct Reload {
    path: PathBuf,
    paths: Paths,
    dispatch: Arc<Dispatch<Client>>,
    asked: bool,
    underway: Option<Underway>,
}

impl Reload {
    pub(super) fn new(path: &Path, config: &Config, dispatch: Arc<Dispatch<Client>>) -> Self {
        let paths = Paths::of(config);
        Self {
            path: path.to_owned(),
            paths,
            dispatch,
            asked: false,
            underway: None,
        }
    }

    /// Asks for a reload.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Goes on with the reload; never ends where there is none. May be dropped between polls.
    pub(super) async fn step(&mut self) {
        if self.underway.is_none() && std::mem::take(&mut self.asked) {
            let (path, paths) = (self.path.clone(), self.paths.clone());
            self.underway = Some(Box::pin(reload(path, paths, self.dispatch.clone())));
        }
        match &mut self.underway {
            Some(underway) => underway.await,
            None => std::future::pending().await,
        }
        self.underway = None;
    }
}

async fn reload(path: PathBuf, paths: Paths, dispatch: Arc<Dispatch<Client>>) {
    let counters = dispatch.clone();
    let counters = counters.counters();
    match try_reload(path, paths, dispatch).await {
        Ok(directed) => {
            counters.reloaded(true);
            journal_cancelled(&directed);
            tracing::info!(webhooks = directed.active, "configuration reloaded");
        }
        Err(error) => {
            counters.reloaded(false);
            error
                .to_string()
                .lines()
                .for_each(|line| tracing::error!("{line}"));
            if let Some(hint) = error.hint() {
                tracing::error!("hint: {hint}");
            }
            tracing::error!("the configuration was not reloaded: the running one stays");
        }
    }
}

async fn try_reload(
    path: PathBuf,
    paths: Paths,
    dispatch: Arc<Dispatch<Client>>,
) -> Result<Directed, Error> {
    let making = dispatch.clone();
    let change = dispatch
        .with_blocking(move || {
            let config = load(&path)?;
            let new = Paths::of(&config);
            for (key, same) in [
                ("[outbox] path", new.outbox == paths.outbox),
                ("[log] path", new.log == paths.log),
                ("[socket] path", new.socket == paths.socket),
            ] {
                if !same {
                    return Err(Error::Restart { key });
                }
            }
            change(&making, &config)
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
