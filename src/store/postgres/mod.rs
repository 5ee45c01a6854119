//! A log in PostgreSQL: its shape, what is asked of it, and what writes it.
//!
//! The tables are those of `schema.sql`, in the schema `webhooksd`; the views of `views.sql` have the names, columns and
//! units of a log in SQLite. Every statement names the schema, is typed and unnamed, and no state of a session is used,
//! so that a pooler may stand between.

mod cursor;
mod place;
mod read;
mod roster;
mod takeover;
mod write;

pub(super) use place::{cursor_of, make_for};
pub(super) use read::Reader;
pub(super) use roster::Table;
pub(crate) use takeover::{TakenOver, take_over};
pub(super) use write::Writer;

/// The version of the shape that is made here.
const VERSION: i32 = 1;

/// The oldest that is written to; also what a log says of who may write to it.
const OLDEST: i32 = 1;

/// The tables, then the views.
pub(super) const SCHEMA: [&str; 2] = [include_str!("schema.sql"), include_str!("views.sql")];
