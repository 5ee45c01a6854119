//! Refill: due rows of the log go back into the lanes' queues.
//!
//! The calendar has at most a few entries for each webhook, however many retries wait: the earliest
//! due time that is known. When it comes, the rows due by then are read in order of their due time,
//! and the next entry is looked up. The loop sleeps until the next entry, a lane that runs low, or
//! its poll, which is also when it sees what others wrote into the log (a redelivery, a pause by SQL) and
//! whether the wall clock was stepped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dialect;
use crate::model::clock::millis;
use crate::model::crash;
use crate::pipeline::send::{Dispatch, Lane};
use crate::pipeline::shared::{LogGuard, chain};
use crate::store;
use crate::transport::Transport;

/// Between two looks at what other nodes have admitted, where there are some: after one that found something, and at
/// most, as often as an outbox is looked at. Each is some 0.05 ms of the server's where nobody committed anything.
const OTHERS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// So many times as long as a look took, up to the most: a server that has much to do is asked less often.
const OTHERS_PAUSE: u32 = 4;

/// How far the wall clock may drift from the monotonic one between two looks before it counts as
/// stepped: far more than NTP slews, far less than a retry's delay.
const STEP_MS: i64 = 1_000;

/// Rows of one chunk when due times are clamped: some 5 ms of the log's lock.
const CHUNK_ROWS: usize = 500;

/// What the loop remembers between two polls.
struct Seen {
    redelivery: i64,
    /// Others may have written what was not looked at: the log failed between the two.
    unsure: bool,
    wall_ms: i64,
    instant: Instant,
    others: Others,
}

/// When to look at what other nodes have admitted.
struct Others {
    at: Instant,
    gap: Duration,
}

impl Others {
    /// A look was made. Who takes events in has what others add by order alone: for that the poll is often enough.
    fn looked(
        &mut self,
        (begun, now): (Instant, Instant),
        found: bool,
        leads: bool,
        poll: Duration,
    ) {
        let longest = if leads { poll } else { OTHERS.1 };
        self.gap = if found { OTHERS.0 } else { self.gap * 3 / 2 }.min(longest);
        let took = now.saturating_duration_since(begun);
        self.at = now + self.gap.max((took * OTHERS_PAUSE).min(longest));
    }
}

impl<T: Transport> Dispatch<T> {
    /// Fills lanes until the pipeline stops.
    ///
    /// # Errors
    /// The log can't be read for a reason that will not pass.
    pub async fn refill(self: Arc<Self>) -> Result<(), store::Error> {
        let mut stop = self.stopping();
        let (begun_ms, begun) = self.running().begun();
        let mut seen = Seen {
            redelivery: -1,
            unsure: true,
            // Not as they are now: a step since the start's own pass is to be seen.
            wall_ms: begun_ms,
            instant: begun,
            others: Others {
                at: begun,
                gap: OTHERS.0,
            },
        };
        let mut poll_at = self.clock().instant();
        while !self.is_stopping() {
            let round = self.round(&mut seen, &mut poll_at).await;
            let wait = match round {
                Ok(wait) => {
                    self.counters().refill.tick(self.clock());
                    wait
                }
                Err(error) if error.is_transient() => {
                    let (text, hint) = (chain(&error), error.hint());
                    let heartbeat = &self.counters().refill;
                    if heartbeat.trouble(self.clock(), (text.clone(), hint.clone()), 0) {
                        tracing::warn!(
                            step = "read due deliveries",
                            error = text,
                            hint,
                            "the log can't be read or changed; trying again"
                        );
                    }
                    self.running().pace().poll
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = self.refill_asked() => {}
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        Ok(())
    }

    /// One round: what the poll sees, what has come due, what runs low. Returns how long to wait.
    async fn round(
        self: &Arc<Self>,
        seen: &mut Seen,
        poll_at: &mut Instant,
    ) -> Result<Duration, store::Error> {
        if self.clock().instant() >= *poll_at {
            self.look_around(seen).await?;
            *poll_at = self.clock().instant() + self.running().pace().poll;
        }
        let now = self.clock().instant();
        if !self.share().has_all() && now >= seen.others.at {
            let found = self.look_for_others().await?;
            let (leads, poll) = (self.share().leads(), self.running().pace().poll);
            let looked = (now, self.clock().instant());
            seen.others.looked(looked, found, leads, poll);
        }
        if self.is_pause_due() {
            self.with_store(|this, log| this.look_at_pauses(log, false))
                .await?;
        }
        self.ask_for_tries();
        let mut low = self.lanes_to_fill().into_iter();
        while let Some(lane) = low.next() {
            if let Err(error) = self.fill_from_log(&lane).await {
                // None of the lanes may be forgotten: they are marked as listed and nobody else asks.
                self.fill_later(std::iter::once(lane).chain(low));
                return Err(error);
            }
        }
        let poll = poll_at.saturating_duration_since(self.clock().instant());
        let poll = if self.share().nodes().len() > 1 {
            let now = self.clock().instant();
            poll.min(seen.others.at.saturating_duration_since(now))
        } else {
            poll
        };
        let next_ms = self.next_due_ms().into_iter();
        let next_ms = next_ms.chain(self.gates().next_ms()).min();
        let due = next_ms.map(|at_ms| at_ms - self.clock().now_ms());
        Ok(due.map_or(poll, |ms| {
            poll.min(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
        }))
    }

    async fn fill_from_log(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
    ) -> Result<(), store::Error> {
        let this_lane = lane.clone();
        self.with_store(move |this, log| this.read_due(log, &this_lane))
            .await?;
        self.fill(lane);
        Ok(())
    }

    /// Reads due rows into the queue.
    fn read_due(
        &self,
        log: &mut LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
    ) -> Result<(), store::Error> {
        let now_ms = self.clock().now_ms();
        let Some((rows, bytes)) = self.room(log, lane) else {
            return Ok(());
        };
        let dues = log.due(lane.name(), now_ms, rows, bytes, &|id| lane.holds(id))?;
        for id in log.take_unreadable() {
            tracing::warn!(
                step = "read due deliveries",
                webhook = &**lane.name(),
                delivery = id.get(),
                hint = "somebody has changed its row or its body in the log",
                "a delivery can't be read, and is given up"
            );
        }
        self.look_for_own(log);
        let read: usize = dues.iter().map(|due| due.body.len()).sum();
        let more = dues.len() >= rows || read >= bytes;
        let later = if more {
            None
        } else {
            log.next_due_after(lane.name(), now_ms)?
        };
        self.queue(log, lane, dues, more);
        self.heed_turns(log);
        if let Some(at_ms) = later {
            self.note_due(lane, at_ms);
        }
        Ok(())
    }

    /// What other nodes have admitted for this one's webhooks; whether there was something.
    async fn look_for_others(self: &Arc<Self>) -> Result<bool, store::Error> {
        let given = self.with_store(|_, store| store.given_by_others()).await?;
        for name in &given {
            if let Some(lane) = self.lane(name) {
                self.look_for_due(&lane);
            }
        }
        Ok(!given.is_empty())
    }

    /// What others wrote into the log, and a clock that was stepped.
    async fn look_around(self: &Arc<Self>, seen: &mut Seen) -> Result<(), store::Error> {
        let last = seen.redelivery;
        let look = std::mem::replace(&mut seen.unsure, true);
        let found = self
            .with_store(move |this, store| {
                let changed = store.changed()? || look;
                this.look_at_pauses(store, changed)?;
                if !changed {
                    return Ok((last, Vec::new()));
                }
                store.redelivered_since(last)
            })
            .await?;
        if !found.1.is_empty() {
            crash::point("redeliver", "seen in the log");
        }
        for name in found.1 {
            self.came_to_be_due(&name, "redeliveries").await?;
        }
        // Only now: where the log failed meanwhile, all of them are looked at again.
        (seen.redelivery, seen.unsure) = (found.0, false);
        let (wall_ms, instant) = (self.clock().now_ms(), self.clock().instant());
        let step_ms =
            wall_ms - seen.wall_ms - millis(instant.saturating_duration_since(seen.instant));
        if step_ms.abs() > STEP_MS {
            tracing::warn!(step_ms, "the wall clock was stepped");
            self.clamp().await?;
        }
        // Only now: a step that the log did not let us see to is seen again at the next look.
        (seen.wall_ms, seen.instant) = (wall_ms, instant);
        Ok(())
    }

    /// A webhook got deliveries of that kind in the log: they are due, or cancelled where nobody serves it.
    pub(super) async fn came_to_be_due(
        self: &Arc<Self>,
        name: &str,
        what: &str,
    ) -> Result<(), store::Error> {
        let Some(lane) = self.lane(name).filter(|_| self.is_served(name)) else {
            if !self.share().leads() {
                return Ok(());
            }
            let cancelled = self.cancel_pending(name.into()).await?;
            tracing::warn!(
                webhook = name,
                cancelled,
                "{what} cancelled: the webhook is inactive or not in the configuration"
            );
            return Ok(());
        };
        self.look_for_due(&lane);
        Ok(())
    }

    /// Makes no delivery wait longer than its step's delay from now: what is due later than that
    /// became so by a clock that went back.
    ///
    /// # Errors
    /// As of the log.
    pub async fn clamp(self: &Arc<Self>) -> Result<(), store::Error> {
        loop {
            let clamped = self
                .with_store(move |this, store| {
                    let now_ms = this.clock().now_ms();
                    store.clamp_due(
                        now_ms,
                        &dialect::longest_delay_ms,
                        this.bounds().of(CHUNK_ROWS),
                    )
                })
                .await?;
            if !clamped.more {
                break;
            }
        }
        self.look_at_holds();
        self.enter_all().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn others_are_looked_for_soon_after_something_came_and_ever_less_often() {
        let (now, poll) = (Instant::now(), Duration::from_millis(500));
        let mut others = Others {
            at: now,
            gap: OTHERS.1,
        };
        let mut gap = |found, leads| {
            others.looked((now, now), found, leads, poll);
            assert_eq!(others.at, now + others.gap);
            others.gap
        };
        assert_eq!(gap(true, false), OTHERS.0);
        assert!(gap(false, false) > OTHERS.0);
        for _ in 0..10 {
            assert!(gap(false, false) <= OTHERS.1);
        }
        for _ in 0..10 {
            gap(false, true);
        }
        assert_eq!(gap(false, true), poll);
        assert_eq!(gap(false, false), OTHERS.1);
        let mut behind = |took| {
            others.looked((now, now + took), true, false, poll);
            others.at - now - took
        };
        assert_eq!(behind(Duration::from_millis(1)), OTHERS.0);
        assert_eq!(behind(OTHERS.0), OTHERS.0 * OTHERS_PAUSE);
        assert_eq!(behind(OTHERS.1), OTHERS.1);
    }
}
