//! Who is in the way: the transaction of somebody else that a statement of ours waits for.
//!
//! It is asked by a connection of its own, and only once an answer has been waited for unusually long: what waits can't
//! ask, and behind a pooler nobody knows its own session. So what is looked at are all sessions of this user and name.
//! Sessions of webhooksd's own wait for each other at times, and for no longer than their time-outs: they are not named.
//!
//! So a statement that is only slow is given up too where another session of ours waits at that moment: it is made again.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connect::connect;
use crate::model::Server;

/// After so long a wait for an answer it is asked. A transaction that waits keeps its node's row, which the node's own beat
/// waits for: others would take the node for dead.
pub(super) const FIRST: Duration = Duration::from_secs(1);

/// And then each time that so much has gone by.
pub(super) const AGAIN: Duration = Duration::from_secs(3);

/// How long the question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The user itself may see what its sessions wait for, and a role that it has by `ALTER ROLE ... SET role` may not.
const AS_ITSELF: &str = "BEGIN READ ONLY; SET LOCAL ROLE NONE";

/// A name of somebody else's, as it is shown.
const NAME_SHOWN: usize = 40;

/// What of another user's session is not to be seen is NULL. A prepared transaction has no process.
const WHO: &str = "SELECT by.pid, b.usename::text, b.application_name, extract(epoch FROM clock_timestamp() - b.xact_start)::int8
  FROM pg_stat_activity w
 CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS by(pid)
  LEFT JOIN pg_stat_activity b ON b.pid = by.pid
 WHERE w.datname = current_database() AND w.usename = session_user AND w.wait_event_type = 'Lock'
   AND (w.application_name = $1 OR w.application_name ~ ' reads for [0-9a-f]{16}$')
   AND (b.pid IS NULL OR b.usename IS DISTINCT FROM w.usename
        OR NOT (b.application_name = $1 OR b.application_name ~ ' reads for [0-9a-f]{16}$'))
 ORDER BY b.xact_start LIMIT 1";

/// Who is in the way of this user's sessions; `None` where nobody is, or nobody says.
pub(super) async fn ask(server: &Server) -> Option<String> {
    tokio::time::timeout(PATIENCE, asked(server)).await.ok()?
}

async fn asked(server: &Server) -> Option<String> {
    let client = connect(server, None).await.ok()?;
    client.batch_execute(AS_ITSELF).await.ok()?;
    let ours: &str = &server.application_name;
    let row = client
        .query_typed(WHO, &[(&ours, Type::TEXT)])
        .await
        .ok()?
        .into_iter()
        .next()?;
    let pid: i32 = row.try_get(0).ok()?;
    if pid == 0 {
        return Some("a prepared transaction (see pg_prepared_xacts)".to_owned());
    }
    let user: Option<String> = row.try_get(1).ok()?;
    let program: Option<String> = row.try_get(2).ok()?;
    let seconds: Option<i64> = row.try_get(3).ok()?;
    let mut text = format!("process {pid}");
    for (what, name) in [("", program), ("user ", user)] {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let name: String = name.chars().take(NAME_SHOWN).collect();
            text += &format!(", {what}{name:?}");
        }
    }
    if let Some(seconds) = seconds {
        text += &format!(", in a transaction for {seconds} s");
    }
    Some(text)
}
