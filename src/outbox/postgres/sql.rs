//! The statements that read and prune the table, by its name and its columns.
//!
//! `data` is only ever taken as text: a key of a row with half a surrogate pair can't be read, and would
//! fail the statement. Names are qualified, and columns that are ordered by are never those of the same
//! name that are texts.

use super::facts::Facts;

/// Rows of one read at most.
pub(super) const ROWS: usize = 512;

/// The statements.
pub(super) struct Sql {
    /// What `$1` (xids from there on) and `$2` (these xids) say was not seen, behind (`$3`, `$4`), from id `$5` on, of
    /// what the window `$6` sees; names up to `$7` bytes and data up to `$8`, `$9` bytes of data in all.
    pub(super) first: String,
    /// The same of a window that is open.
    pub(super) further: String,
    /// The row of id `$1`, with `$2` and `$3` for `$7` and `$8`.
    pub(super) one: String,
    /// How many rows `$1` and `$2` say were not seen, behind (`$3`, `$4`), counted up to `$5`.
    pub(super) behind: String,
    /// The newest rows below (`$1`, `$2`) with ids from `$3` on.
    pub(super) below: String,
    /// Deletes `$3` rows with ids below `$1` that the snapshot `$2` sees.
    pub(super) prune: String,
    /// The time of the oldest row, UNIX milliseconds.
    pub(super) oldest: String,
    /// How many rows there are.
    pub(super) count: String,
    /// Whether there are rows whose transactions this server has not had yet.
    pub(super) foreign: String,
}

impl Sql {
    pub(super) fn new(facts: &Facts) -> Self {
        let table = &facts.table;
        let columns = |name: &str, data: &str| columns(facts.has_tenant, name, data);
        Self {
            first: read(table, &columns("$7::int4", "$8::int8"), false),
            further: read(table, &columns("$7::int4", "$8::int8"), true),
            one: format!(
                "SELECT {} FROM {table} o WHERE o.id = $1",
                columns("$2::int4", "$3::int8")
            ),
            behind: format!(
                "SELECT count(*) FROM (
                   SELECT FROM {table} o
                    WHERE (o.xid >= $1::text::xid8 OR o.xid = ANY ($2::text[]::xid8[]))
                      AND (o.xid, o.id) > ($3::text::xid8, $4::int8) LIMIT $5::int8) b"
            ),
            below: format!(
                "SELECT o.xid::text, o.id FROM {table} o WHERE (o.xid, o.id) < ($1::text::xid8, $2::int8) AND o.id >= $3::int8
                  ORDER BY o.xid DESC, o.id DESC LIMIT {ROWS}"
            ),
            prune: format!(
                "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                   SELECT o.ctid FROM {table} o
                    WHERE o.id < $1 AND pg_visible_in_snapshot(o.xid, $2::text::pg_snapshot)
                    ORDER BY o.id LIMIT $3))"
            ),
            oldest: format!("SELECT {TIME} FROM {table} o ORDER BY o.id LIMIT 1"),
            count: format!("SELECT count(*) FROM {table}"),
            foreign: format!(
                "SELECT EXISTS (SELECT FROM {table} o WHERE o.xid >= pg_snapshot_xmax(pg_current_snapshot()))"
            ),
        }
    }
}

/// The timeline; fails on a standby.
pub(super) const TIMELINE: &str = "left(pg_walfile_name(pg_current_wal_lsn()), 8)";

/// An infinite time has no milliseconds.
const TIME: &str =
    "CASE WHEN isfinite(o.time) THEN floor(extract(epoch FROM o.time) * 1000)::int8 END";

fn columns(has_tenant: bool, name: &str, data: &str) -> String {
    let tenant = if has_tenant { "o.tenant" } else { "NULL" };
    format!(
        "o.xid, o.id, o.xid::text AS x,
         CASE WHEN octet_length(o.event::text) <= {name} THEN o.event::text END AS event,
         octet_length(o.event::text) AS event_octets,
         CASE WHEN octet_length(o.data::text) <= {data} THEN o.data::text END AS data,
         octet_length(o.data::text) AS data_octets,
         {TIME} AS ms,
         CASE WHEN octet_length({tenant}::text) <= {name} THEN {tenant}::text END AS tenant,
         octet_length({tenant}::text) AS tenant_octets"
    )
}

/// Each part finds its rows by the index; the rows of both are few. A sum of what was loaded ends the batch.
fn read(table: &str, columns: &str, in_window: bool) -> String {
    // A row of another server's numbers is in no snapshot of this one: it is left alone, and told of.
    let window = if in_window {
        "$6::text::pg_snapshot"
    } else {
        "coalesce(nullif($6::text, '')::pg_snapshot, c.snap)"
    };
    let part = |which: &str| {
        format!(
            "(SELECT {columns} FROM {table} o
               WHERE {which} AND (o.xid, o.id) > ($3::text::xid8, $4::int8) AND o.id >= $5::int8
                 AND pg_visible_in_snapshot(o.xid, {window})
               ORDER BY o.xid, o.id LIMIT {ROWS})"
        )
    };
    let (new, late) = (
        part("o.xid >= $1::text::xid8"),
        part("o.xid = ANY ($2::text[]::xid8[])"),
    );
    format!(
        "SELECT c.snap::text, c.timeline, r.found, r.id, r.x, r.event, r.event_octets, r.data, r.data_octets, r.ms, r.tenant, r.tenant_octets
           FROM (SELECT pg_current_snapshot() AS snap, {TIMELINE} AS timeline) c
           LEFT JOIN LATERAL (
             SELECT s.* FROM (
               SELECT u.*, count(*) OVER () AS found,
                      sum(octet_length(u.data)) OVER (ORDER BY u.xid, u.id) - coalesce(octet_length(u.data), 0) AS before
                 FROM (SELECT b.* FROM ({new} UNION ALL {late}) b ORDER BY b.xid, b.id LIMIT {ROWS}) u
             ) s WHERE coalesce(s.before, 0) < $9::int8
           ) r ON true
          ORDER BY r.xid, r.id"
    )
}
