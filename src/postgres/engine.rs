//! What a server is, judged before anything else is asked of it.

use super::link::Link;
use super::trouble::{Trouble, What};

/// The oldest version that is spoken to: the oldest that it was tried with.
const OLDEST: i32 = 150_000;

/// Nothing in it fails on a standby or another engine that calls itself PostgreSQL.
const SERVER: &str = "SELECT version(), current_setting('server_version_num')::int4,
    current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";

const STEP: &str = "ask what the server is";

/// Whether a server may have an outbox or a log.
///
/// # Errors
/// It is no PostgreSQL or too old a one, its database has another encoding than UTF-8, or it is a standby.
pub(crate) fn judge(link: &Link) -> Result<(), Trouble> {
    let trouble = |what| Err(Trouble::new(&link.server, what));
    let failed = |error| Trouble::of_step(&link.server, STEP, error);
    let rows = link.rows(STEP, SERVER, &[])?;
    let [row] = rows.as_slice() else {
        return trouble(What::Engine("a server that does not say".into()));
    };
    let said: String = row.try_get(0).map_err(failed)?;
    let version: i32 = row.try_get(1).map_err(failed)?;
    let encoding: String = row.try_get(2).map_err(failed)?;
    // Others speak the protocol, and number no transactions.
    let is_another = !said.starts_with("PostgreSQL ") || said.contains("-YB-");
    if is_another || version < OLDEST {
        let name = said.split(" on ").next().unwrap_or_default().to_owned();
        return trouble(What::Engine(name));
    }
    if encoding != "UTF8" {
        return trouble(What::Encoding(encoding));
    }
    if row.try_get(3).map_err(failed)? {
        return trouble(What::Standby);
    }
    // An outbox is only read, but for what is old.
    if link.server.whose == "log" && row.try_get(4).map_err(failed)? {
        return trouble(What::ReadOnly("change anything"));
    }
    Ok(())
}
