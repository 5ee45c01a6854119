//! The order of the overview's webhooks, kept for a moment where there are so many that finding it takes long.
//!
//! What stands in their rows is read anew each time; and so is the order, where that takes no time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::Clock;

/// An order that was found sooner is found again each time.
const SOON: Duration = Duration::from_millis(4);

/// It is kept for so many times what finding it took, and never longer than [`OLD`].
const SHARE: u32 = 200;
const OLD: Duration = Duration::from_secs(5);

/// The names of all webhooks, those first that somebody should look at.
#[derive(Default)]
pub(crate) struct Order(Mutex<Option<Kept>>);

struct Kept {
    names: Arc<[String]>,
    until: Instant,
}

impl Order {
    /// The order, as it is or was a moment ago.
    ///
    /// # Errors
    /// Those of `find`.
    pub(super) fn names<E>(
        &self,
        clock: &Clock,
        find: impl FnOnce() -> Result<Vec<String>, E>,
    ) -> Result<Arc<[String]>, E> {
        // One finds it, and those who come meanwhile have it too.
        let mut kept = self.0.lock();
        let begun = clock.instant();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > begun) {
            return Ok(kept.names.clone());
        }
        let names: Arc<[String]> = find()?.into();
        let took = clock.instant().saturating_duration_since(begun);
        *kept = kept_for(took).map(|time| Kept {
            names: names.clone(),
            until: begun + time,
        });
        Ok(names)
    }
}

/// For how long an order is kept that took so long to find.
fn kept_for(took: Duration) -> Option<Duration> {
    (took > SOON).then(|| OLD.min(took * SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_kept_where_it_took_long_and_for_a_moment() {
        let ms = Duration::from_millis;
        assert_eq!(kept_for(ms(4)), None);
        assert_eq!(kept_for(ms(10)), Some(ms(2_000)));
        assert_eq!(kept_for(ms(1_000)), Some(OLD));
    }

    #[test]
    fn one_that_is_kept_is_not_found_again() {
        let (clock, order) = (Clock::system(), Order::default());
        let found = || {
            let mut is_found = false;
            let names = order.names(&clock, || {
                is_found = true;
                Ok::<_, ()>(Vec::new())
            });
            names.map(|_| is_found)
        };
        assert_eq!((found(), found()), (Ok(true), Ok(true)), "it took no time");
        *order.0.lock() = Some(Kept {
            names: Arc::default(),
            until: clock.instant() + OLD,
        });
        assert_eq!(found(), Ok(false));
        *order.0.lock() = Some(Kept {
            names: Arc::default(),
            until: clock.instant(),
        });
        assert_eq!(found(), Ok(true));
    }
}
