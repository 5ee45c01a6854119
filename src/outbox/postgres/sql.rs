//! The statements that read and prune the table, by its name and its columns.
//!
//! `data` is only ever taken as text: a key of a row with half a surrogate pair can't be read, and would
//! fail the statement. Names are qualified, and columns that are ordered by are never those of the same
//! name that are texts.

use super::facts::Facts;

/// Rows of one read at most: what goes into one transaction where each makes a delivery.
pub(super) const ROWS: usize = 1_024;

/// The same of a look back at what was taken.
const ROWS_BELOW: usize = 512;

/// The statements.
pub(super) struct Sql {
    /// What a window has not given yet.
    pub(super) read: Reads,
    /// [`MOMENT`], and whether there is anything that is new behind (`$1`, `$2`), with ids from `$3` on.
    pub(super) any: String,
    /// The row of id `$1`, with `$2` and `$3` for `$7` and `$8`.
    pub(super) one: String,
    /// How many rows there are behind the place `$1` to `$5` of [`Reads`], counted up to `$6`.
    pub(super) behind: String,
    /// The newest rows below (`$1`, `$2`) with ids from `$3` on.
    pub(super) below: String,
    /// `$2` rows with ids above `$1` in their order, with `$3` and `$4` for `$7` and `$8`, `$5` bytes of data in all.
    pub(super) by_id: String,
    /// The first row with an id from `$1` on and a time from `$2` milliseconds on.
    pub(super) since: String,
    /// The row that has `$1` newer ones.
    pub(super) nth: String,
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
            read: Reads::new(table, facts.has_tenant),
            any: format!(
                "{MOMENT}, EXISTS (SELECT FROM {table} o WHERE {NEW} AND o.id >= $3::int8)"
            ),
            one: format!(
                "SELECT {} FROM {table} o WHERE o.id = $1",
                columns("$2::int4", "$3::int8")
            ),
            behind: {
                let parts = [NEW, LATE, WITHIN];
                let parts = parts.map(|which| format!("(SELECT FROM {table} o WHERE {which} LIMIT $6::int8)"));
                let parts = parts.join(" UNION ALL ");
                format!("SELECT count(*) FROM ({parts} LIMIT $6::int8) b")
            },
            below: format!(
                "SELECT o.xid::text, o.id FROM {table} o WHERE (o.xid, o.id) < ($1::text::xid8, $2::int8) AND o.id >= $3::int8
                  ORDER BY o.xid DESC, o.id DESC LIMIT {ROWS_BELOW}"
            ),
            by_id: format!(
                "SELECT s.found, s.id, s.x, s.event, s.event_octets, s.data, s.data_octets, s.ms, s.tenant, s.tenant_octets
                   FROM (SELECT u.*, count(*) OVER () AS found,
                                sum(octet_length(u.data)) OVER (ORDER BY u.id) - coalesce(octet_length(u.data), 0) AS before
                           FROM (SELECT {} FROM {table} o WHERE o.id > $1 ORDER BY o.id LIMIT $2) u) s
                  WHERE coalesce(s.before, 0) < $5 ORDER BY s.id",
                columns("$3::int4", "$4::int8")
            ),
            since: format!(
                "SELECT o.id FROM {table} o WHERE o.id >= $1 AND o.time >= {} ORDER BY o.id LIMIT 1",
                from_ms("$2")
            ),
            nth: format!("SELECT o.id FROM {table} o ORDER BY o.id DESC OFFSET $1 LIMIT 1"),
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

/// The statements that add rows.
pub(super) struct AddSql {
    /// The rows with the keys `$1`, with data of up to `$2` bytes.
    pub(super) known: String,
    /// Adds rows of these names, data, times in milliseconds, tenants and keys; their ids in the same order.
    pub(super) insert: String,
}

impl AddSql {
    pub(super) fn new(facts: &Facts) -> Self {
        let table = &facts.table;
        let tenant = if facts.has_tenant {
            "o.tenant::text"
        } else {
            "NULL::text"
        };
        let when = |there: bool, text: &'static str| if there { text } else { "" };
        let time = from_ms("u.ms");
        Self {
            known: format!(
                "SELECT o.key::text, o.id, o.event::text,
                        CASE WHEN octet_length(o.data::text) <= $2 THEN o.data::text END,
                        CASE WHEN o.time = date_trunc('milliseconds', o.time) THEN {TIME} END, {tenant}
                   FROM {table} o WHERE o.key = ANY ($1)"
            ),
            // No session is told anything, for behind a pooler another would get it.
            insert: format!(
                "WITH s AS MATERIALIZED (
                   SELECT set_config('lock_timeout', '5s', true),
                          CASE WHEN current_setting('synchronous_commit') = 'off'
                               THEN set_config('synchronous_commit', 'on', true) END)
                 INSERT INTO {table} (event, data, time{}{})
                 SELECT u.event, u.data::json, coalesce({time}, clock_timestamp()){}{}
                   FROM s, unnest($1, $2, $3, $4, $5) WITH ORDINALITY u (event, data, ms, tenant, key, n)
                  ORDER BY u.n RETURNING id",
                when(facts.has_tenant, ", tenant"),
                when(facts.has_key, ", key"),
                when(facts.has_tenant, ", u.tenant"),
                when(facts.has_key, ", u.key"),
            ),
        }
    }
}

/// A time of milliseconds, to the millisecond: as one number of seconds it would not be.
fn from_ms(ms: &str) -> String {
    format!(
        "(timestamptz 'epoch' + ({ms} / 1000) * interval '1 second' + ({ms} % 1000) * interval '1 millisecond')"
    )
}

/// Who is under way, the timeline, and how far the log of writes is: where all are as they were, nothing was committed in
/// between. The last alone would do but for a commit that is in the log of writes and seen by nobody yet; the first but for
/// a crash, which may give numbers again.
pub(super) const MOMENT: &str = "SELECT pg_current_snapshot()::text,
    left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_current_wal_insert_lsn()::text";

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

/// What is behind a place, in parts each of which begins at its place in the index: transactions that nobody had seen
/// behind (`$1`, `$2`), all of those `$3` that were under way, and of the one `$4` what is behind `$5`. One condition
/// tells where each begins: of two the server would take the wrong one, and read the whole index.
const NEW: &str = "(o.xid, o.id) > ($1::text::xid8, $2::int8)";
const LATE: &str = "o.xid = ANY ($3::text[]::xid8[])";
const WITHIN: &str = "o.xid = $4::text::xid8 AND o.id > $5::int8";

/// The statements that read a window: the rows behind the place `$1` to `$5`, with ids from `$6` on, that the window `$7`
/// sees; names up to `$8` bytes and data up to `$9`, `$10` bytes of data in all. They come in the order of the index,
/// which is not promised.
pub(super) struct Reads {
    first: [String; 2],
    further: [String; 2],
}

impl Reads {
    fn new(table: &str, has_tenant: bool) -> Self {
        let both = |in_window| [false, true].map(|any| read(table, has_tenant, in_window, any));
        Self {
            first: both(false),
            further: both(true),
        }
    }

    /// The one for the first rows of a window, or for further ones; `late`: some were under way.
    pub(super) fn of(&self, is_first: bool, late: bool) -> &str {
        let which = if is_first { &self.first } else { &self.further };
        &which[usize::from(late)]
    }
}

/// Nearly always nothing was under way that has not ended, and the statement is planned anew for each look: so it is one
/// without the parts that find nothing then. A sum of what was loaded ends the batch.
fn read(table: &str, has_tenant: bool, in_window: bool, late: bool) -> String {
    let tenant = if has_tenant {
        "o.tenant::text"
    } else {
        "NULL::text"
    };
    // A row of another server's numbers is in no snapshot of this one: it is left alone, and told of.
    let window = if in_window {
        "$7::text::pg_snapshot"
    } else {
        "c.snap"
    };
    let part = |which: &str| {
        format!(
            "(SELECT o.xid, o.id, o.event::text AS e, o.data::text AS d, {TIME} AS ms, {tenant} AS t FROM {table} o
               WHERE {which} AND o.id >= $6::int8 AND pg_visible_in_snapshot(o.xid, {window})
               ORDER BY o.xid, o.id LIMIT {ROWS})"
        )
    };
    let rows = if late {
        let parts = [NEW, LATE, WITHIN].map(part).join(" UNION ALL ");
        format!("(SELECT b.* FROM ({parts}) b ORDER BY b.xid, b.id LIMIT {ROWS})")
    } else {
        part(NEW)
    };
    format!(
        "SELECT c.snap::text, c.timeline, r.more, r.id, r.x, r.event, r.event_octets, r.data, r.data_octets, r.ms, r.tenant, r.tenant_octets
           FROM (SELECT pg_current_snapshot() AS snap, {TIMELINE} AS timeline) c
           LEFT JOIN LATERAL (
             SELECT s.* FROM (
               SELECT u.*, lead(u.id) OVER w IS NOT NULL AS more,
                      sum(octet_length(u.data)) OVER w - coalesce(octet_length(u.data), 0) AS before
                 FROM (SELECT i.xid, i.id, i.xid::text AS x,
                              CASE WHEN octet_length(i.e) <= $8::int4 THEN i.e END AS event, octet_length(i.e) AS event_octets,
                              CASE WHEN octet_length(i.d) <= $9::int8 THEN i.d END AS data, octet_length(i.d) AS data_octets,
                              i.ms, CASE WHEN octet_length(i.t) <= $8::int4 THEN i.t END AS tenant,
                              octet_length(i.t) AS tenant_octets
                         FROM {rows} i) u
               WINDOW w AS (ORDER BY u.xid, u.id ROWS UNBOUNDED PRECEDING)
             ) s WHERE coalesce(s.before, 0) < $10::int8
           ) r ON true"
    )
}
