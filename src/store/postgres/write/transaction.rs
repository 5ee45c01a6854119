//! A transaction while it is open: its statements, and what becomes of memory once it is committed.
//!
//! Left out: how one begins and ends, which is the writer's.

use std::cell::RefCell;

use tokio_postgres::Row;

use super::rows::Rows;
use crate::model::DeliveryId;
use crate::postgres::{Link, Trouble, Value};

/// A column, or why it can't be read.
pub(super) type Read<T> = Result<T, tokio_postgres::Error>;

/// A transaction that is open.
#[derive(Debug)]
pub(super) struct Transaction<'l> {
    pub(super) link: &'l Link,
    pub(super) step: &'static str,
    pub(super) took: RefCell<Vec<DeliveryId>>,
    pub(super) let_go: RefCell<Vec<DeliveryId>>,
}

impl Transaction<'_> {
    /// The rows of a statement.
    pub(super) fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Trouble> {
        self.link.rows(self.step, sql, values)
    }

    /// How many rows a statement changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, Trouble> {
        self.link.execute(self.step, sql, values)
    }

    /// Writes rows of one table.
    pub(super) fn insert(&self, rows: &Rows<'_>) -> Result<(), Trouble> {
        self.execute(&rows.sql(), &rows.values()).map(drop)
    }

    /// Writes rows of two tables, which go to the server together.
    pub(super) fn insert_both(&self, first: &Rows<'_>, second: &Rows<'_>) -> Result<(), Trouble> {
        let (sql, more_sql) = (first.sql(), second.sql());
        let (values, more_values) = (first.values(), second.values());
        let both = [(&*sql, &*values), (&*more_sql, &*more_values)];
        self.link.execute_both(self.step, both)
    }

    /// What a statement finds.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, Trouble> {
        let rows = self.rows(sql, values)?;
        read(self.link, self.step, &rows, of)
    }

    /// The first row that a statement finds.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Option<T>, Trouble> {
        Ok(self.all(sql, values, of)?.into_iter().next())
    }

    /// What a statement says of one thing that holds or does not.
    pub(super) fn holds(&self, sql: &str, values: &[Value<'_>]) -> Result<bool, Trouble> {
        Ok(self.first(sql, values, |row| row.try_get(0))? == Some(true))
    }

    /// Memory has that delivery once this is committed.
    pub(super) fn took(&self, id: DeliveryId) {
        self.took.borrow_mut().push(id);
    }

    /// Memory has these no longer once this is committed.
    pub(super) fn let_go(&self, ids: impl IntoIterator<Item = DeliveryId>) {
        self.let_go.borrow_mut().extend(ids);
    }
}

pub(super) fn read<T>(
    link: &Link,
    step: &'static str,
    rows: &[Row],
    of: impl Fn(&Row) -> Read<T>,
) -> Result<Vec<T>, Trouble> {
    let read: Read<Vec<T>> = rows.iter().map(of).collect();
    read.map_err(|error| Trouble::of_step(&link.server, step, error))
}
