//! This node among those of its log: joined before it takes a configuration in, kept until the pipeline has stopped.
//!
//! A log in a file has no others, and nothing of this is done.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Error;
use super::patience::StartupRetry;
use crate::config::Config;
use crate::model::Server;
use crate::pipeline::{Dispatch, Member, Tenure};
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

/// This node's part of the log; `None`: all of it.
pub(super) struct Nodes(Option<Tenure>);

impl Nodes {
    /// Looks for the first time, so that it is known what is this node's before anything is done.
    pub(super) async fn join(
        me: Option<Me>,
        config: &Config,
        dispatch: &Arc<Dispatch<Client>>,
        patience: &mut StartupRetry,
    ) -> Result<Self, Error> {
        let of = |server: &Arc<Server>, me| {
            let member = Member::new(me, config.node.lease_ms);
            Tenure::new(member, store::roster(server))
        };
        let server = config.log.place.server();
        let mut this = Self(server.zip(me).map(|(server, me)| of(server, me)));
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
            let Some(tenure) = self.0.take() else {
                return Ok(());
            };
            let (tenure, looked) = tenure.step(dispatch).await;
            self.0 = Some(tenure);
            looked.map_err(Error::Store)
        };
        patience.until_done(step).await
    }

    /// Looks until the pipeline has stopped.
    pub(super) fn keep(
        self,
        dispatch: &Arc<Dispatch<Client>>,
        loops: &mut JoinSet<Result<(), store::Error>>,
    ) {
        if let Some(tenure) = self.0 {
            loops.spawn(tenure.keep(dispatch.clone()));
        }
    }
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
