//! Ids and generations: a type for each kind, so that none can stand for another, for a time or for a
//! count.
//!
//! Each is the number of its column and costs no more than that. What can be done with an id has a
//! name here: there is no arithmetic on the type. How one is bound to a statement and written as JSON
//! is left to the floors that know of those (`store::ids`, `query::ids`).

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])+ $vis:vis $name:ident),+ $(,)?) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        $vis struct $name(i64);

        impl $name {
            /// The id of that number.
            #[must_use]
            $vis const fn new(number: i64) -> Self {
                Self(number)
            }

            /// Its number, as the column has it.
            #[must_use]
            $vis const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )+};
}

ids! {
    /// An event's, which is its row's in the outbox: `outbox.id`, and `event_id` in the log.
    pub EventId,
    /// A delivery's, in the log: `delivery.id`. They grow with time.
    pub DeliveryId,
    /// A payload's, in the log: `payload.id`.
    pub PayloadId,
    /// An attempt's, in the log: `attempt.id`. They grow in the order in which attempts ended.
    pub(crate) AttemptId,
    /// A replay's, in the log: `replay.id`.
    pub ReplayId,
    /// How often the outbox was found to have been put back or exchanged: an event's id means one event
    /// within a generation, and may mean another in the next.
    pub Generation,
}

impl EventId {
    /// No event's: before the first, for the outbox begins at 1.
    pub const NONE: Self = Self(0);

    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one that is so many before it, whether there is such a row or not.
    #[must_use]
    pub const fn back(self, rows: i64) -> Self {
        Self(self.0.saturating_sub(rows))
    }

    /// How many ids it is behind another; negative where it is before it.
    #[must_use]
    pub const fn distance_from(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl DeliveryId {
    /// No delivery's: of one that is not written yet, and below all others.
    pub const NONE: Self = Self(0);
}

impl PayloadId {
    /// No payload's: of one that is not written yet.
    pub const NONE: Self = Self(0);
}

impl AttemptId {
    /// No attempt's: before the first.
    pub(crate) const NONE: Self = Self(0);
}

impl ReplayId {
    /// No replay's: of one that is not written down yet.
    pub const NONE: Self = Self(0);
}

impl Generation {
    /// That of an outbox in a new log.
    pub const FIRST: Self = Self(0);

    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_costs_and_shows_what_its_number_does() {
        assert_eq!(size_of::<EventId>(), size_of::<i64>());
        assert_eq!(EventId::new(1_024).to_string(), "1024");
        assert_eq!(
            format!("{:>5}|{:<3}|", EventId::new(-7), DeliveryId::new(7)),
            "   -7|7  |"
        );
    }

    #[test]
    fn no_step_leaves_the_numbers_there_are() {
        let (first, last) = (EventId::new(i64::MIN), EventId::new(i64::MAX));
        assert_eq!((last.next(), first.back(1)), (last, first));
        assert_eq!(EventId::NONE.next().back(1), EventId::NONE);
        assert_eq!(EventId::new(9).distance_from(EventId::new(12)), -3);
        assert_eq!(last.distance_from(first), i64::MAX);
    }
}
