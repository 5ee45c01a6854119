//! The one place that reads the time.
//!
//! Due times are wall-clock milliseconds, for they outlive the process; durations are taken from
//! the monotonic clock. Both come from one `Clock`, which is an argument everywhere, so that a test
//! can run the schedules of days in the paused time of tokio and step the wall clock at will.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use tokio::time::Instant;

/// Wall-clock and monotonic time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Wall time is `start_ms` + what tokio's clock has advanced + `step_ms`.
    Tokio {
        start: Instant,
        start_ms: i64,
        step_ms: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A wall clock that reads `start_ms` now and goes with tokio's clock, paused or not.
    #[must_use]
    pub fn follow_tokio(start_ms: i64) -> Self {
        Self(Source::Tokio {
            start: Instant::now(),
            start_ms,
            step_ms: Arc::default(),
        })
    }

    /// Steps the wall clock, as an administrator or NTP might. Does nothing to the machine's own.
    pub fn step(&self, by_ms: i64) {
        if let Source::Tokio { step_ms, .. } = &self.0 {
            step_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// UNIX milliseconds now; 0 before 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place")]
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Tokio {
                start,
                start_ms,
                step_ms,
            } => start_ms + millis(start.elapsed()) + step_ms.load(Ordering::Relaxed),
        }
    }

    /// The monotonic time now; a duration is the difference of two.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Milliseconds of a clock that nobody sets and that goes on while the machine sleeps, which the monotonic one does
    /// not (`clock_gettime(2)`, `CLOCK_BOOTTIME`). Only differences say something.
    #[must_use]
    pub fn boot_ms(&self) -> i64 {
        match &self.0 {
            Source::System => super::alarm::boot_ms(),
            Source::Tokio { start, .. } => millis(start.elapsed()),
        }
    }

    /// Waits until that moment, by the machine's clock to a tenth of a millisecond or so where it is near.
    pub async fn until(&self, at: Instant) {
        match &self.0 {
            Source::System => super::alarm::until(at).await,
            Source::Tokio { .. } => tokio::time::sleep_until(at).await,
        }
    }
}

/// The UNIX second of `Sat, 28 Nov 2026 17:11:20 GMT`, if it is written in exactly that way (RFC 9110,
/// section 5.6.7, IMF-fixdate).
#[must_use]
pub(crate) fn http_date_seconds(text: &str) -> Option<i64> {
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    let mut as_written = String::with_capacity(text.len());
    DateTimePrinter::new()
        .print_timestamp_rfc9110(&date, &mut as_written)
        .ok()?;
    (as_written == text).then(|| date.as_second())
}

/// Whole milliseconds of a span.
#[must_use]
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Whole microseconds of a span.
#[must_use]
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A UNIX millisecond for people: ISO 8601, UTC, to the second.
#[must_use]
pub(crate) fn utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(
        |_| format!("{ms} ms"),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_followed_clock_goes_with_tokio_and_steps() {
        let clock = Clock::follow_tokio(1_000);
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(clock.now_ms(), 86_401_000);
        clock.step(-86_400_000);
        assert_eq!(clock.now_ms(), 1_000);
    }
}
