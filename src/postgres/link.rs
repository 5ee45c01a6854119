//! One connection, with the runtime that drives it while somebody waits for an answer.
//!
//! The callers are threads that block, as they do on SQLite. So the runtime is theirs alone: it has no
//! thread, and between two calls the connection rests.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Row};

use super::tls;
use super::trouble::{Trouble, What};
use crate::model::Server;

/// A server that says nothing for so long is given up, and connected to anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A value of a statement, with its type: nothing is asked of the server about it.
pub(crate) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// Where a notification is told of; several that nobody has heard yet are one.
type Tell = mpsc::Sender<()>;

/// A connection.
pub(crate) struct Link {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    pub(crate) server: Arc<Server>,
}

impl Link {
    /// Connects.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, Trouble> {
        Self::told_by(server, None)
    }

    /// Connects; notifications are told of.
    pub(super) fn told_by(server: &Arc<Server>, tell: Option<Tell>) -> Result<Self, Trouble> {
        let trouble = |what| Trouble::new(server, what);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| trouble(What::Runtime(error)))?;
        let config = config(server);
        let connecting = async {
            match &server.tls {
                None => {
                    let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
                    drive(connection, tell);
                    Ok(client)
                }
                Some(wanted) => {
                    let tls = tls::Connector::new(wanted).map_err(Failed::Keys)?;
                    let (client, connection) = config.connect(tls).await.map_err(refused)?;
                    drive(connection, tell);
                    Ok(client)
                }
            }
        };
        let patience = PATIENCE + server.connect_timeout * 2;
        let connected =
            runtime.block_on(async { tokio::time::timeout(patience, connecting).await });
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(Failed::Refused(error))) => {
                return Err(Trouble::of_connecting(server, *error));
            }
            Ok(Err(Failed::Keys(why))) => return Err(trouble(What::Keys(why))),
            Err(_) => return Err(trouble(What::Silent("connect to the server"))),
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
            server: server.clone(),
        })
    }

    /// The rows of a statement.
    pub(crate) fn rows(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Trouble> {
        let asked = self.client.query_typed(sql, values);
        self.answer(step, asked)
    }

    /// How many rows a statement changed.
    pub(crate) fn execute(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, Trouble> {
        let asked = self.client.execute_typed(sql, values);
        self.answer(step, asked)
    }

    /// Waits for something else than an answer, while the connection moves.
    pub(super) fn wait_for<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.as_ref().map(|runtime| runtime.block_on(what))
    }

    fn answer<T>(
        &self,
        step: &'static str,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let within = async { tokio::time::timeout(PATIENCE, asked).await.ok() };
        let answered = self
            .runtime
            .as_ref()
            .and_then(|runtime| runtime.block_on(within));
        match answered {
            Some(answer) => answer.map_err(|error| Trouble::of_step(&self.server, step, error)),
            None => Err(Trouble::new(&self.server, What::Silent(step))),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nothing is waited for, so it may happen where another runtime is at work.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

enum Failed {
    Refused(Box<tokio_postgres::Error>),
    Keys(String),
}

fn refused(error: tokio_postgres::Error) -> Failed {
    Failed::Refused(Box::new(error))
}

/// What the connection needs to move; it ends with it.
fn drive<S, T>(mut connection: Connection<S, T>, tell: Option<Tell>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Who asks next is told of its end.
    let Some(tell) = tell else {
        drop(tokio::spawn(connection));
        return;
    };
    drop(tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                // One that waits to be heard stands for this one too.
                tell.try_send(()).ok();
            }
        }
    }));
}

fn config(server: &Server) -> Config {
    let mut config = Config::new();
    for host in &server.hosts {
        config.host(&host.host).port(host.port);
    }
    if let Some(user) = &server.user {
        config.user(user);
    }
    if let Some(database) = &server.database {
        config.dbname(database);
    }
    if let Some(password) = &server.password {
        config.password(password.bytes());
    }
    config.application_name(&server.application_name);
    config.connect_timeout(server.connect_timeout);
    config.tcp_user_timeout(PATIENCE);
    config.keepalives_idle(PATIENCE);
    config.ssl_mode(match server.tls {
        Some(_) => SslMode::Require,
        None => SslMode::Disable,
    });
    // Of several, the one that is written to; a single one says itself what it is.
    if server.hosts.len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config
}
