//! Hostile input: rows, lines and requests that no friend would write.
//!
//! Each is refused in clear words or delivered to the byte, what comes behind it goes on, and memory
//! stays within a bound. Nothing of it reaches a header, and nothing a terminal. Bytes by chance are
//! the fuzzers' (tests/fuzz); crowds and slow clients are tried in `socket::crowd`.

mod emit;
mod ids;
mod rows;
mod sizes;
mod socket;

use crate::support::World;

/// The documented columns, without any rule and any type: a row holds what was bound.
const LAX: &str = "CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time, tenant, key)";

/// An outbox of that table, in WAL mode.
fn lax_outbox(world: &World) -> rusqlite::Connection {
    let outbox = world.outbox();
    outbox.pragma_update(None, "journal_mode", "WAL").unwrap();
    outbox.execute_batch(LAX).unwrap();
    outbox
}

/// Holds that nothing in the text would be obeyed by a terminal.
#[track_caller]
fn harmless(text: &str) {
    let obeyed = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
    assert!(!text.contains(obeyed), "{text:?}");
}
