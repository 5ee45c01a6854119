//! Rows of the outbox in the oracle: each is taken once, by exactly those who want it, or set aside.
//!
//! Rows are followed by a number of the simulation's own, for ids come back when an outbox is
//! restored. Who wants what is decided here a second time, by simpler rules than the product's.

use std::collections::{BTreeMap, BTreeSet};

use super::filters;
use super::oracle::Oracle;
use crate::model::{Cursor, Webhook};

/// Of so few rows too little is known to tell that data is a row's own.
const FEW: usize = 8;

/// A row that the application committed.
#[derive(Clone, Debug)]
pub(super) struct OutboxRow {
    pub(super) number: u64,
    pub(super) event: String,
    pub(super) data: String,
    pub(super) tenant: Option<String>,
    pub(super) bad: bool,
    pub(super) key: Option<String>,
}

impl Oracle {
    /// Events were admitted: the log's cursor went on, and what it passed is in the log with it.
    pub(super) fn admitted(&mut self) {
        let from = self.cursor;
        let Some(to) = self.person().cursor() else {
            return self.broke("events were admitted without a cursor");
        };
        self.note(&format!("admitted {} to {}", from.1, to.1));
        if to.0 != from.0 || to.1 <= from.1 {
            self.broke(&format!("the cursor went from {from:?} to {to:?}"));
        }
        let last = self.rows.last_key_value();
        if last.is_none_or(|(last, _)| *last < to.1) {
            self.broke(&format!(
                "{} was taken, which the outbox does not have",
                to.1
            ));
        }
        let range = from.1.min(to.1) + 1..=to.1;
        let rows: Vec<_> = self
            .rows
            .range(range)
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        for (id, row) in rows {
            // What was taken before and is taken again may have been deleted meanwhile.
            let again = self.handled.contains(&row.number);
            if let Err(promise) = self.is_handled(to.0, id, &row, again) {
                self.broke(&format!("row {id}: {promise}"));
            }
            let mut asking = self.routes.iter().filter(|w| w.active && is_named(w, &row));
            if !row.bad && asking.any(|w| !filters::hold(&w.rules, &row.data)) {
                self.count("events turned away");
            }
            self.handled.insert(row.number);
            self.untaken.remove(&id);
        }
        self.cursor = to;
        self.turned_back = false;
        self.columns.clear();
        self.cursor_is_right(to.1);
    }

    /// The cursor was set by itself: it goes back where ids are given anew, and for no UPDATE.
    pub(super) fn cursor_set(&mut self) {
        let from = self.cursor;
        self.cursor = self.person().cursor().unwrap_or_default();
        if self.cursor.0 == from.0 {
            if self.cursor.1 != from.1 {
                let to = self.cursor;
                self.broke(&format!("the cursor is set from {from:?} to {to:?}"));
            }
        } else if !self.put_back && !self.is_ambiguous() {
            let columns = &self.columns;
            let promise = format!(
                "the cursor went back from {from:?}, and no id was given anew: {columns:?} were changed"
            );
            self.broke(&promise);
        } else {
            // Seen empty, and put back before that was written down: it goes on there next.
            let mut rows = self.rows.values();
            let is_back = self.cursor.1 == 0 && rows.any(|row| self.handled.contains(&row.number));
            (self.put_back, self.emptied, self.given_again) = (is_back, false, false);
        }
        self.turned_back = false;
        self.columns.clear();
        self.note(&format!("the cursor is set to {:?}", self.cursor));
        self.cursor_is_right(self.cursor.1);
    }

    /// Where the intake thinks that the cursor is.
    pub(super) fn goes_on_at(&mut self, cursor: &Cursor) {
        let (kept, id) = (self.cursor, cursor.event_id.get());
        if kept != (cursor.generation.get(), id) {
            self.broke(&format!("the log's cursor is {kept:?} and not {id}"));
        }
    }

    fn is_handled(
        &self,
        generation: i64,
        id: i64,
        row: &OutboxRow,
        again: bool,
    ) -> Result<(), String> {
        let made = self.person().of_event(generation, id);
        if again && made.is_empty() {
            return Ok(());
        }
        if row.bad {
            let aside = self.person().is_rejected(generation, id) && made.is_empty();
            return if aside {
                Ok(())
            } else {
                Err("was not set aside".into())
            };
        }
        let mut wanted: Vec<(&str, &str)> = (self.routes.iter())
            .filter(|w| w.active && wants(w, row))
            .map(|w| (&*w.name, w.dialect.name()))
            .collect();
        wanted.sort_unstable();
        let owed = self.person().owed(generation, id);
        let mut made: Vec<_> = (made.iter().map(|d| (&*d.webhook, &*d.dialect)))
            .chain(
                owed.iter()
                    .map(|(webhook, dialect)| (&**webhook, &**dialect)),
            )
            .collect();
        made.sort_unstable();
        if made == wanted {
            Ok(())
        } else {
            Err(format!("went to {made:?}, and {wanted:?} want it"))
        }
    }

    /// Every row at or behind the cursor was handled at some time.
    pub(super) fn cursor_is_right(&mut self, event_id: i64) {
        let first = self.untaken.first_key_value();
        if let Some((id, number)) = first.filter(|(id, _)| **id <= event_id) {
            let promise =
                format!("the cursor is at {event_id}, and row {id} ({number}) was never taken");
            self.broke(&promise);
        }
    }

    /// Whether rows may have been changed so that nothing of them is known again: time and data, or
    /// by a key that they had only got by another change.
    fn is_ambiguous(&self) -> bool {
        let has = |column| self.columns.contains(column);
        let new = self.rows.range(..=self.cursor.1).count() < FEW;
        has("time") && (has("data") || has("upsert") || new) || has("upsert") && has("key")
    }

    /// The application changed these columns in some rows.
    pub(super) fn changed(&mut self, columns: &BTreeSet<&'static str>) {
        self.columns.extend(columns);
    }

    /// The application committed a row.
    pub(super) fn wrote(&mut self, id: i64, row: OutboxRow) {
        self.untaken.insert(id, row.number);
        self.rows.insert(id, row);
    }

    /// The application replaced rows, so that it has these now. `again`: under ids of taken ones.
    pub(super) fn replaced(&mut self, rows: BTreeMap<i64, OutboxRow>, again: bool) {
        let put_back = self.put_back;
        self.restored(rows);
        self.put_back = put_back || again;
        self.given_again = again;
    }

    /// The outbox has these rows now.
    pub(super) fn restored(&mut self, rows: BTreeMap<i64, OutboxRow>) {
        self.untaken = (rows.iter())
            .filter(|(_, row)| !self.handled.contains(&row.number))
            .map(|(id, row)| (*id, row.number))
            .collect();
        self.rows = rows;
        self.put_back = true;
        self.emptied = false;
    }
}

fn wants(webhook: &Webhook, row: &OutboxRow) -> bool {
    is_named(webhook, row) && filters::hold(&webhook.rules, &row.data)
}

/// Whether the event's name and tenant are the webhook's. The patterns of a simulation end in `*` or are whole
/// names.
fn is_named(webhook: &Webhook, row: &OutboxRow) -> bool {
    let name = webhook
        .events
        .iter()
        .any(|pattern| match pattern.text().strip_suffix('*') {
            Some(prefix) => row.event.starts_with(prefix),
            None => row.event == pattern.text(),
        });
    let tenant = match (&webhook.tenants, &row.tenant) {
        (None, _) => true,
        (Some(mine), Some(tenant)) => mine.iter().any(|m| **m == **tenant),
        (Some(_), None) => false,
    };
    name && tenant
}
