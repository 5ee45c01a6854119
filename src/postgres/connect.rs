//! Connecting: by TCP or a Unix socket, with TLS or without, as a server's URL says.
//!
//! Left out: who waits for it and for how long (`link`), and what a failure means (`trouble`).

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

use super::tls;
use crate::model::Server;

/// A server that says nothing for so long is given up, and connected to anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Where a notification is told of; several that nobody has heard yet are one.
pub(super) type Tell = mpsc::Sender<()>;

/// Why there is no connection.
pub(super) enum Failed {
    Refused(Box<tokio_postgres::Error>),
    Keys(String),
}

/// Connects; the connection moves by itself from then on, on the runtime of whoever asks. Notifications are told of.
pub(super) async fn connect(server: &Server, tell: Option<Tell>) -> Result<Client, Failed> {
    let config = config(server);
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
