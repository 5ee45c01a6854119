//! Events of webhooksd itself: their names and their ids.
//!
//! They are made in the transaction that makes the fact, and are events like others from there on. Left out:
//! the facts (`fact`), what their `data` is written as and who gets them (`pipeline/shared/own.rs`), and how they
//! come into the log (`store/own.rs`).

use super::EventId;

/// What their names begin with. Nobody else's do.
pub(crate) const PREFIX: &str = "webhooksd.";

/// A delivery was given up.
pub(crate) const FAILED: &str = "webhooksd.delivery.failed";
/// A webhook was paused, or paused itself.
pub(crate) const PAUSED: &str = "webhooksd.webhook.paused";
/// A pause has ended.
pub(crate) const RESUMED: &str = "webhooksd.webhook.resumed";
/// A row of the outbox was set aside.
pub(crate) const REJECTED: &str = "webhooksd.event.rejected";

/// All of them.
pub(crate) const NAMES: [&str; 4] = [FAILED, PAUSED, RESUMED, REJECTED];

/// Their ids are above this, where no outbox comes to: 2^52.
const BELOW: i64 = 1 << 52;

/// The most that time makes of an id: the year 2096. A clock that was ever so far ahead leaves as many ids
/// above it as a thousand a second are for ten thousand years.
const MOST_BY_TIME: i64 = 4_000_000_000_000_000;

/// Characters of an error or a reason that an event repeats.
pub(crate) const WORDS: usize = 1_000;

/// Whether a name, or a pattern of names, is one that webhooksd keeps for its own events.
#[must_use]
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether the event of that id and name is one of webhooksd itself. The name alone does not tell: a log from
/// before they were kept apart may have such a name of the application's.
#[must_use]
pub(crate) fn is_own(id: EventId, name: &str) -> bool {
    is_id(id) && is_reserved(name)
}

/// Whether an id is of those that only events of webhooksd itself have.
#[must_use]
pub(crate) fn is_id(id: EventId) -> bool {
    id.get() > BELOW
}

/// The id of the next one: above the last, and above all that another log has given out by that time, so that
/// none comes twice where the log is made anew.
#[must_use]
pub(crate) fn next_id(last: EventId, now_ms: i64) -> EventId {
    let by_time = now_ms.max(0).saturating_mul(1_000).min(MOST_BY_TIME);
    EventId::new((last.get() + 1).max(BELOW + 1 + by_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MAX_ID;

    #[test]
    fn ids_grow_whatever_the_clock_does_and_every_reader_of_json_keeps_them() {
        let now_ms = 1_731_576_737_000;
        let first = next_id(EventId::NONE, now_ms);
        assert_eq!(first.get(), (1 << 52) + 1 + now_ms * 1_000);
        let mut last = first;
        for clock_ms in [
            now_ms,
            now_ms - 9_000_000,
            0,
            -5,
            i64::MIN,
            now_ms + 1,
            i64::MAX,
            now_ms,
        ] {
            let next = next_id(last, clock_ms);
            assert!(next > last && next.get() > 1 << 52, "{next}");
            last = next;
        }
        // A clock that was in the year 9999 leaves more of them than are ever needed.
        assert!(MAX_ID - last.get() > 500_000_000_000, "{last}");
        assert_eq!(next_id(last, now_ms), last.next());
    }

    #[test]
    fn only_name_and_id_together_tell() {
        let own = next_id(EventId::NONE, 1);
        assert!(NAMES.iter().all(|name| is_own(own, name)));
        assert!(!is_own(EventId::new(7), FAILED) && !is_own(own, "webhooksdx"));
        assert!(!is_reserved("webhooksd") && is_reserved("webhooksd.x"));
    }
}
