//! A log in PostgreSQL: its shape, what is asked of it, and what writes it.
//!
//! The tables are those of `schema`, a file for each version, in the schema `webhooksd`; the views of `views.sql` have the names, columns and
//! units of a log in SQLite. Every statement names the schema, is typed and unnamed, and no state of a session is used,
//! so that a pooler may stand between.

mod cursor;
mod days;
mod place;
mod read;
mod roster;
mod shape;
mod takeover;
mod write;

pub(crate) use days::Gone;
pub(super) use days::{expire_days, make_days, shed_days};
pub(crate) use place::Brought;
pub(super) use place::{cursor_of, upgrade};
pub(super) use read::Reader;
pub(super) use roster::Table;
pub(crate) use takeover::{TakenOver, take_over};
pub(super) use write::Writer;

/// The version of the shape that is made here.
const VERSION: i32 = 2;

/// The oldest that is written to.
const OLDEST: i32 = 2;

/// What a log says of who may write to it: those that know this version, and whatever is above.
const FOR_ALL_FROM: i32 = 1;
