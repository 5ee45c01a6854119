//! A transaction while it is open: its statements, and what becomes of memory once it is committed.
//!
//! Left out: how one begins and ends, which is the writer's.

use std::cell::RefCell;

use tokio_postgres::Row;

use super::node::Fence;
use super::rows::Rows;
use crate::model::DeliveryId;
use crate::postgres::{Behind, Link, Opening, Trouble, Value, What};

/// A column, or why it can't be read.
pub(super) type Read<T> = Result<T, tokio_postgres::Error>;

/// A transaction that is open, or is opened by its first statement: what begins it goes to the server with that.
#[derive(Debug)]
pub(super) struct Transaction<'l> {
    link: &'l Link,
    step: &'static str,
    begin: &'static str,
    /// Until it is open.
    fence: RefCell<Option<Fence>>,
    pub(super) took: RefCell<Vec<DeliveryId>>,
    pub(super) let_go: RefCell<Vec<DeliveryId>>,
}

impl<'l> Transaction<'l> {
    pub(super) fn new(
        link: &'l Link,
        step: &'static str,
        begin: &'static str,
        fence: Fence,
    ) -> Self {
        Self {
            link,
            step,
            begin,
            fence: RefCell::new(Some(fence)),
            took: RefCell::default(),
            let_go: RefCell::default(),
        }
    }

    /// Has it open, where no statement has opened it.
    pub(super) fn open(&self) -> Result<(), Trouble> {
        let Some(fence) = self.fence.take() else {
            return Ok(());
        };
        let opened = fence.opening(self.begin, |by| self.link.open_by(self.step, by))?;
        self.passed((opened, Ok(())))
    }

    /// What came of the statement that went with the fence: nothing of it holds where this node's row is gone.
    fn passed<T>(&self, (fence, then): Behind<T>) -> Result<T, Trouble> {
        if fence == 1 {
            return then;
        }
        Err(Trouble::new(&self.link.server, What::Unknown))
    }

    /// The rows of a statement.
    pub(super) fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Trouble> {
        let Some(fence) = self.fence.take() else {
            return self.link.rows(self.step, sql, values);
        };
        let both = |by: &Opening<'_>| self.link.rows_behind(self.step, by, (sql, values));
        self.passed(fence.opening(self.begin, both)?)
    }

    /// How many rows a statement changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, Trouble> {
        let Some(fence) = self.fence.take() else {
            return self.link.execute(self.step, sql, values);
        };
        let both = |by: &Opening<'_>| self.link.execute_behind(self.step, by, (sql, values));
        self.passed(fence.opening(self.begin, both)?)
    }

    /// Writes rows of one table.
    pub(super) fn insert(&self, rows: &Rows<'_>) -> Result<(), Trouble> {
        self.execute(&rows.sql(), &rows.values()).map(drop)
    }

    /// Writes rows of two tables, which go to the server together.
    pub(super) fn insert_both(&self, first: &Rows<'_>, second: &Rows<'_>) -> Result<(), Trouble> {
        self.open()?;
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
