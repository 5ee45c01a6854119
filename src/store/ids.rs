//! How ids are bound to statements and read from columns: as the integers that they are.
//!
//! Which id a column has is said by the type that it is read into. The outbox's statements use these
//! too, for a trait has one implementation in a crate.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

use crate::model::{AttemptId, DeliveryId, EventId, Generation, PayloadId, ReplayId};

macro_rules! integers {
    ($($id:ty),+ $(,)?) => {$(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.get().into())
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map(Self::new)
            }
        }
    )+};
}

integers!(
    EventId, DeliveryId, PayloadId, AttemptId, ReplayId, Generation
);
