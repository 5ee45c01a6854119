//! The rows of an INSERT, a column at a time.
//!
//! What is the same in all rows is one value, and what differs an array: the server takes each array apart by itself, which
//! costs as much as the row's other work where there are dozens. So what a statement is made of goes by what is in it.

use tokio_postgres::types::{ToSql, Type};

use crate::postgres::Value;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Int,
    Small,
    Word,
    Truth,
    Bytes,
}

impl Of {
    fn one(self) -> Type {
        match self {
            Self::Int => Type::INT8,
            Self::Small => Type::INT4,
            Self::Word => Type::TEXT,
            Self::Truth => Type::BOOL,
            Self::Bytes => Type::BYTEA,
        }
    }

    fn many(self) -> Type {
        match self {
            Self::Int => Type::INT8_ARRAY,
            Self::Small => Type::INT4_ARRAY,
            Self::Word => Type::TEXT_ARRAY,
            Self::Truth => Type::BOOL_ARRAY,
            Self::Bytes => Type::BYTEA_ARRAY,
        }
    }
}

struct Column<'a> {
    name: &'static str,
    is_each: bool,
    value: Box<dyn ToSql + Sync + 'a>,
    of: Type,
}

/// At least one row, for one table.
pub(super) struct Rows<'a> {
    table: &'static str,
    columns: Vec<Column<'a>>,
}

impl<'a> Rows<'a> {
    /// `values`: the column that the rows are counted by, an array whatever it holds.
    pub(super) fn new<T>(table: &'static str, name: &'static str, of: Of, values: Vec<T>) -> Self
    where
        T: ToSql + Sync + 'a,
    {
        let columns = Vec::with_capacity(27);
        let mut rows = Self { table, columns };
        rows.push(name, true, Box::new(values), of.many());
        rows
    }

    /// One more column.
    pub(super) fn add<T>(&mut self, name: &'static str, of: Of, values: Vec<T>) -> &mut Self
    where
        T: ToSql + Sync + PartialEq + 'a,
    {
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            return self.all(name, of, values.into_iter().next());
        }
        self.push(name, true, Box::new(values), of.many());
        self
    }

    /// One that is the same in all rows.
    pub(super) fn all<T>(&mut self, name: &'static str, of: Of, value: T) -> &mut Self
    where
        T: ToSql + Sync + 'a,
    {
        self.push(name, false, Box::new(value), of.one());
        self
    }

    fn push(
        &mut self,
        name: &'static str,
        is_each: bool,
        value: Box<dyn ToSql + Sync + 'a>,
        of: Type,
    ) {
        let column = Column {
            name,
            is_each,
            value,
            of,
        };
        self.columns.push(column);
    }

    pub(super) fn sql(&self) -> String {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let (mut arrays, mut of_arrays) = (Vec::new(), Vec::new());
        for (at, column) in self.columns.iter().enumerate() {
            let (name, value) = (column.name, format!("${}", at + 1));
            names.push(name);
            if column.is_each {
                values.push(format!("r.{name}"));
                arrays.push(value);
                of_arrays.push(name);
            } else {
                values.push(value);
            }
        }
        let [names, values] = [names.join(", "), values.join(", ")];
        let [arrays, of_arrays] = [arrays.join(", "), of_arrays.join(", ")];
        let table = self.table;
        format!(
            "INSERT INTO webhooksd.{table} ({names}) SELECT {values} FROM unnest({arrays}) AS r({of_arrays})"
        )
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let value = |column: &'_ Column<'a>| column.of.clone();
        let columns = self.columns.iter();
        columns.map(|c| (&*c.value as _, value(c))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_in_all_rows_is_said_once() {
        let mut rows = Rows::new("pending", "id", Of::Int, vec![7_i64, 7]);
        rows.add("webhook", Of::Word, vec!["a", "b"])
            .add("attempts", Of::Small, vec![1, 1])
            .add("due_at", Of::Int, vec![None::<i64>, None])
            .all("origin", Of::Word, "event");
        assert_eq!(
            rows.sql(),
            "INSERT INTO webhooksd.pending (id, webhook, attempts, due_at, origin) \
             SELECT r.id, r.webhook, $3, $4, $5 FROM unnest($1, $2) AS r(id, webhook)"
        );
        let types: Vec<Type> = rows.values().into_iter().map(|(_, of)| of).collect();
        let expected = [
            Type::INT8_ARRAY,
            Type::TEXT_ARRAY,
            Type::INT4,
            Type::INT8,
            Type::TEXT,
        ];
        assert_eq!(types, expected);
    }
}
