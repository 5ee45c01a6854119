//! One connection, with the runtime that drives it while somebody waits for an answer.
//!
//! The callers are threads that block, as they do on SQLite. So the runtime is theirs alone: it has no
//! thread, and between two calls the connection rests.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row};

use super::connect::{Failed, PATIENCE, Tell, connect};
use super::holder;
use super::tls;
use super::trouble::{Trouble, What};
use crate::model::Server;

/// For telling the server that nobody waits any more.
const CANCEL: Duration = Duration::from_secs(1);

/// Told each second while an answer is waited for.
pub(crate) type Waiting = Arc<dyn Fn() + Send + Sync>;
const EACH: Duration = Duration::from_secs(1);

/// A value of a statement, with its type: nothing is asked of the server about it.
pub(crate) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// What opens a transaction: statements without values, and one that has some.
pub(crate) struct Opening<'a> {
    pub(crate) begin: &'a str,
    pub(crate) sql: &'a str,
    pub(crate) values: &'a [Value<'a>],
}

/// How many rows the opening's statement changed, and what came of the one behind it.
pub(crate) type Behind<T> = (u64, Result<T, Trouble>);

/// A connection.
pub(crate) struct Link {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    patience: Duration,
    waiting: Option<Waiting>,
    pub(crate) server: Arc<Server>,
}

impl Link {
    /// Connects.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, Trouble> {
        Self::told_by(server, None, (PATIENCE, None))
    }

    /// Connects, and waits so long for this and for each answer.
    pub(crate) fn within(server: &Arc<Server>, patience: Duration) -> Result<Self, Trouble> {
        Self::told_by(server, None, (patience, None))
    }

    /// Connects; that it waits is told each second, of this and of each answer.
    pub(crate) fn telling(server: &Arc<Server>, waiting: Waiting) -> Result<Self, Trouble> {
        Self::told_by(server, None, (PATIENCE, Some(waiting)))
    }

    /// From now on that it waits is told.
    pub(crate) fn tell(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
    }

    /// Connects; notifications are told of.
    pub(super) fn told_by(
        server: &Arc<Server>,
        tell: Option<Tell>,
        (patience, waiting): (Duration, Option<Waiting>),
    ) -> Result<Self, Trouble> {
        let trouble = |what| Trouble::new(server, what);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| trouble(What::Runtime(error)))?;
        let connecting = connect(server, tell);
        // Several hosts are tried, but by who has little time.
        let longest = match patience < PATIENCE {
            true => patience,
            false => patience + server.connect_timeout * 2,
        };
        let connected = runtime.block_on(within(connecting, longest, waiting.as_ref(), None));
        let client = match connected {
            Waited::Came(Ok(client)) => client,
            Waited::Came(Err(Failed::Refused(error))) => {
                return Err(Trouble::of_connecting(server, *error));
            }
            Waited::Came(Err(Failed::Keys(why))) => return Err(trouble(What::Keys(why))),
            Waited::Behind(_) | Waited::InVain => {
                return Err(trouble(What::Silent("connect to the server", longest)));
            }
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
            patience,
            waiting,
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

    /// Whether the server has closed it, as far as this machine was told.
    pub(crate) fn is_closed(&self) -> bool {
        // What came while nobody waited is looked at between these.
        self.wait_for(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
        self.client.is_closed()
    }

    /// Waits for something else than an answer, while the connection moves.
    pub(super) fn wait_for<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.as_ref().map(|runtime| runtime.block_on(what))
    }

    /// Several statements that have no values and no rows.
    pub(crate) fn batch(&self, step: &'static str, sql: &str) -> Result<(), Trouble> {
        let asked = self.client.batch_execute(sql);
        self.answer(step, asked)
    }

    /// The same, that is given up after so long.
    pub(crate) fn batch_for(
        &self,
        step: &'static str,
        sql: &str,
        patience: Duration,
    ) -> Result<(), Trouble> {
        self.answer_in(patience, step, self.client.batch_execute(sql))
    }

    /// The rows of a statement that goes to the server together with what opens its transaction.
    pub(crate) fn rows_behind(
        &self,
        step: &'static str,
        opening: &Opening<'_>,
        (sql, values): (&str, &[Value<'_>]),
    ) -> Result<Behind<Vec<Row>>, Trouble> {
        self.behind(step, opening, self.client.query_typed(sql, values))
    }

    /// How many rows such a statement changed.
    pub(crate) fn execute_behind(
        &self,
        step: &'static str,
        opening: &Opening<'_>,
        (sql, values): (&str, &[Value<'_>]),
    ) -> Result<Behind<u64>, Trouble> {
        self.behind(step, opening, self.client.execute_typed(sql, values))
    }

    /// What opens a transaction, by itself. How many rows its statement changed.
    pub(crate) fn open_by(
        &self,
        step: &'static str,
        opening: &Opening<'_>,
    ) -> Result<u64, Trouble> {
        let nothing = std::future::ready(Ok(()));
        self.behind(step, opening, nothing).map(|(count, _)| count)
    }

    /// They are sent in this order, and the server begins each where the one before is done.
    fn behind<T>(
        &self,
        step: &'static str,
        opening: &Opening<'_>,
        then: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<Behind<T>, Trouble> {
        let begun = self.client.batch_execute(opening.begin);
        let first = self.client.execute_typed(opening.sql, opening.values);
        let (count, then) = self.answer(step, async {
            let (begun, first, then) = tokio::join!(biased; begun, first, then);
            begun?;
            Ok((first?, then))
        })?;
        let then = then.map_err(|error| Trouble::of_step(&self.server, step, error));
        Ok((count, then))
    }

    /// Two statements of a transaction that go to the server together; of what fails the first is told.
    pub(crate) fn execute_both(
        &self,
        step: &'static str,
        [(sql, values), (more_sql, more_values)]: [(&str, &[Value<'_>]); 2],
    ) -> Result<(), Trouble> {
        let first = self.client.execute_typed(sql, values);
        let second = self.client.execute_typed(more_sql, more_values);
        self.answer(step, async {
            let (first, second) = tokio::join!(biased; first, second);
            first.and(second).map(drop)
        })
    }

    fn answer<T>(
        &self,
        step: &'static str,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        self.answer_in(self.patience, step, asked)
    }

    fn answer_in<T>(
        &self,
        patience: Duration,
        step: &'static str,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let mut asked = pin!(asked);
        let waited = {
            let within = within(
                asked.as_mut(),
                patience,
                self.waiting.as_ref(),
                Some(&self.server),
            );
            self.wait_for(within)
        };
        let what = match waited {
            Some(Waited::Came(answer)) => {
                return answer.map_err(|error| Trouble::of_step(&self.server, step, error));
            }
            Some(Waited::Behind(holder)) => What::Locked(step, Some(holder)),
            Some(Waited::InVain) | None => What::Silent(step, patience),
        };
        self.cancel();
        // Until that has come, or it would end the next statement of this connection.
        self.wait_for(async { tokio::time::timeout(CANCEL, asked).await.ok() });
        Err(Trouble::new(&self.server, what))
    }

    /// Has the server give up what nobody waits for any more: it may hold locks, or be done long after.
    fn cancel(&self) {
        let token = self.client.cancel_token();
        let asked = async {
            match &self.server.tls {
                None => token.cancel_query(NoTls).await.ok(),
                Some(wanted) => match tls::Connector::new(wanted) {
                    Ok(tls) => token.cancel_query(tls).await.ok(),
                    Err(_) => None,
                },
            }
        };
        // Where it can't be told so it is as it was.
        self.wait_for(async { tokio::time::timeout(CANCEL, asked).await.ok() });
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.server.shown)
            .finish_non_exhaustive()
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

/// What came of waiting.
enum Waited<T> {
    Came(T),
    /// Somebody else's transaction is in the way; who that is.
    Behind(String),
    InVain,
}

/// What comes in time; that it is waited for is told each second, and who is in the way asked of the server.
async fn within<T>(
    what: impl Future<Output = T>,
    longest: Duration,
    waiting: Option<&Waiting>,
    server: Option<&Server>,
) -> Waited<T> {
    let mut what = pin!(what);
    let begun = Instant::now();
    let mut ask_at = begun + holder::FIRST;
    loop {
        let left = longest.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Waited::InVain;
        }
        if let Ok(came) = tokio::time::timeout(EACH.min(left), &mut what).await {
            return Waited::Came(came);
        }
        if let Some(waiting) = waiting {
            waiting();
        }
        let Some(server) = server.filter(|_| Instant::now() >= ask_at) else {
            continue;
        };
        if let Some(holder) = holder::ask(server).await {
            // It may have come meanwhile.
            return match tokio::time::timeout(Duration::ZERO, &mut what).await {
                Ok(came) => Waited::Came(came),
                Err(_) => Waited::Behind(holder),
            };
        }
        ask_at = Instant::now() + holder::AGAIN;
    }
}
