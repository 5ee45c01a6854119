//! What an application does to rows that it wrote: UPDATEs, upserts, rebuilds, a counter set back.
//!
//! The oracle holds that no UPDATE and no rebuild makes the cursor go back, and that every row that is
//! there after a counter was set back is taken, also where rows up to the very place of the cursor or
//! beyond it are written before the product looks.

use std::collections::BTreeMap;

use super::super::process::lock;
use super::super::rows::OutboxRow;
use super::super::subscriptions::{EVENTS, TENANTS};
use super::{HOUR_MS, World};
use crate::model::Clock;
use crate::outbox::application::{self, Set};

impl World {
    /// The application changes rows: the newest, some, or all; a column, several, or every one.
    pub(super) fn change(&mut self, now_ms: i64) {
        let good: Vec<i64> = {
            let oracle = lock(&self.oracle);
            let good = oracle.rows.iter().filter(|(_, row)| !row.bad);
            good.map(|(id, _)| *id).collect()
        };
        let last = match self.rng.from(0, 2) {
            0 => 1,
            1 => self.rng.size(2, 20),
            _ => good.len(),
        };
        let ids = &good[good.len().saturating_sub(last)..];
        self.numbers += 1;
        let prefix = format!("changed-{}-", self.numbers);
        let set = self.any_columns(&prefix, now_ms.max(0));
        application::update(self.files.outbox(), ids, set);
        let mut oracle = lock(&self.oracle);
        for id in ids {
            let row = oracle.rows.get_mut(id).unwrap();
            if let Some(event) = set.event {
                row.event = event.into();
            }
            if let Some(tenant) = set.tenant {
                row.tenant = Some(tenant.into());
            }
            if let Some(number) = set.data {
                row.data = format!("{{\"changed\":{number},\"id\":{id}}}");
            }
            if set.key.is_some() {
                row.key = Some(format!("{prefix}{id}"));
            }
        }
        let timed = set.time_ms.is_some() || set.shift_ms.is_some();
        let columns = [
            ("data", set.data.is_some()),
            ("time", timed),
            ("key", set.key.is_some()),
        ];
        let changed = columns.iter().filter(|(_, changed)| *changed);
        oracle.changed(&changed.map(|(column, _)| *column).collect());
        oracle.note(&format!("changed {} rows: {set:?}", ids.len()));
        oracle.count("rows changed");
    }

    fn any_columns<'a>(&mut self, prefix: &'a str, now_ms: i64) -> Set<'a> {
        let none = Set::default();
        let (event, tenant) = (*self.rng.of(&EVENTS), *self.rng.of(&TENANTS));
        let all_but_time = Set {
            event: Some(event),
            data: Some(self.numbers),
            tenant: Some(tenant),
            key: Some(prefix),
            ..none
        };
        let shift_ms = *self.rng.of(&[-HOUR_MS, -1, 1, HOUR_MS]);
        let kinds = [
            Set {
                event: Some(event),
                ..none
            },
            Set {
                data: Some(self.numbers),
                ..none
            },
            Set {
                tenant: Some(tenant),
                ..none
            },
            Set {
                key: Some(prefix),
                ..none
            },
            Set {
                shift_ms: Some(shift_ms),
                ..none
            },
            all_but_time,
            Set {
                time_ms: Some(now_ms),
                ..all_but_time
            },
        ];
        *self.rng.of(&kinds)
    }

    /// Events by key, of which some have been written before.
    pub(super) fn upsert(&mut self, clock: &Clock) {
        let keyed: Vec<String> = {
            let oracle = lock(&self.oracle);
            oracle
                .rows
                .values()
                .filter_map(|row| row.key.clone())
                .collect()
        };
        for _ in 0..self.rng.from(1, 3) {
            self.numbers += 1;
            let number = self.numbers;
            let key = if keyed.is_empty() || self.rng.in_thousand(300) {
                format!("key-{number}")
            } else {
                self.rng.of(&keyed).clone()
            };
            let event = *self.rng.of(&EVENTS);
            let data = format!("{{\"n\":{number}}}");
            let now_ms = clock.now_ms().max(0);
            let (id, is_new) = application::upsert(self.files.outbox(), event, &data, now_ms, &key);
            let mut oracle = lock(&self.oracle);
            // One that was deleted by age is a new row, also under an id that the oracle knows another by.
            if let Some(row) = oracle.rows.get_mut(&id).filter(|_| !is_new) {
                row.event = event.into();
                row.data = data;
                oracle.changed(&["upsert"].into());
            } else {
                let row = OutboxRow {
                    number,
                    event: event.into(),
                    data,
                    tenant: None,
                    bad: false,
                    key: Some(key),
                };
                oracle.wrote(id, row);
            }
            oracle.note(&format!("upserted {id}"));
            oracle.count("rows upserted");
        }
    }

    /// A migration makes the table anew.
    pub(super) fn rebuild(&mut self) {
        let last = application::rebuild(self.files.outbox());
        let mut oracle = lock(&self.oracle);
        // Where the newest rows were deleted, their ids are given anew.
        oracle.put_back |= last < oracle.cursor.1;
        oracle.note(&format!("the table is rebuilt, up to {last}"));
        oracle.count("tables rebuilt");
    }

    /// The application empties its table, and begins to count anew.
    pub(super) fn empty(&mut self) {
        let anew = self.rng.in_thousand(500);
        application::empty(self.files.outbox(), anew);
        let mut oracle = lock(&self.oracle);
        oracle.restored(BTreeMap::new());
        oracle.emptied = true;
        oracle.note("the table is emptied and its counter set back");
        oracle.count("counters set back");
    }
}
