//! Days of a log in PostgreSQL: made ahead by every node, and dropped by the one that leads.
//!
//! By a connection of its own and without the log's lock, for it waits for whoever reads the log. Left out: rows that lie
//! in no day, or in one that something needs still, which go with the sweep (`retention`).

use std::sync::Arc;

use crate::outbox::Finding;
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::pipeline::shared::{Retention, chain};
use crate::store::{self, Gone};
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Makes the days to come, where the log is in PostgreSQL. A node of an earlier version may lead, which makes none; so
    /// every one does. Where it can't, ids stay in the days that there are, and the next round tries again.
    pub(super) async fn make_days(self: &Arc<Self>, retention: &Retention) {
        let Some(server) = retention.log.server().cloned() else {
            return;
        };
        let now_ms = self.clock().now_ms();
        let made = self
            .with_blocking(move || store::make_days(&server, now_ms))
            .await;
        if let Err(error) = made {
            let (error, hint) = (chain(&error), error.hint());
            tracing::warn!(
                step = "make the days of the log",
                error,
                hint,
                "trying again later"
            );
        }
    }

    /// Drops the days that were over before a time, where the log is in PostgreSQL.
    pub(super) async fn drop_days(
        self: &Arc<Self>,
        retention: &Retention,
        before_ms: i64,
    ) -> Result<(), store::Error> {
        let Some(server) = retention.log.server().cloned() else {
            return Ok(());
        };
        let gone = self
            .with_blocking(move || store::expire_days(&server, before_ms))
            .await?;
        let Gone {
            tables,
            attempts,
            held,
            refused,
        } = gone;
        self.tell_refused(refused);
        if tables > 0 {
            let days = retention.log_days;
            tracing::info!(tables, attempts, days, "expired days of the log dropped");
        }
        if let Some(table) = held {
            tracing::info!(
                table,
                hint = "a transaction that is open has read the log: see pg_stat_activity",
                "an expired day of the log waits for its reader; nobody waits for it"
            );
        }
        Ok(())
    }

    /// Tells of days that the server does not let go of, until it does.
    pub(super) fn tell_refused(&self, refused: Vec<(String, String)>) {
        let finding = |(table, why): (String, String)| {
            Finding {
            is_error: false,
            text: format!("a day of the log that is over stays, table webhooksd.{table}: {why}"),
            hint: Some(
                "what somebody has made of it, such as a view, keeps it: drop that, and the next round goes on"
                    .to_owned(),
            ),
        }
        };
        let findings = refused.into_iter().map(finding).collect();
        self.counters().standing.set(Matter::Days, findings);
    }
}
