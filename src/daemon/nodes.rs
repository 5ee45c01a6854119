//! This node among those of its log: joined before it takes a configuration in, kept until the pipeline has stopped.
//!
//! A log in a file has no others, and nothing of this is done.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::Error;
use super::patience::StartupRetry;
use super::predecessor::Successor;
use crate::config::Config;
use crate::pipeline::{Dispatch, Member, Named, Tenure, digest};
use crate::store::{self, Me};
use crate::transport::Client;

/// The longest name of a node, in characters.
const NAME: usize = 64;

/// What the command line says of this node, beside the configuration that all of them share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// By which people know it; the host's name unless it is given.
    pub node: Option<String>,
    /// Its socket, in the place of the configuration's.
    pub socket: Option<PathBuf>,
}

/// This node's part of the log; nothing of it where all of the log is its own.
pub(super) struct Nodes {
    tenure: Option<Tenure>,
    /// By which the next run on this machine knows that this one has ended; there until that.
    successor: Option<Arc<Mutex<Successor>>>,
}

impl Nodes {
    /// Looks for the first time, so that it is known what is this node's before anything is done.
    pub(super) async fn join(
        me: Option<Me>,
        config: &Config,
        dispatch: &Arc<Dispatch<Client>>,
        patience: &mut StartupRetry,
    ) -> Result<Self, Error> {
        compare(config, dispatch);
        let mut this = Self {
            tenure: None,
            successor: None,
        };
        if let Some((server, me)) = config.log.place.server().zip(me) {
            let socket = config.socket.as_ref();
            let found = socket.and_then(|socket| Successor::of(&socket.path));
            let (successor, ended) = found.unzip();
            this.successor = successor.map(|successor| Arc::new(Mutex::new(successor)));
            let member = Member::new(me, config.node.lease_ms).after(ended.flatten());
            let tenure = Tenure::new(member, store::roster(server));
            // The row before is read, and looked at first: then the file names this process's own.
            let named = this
                .successor
                .clone()
                .map(|successor| -> Named { Box::new(move |id| successor.lock().name(id)) });
            this.tenure = Some(tenure.telling(named));
        }
        this.look_again(dispatch, patience).await?;
        Ok(this)
    }

    /// Looks once more.
    pub(super) async fn look_again(
        &mut self,
        dispatch: &Arc<Dispatch<Client>>,
        patience: &mut StartupRetry,
    ) -> Result<(), Error> {
        let step = async || {
            let Some(tenure) = self.tenure.take() else {
                return Ok(());
            };
            let (tenure, looked) = tenure.step(dispatch).await;
            self.tenure = Some(tenure);
            looked.map_err(Error::Store)
        };
        patience.until_done(step).await
    }

    /// Looks until the pipeline has stopped. Returns what is to be kept until the process ends.
    pub(super) fn keep(
        self,
        dispatch: &Arc<Dispatch<Client>>,
        loops: &mut JoinSet<Result<(), store::Error>>,
    ) -> Option<Arc<Mutex<Successor>>> {
        if let Some(tenure) = self.tenure {
            loops.spawn(tenure.keep(dispatch.clone()));
        }
        self.successor
    }
}

/// Has other nodes compare their configurations with this one, where there may be others.
pub(super) fn compare(config: &Config, dispatch: &Dispatch<Client>) {
    if config.log.place.server().is_none() {
        return;
    }
    let (outbox, log) = (&config.outbox, &config.log);
    let others = format!(
        "{:?}",
        (
            &config.tenant,
            (outbox.keep_days, outbox.max_data_bytes),
            (log.keep_days, log.max_bytes, log.bodies),
            config.node.lease_ms,
        )
    );
    let digest = digest(&config.webhooks, &others);
    dispatch.share().configure(digest);
}

/// By which people know this node, unless it was named.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(NAME).collect();
    if name.is_empty() {
        "webhooksd".to_owned()
    } else {
        name
    }
}
