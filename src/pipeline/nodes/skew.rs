//! Skew: a node's machine whose clock is not the server's is told of.
//!
//! Who is dead is nobody's clock's to say, but when a retry is due is written by the clock of who sent last, and read by
//! that of who sends next. Left out: what is done about it, which is a person's.

use crate::outbox::Finding;

/// From how much on it is told, milliseconds: more than an answer takes, and less than the first retry's delay.
const TOLD_MS: i64 = 5_000;

/// How far a clock is from the server's, as it was told last: of a clock that only drifts nobody hears twice.
#[derive(Debug, Default)]
pub(super) struct Skew(Option<i64>);

impl Skew {
    /// The server said `server_ms` between these two moments of this machine's. What stands about it now.
    pub(super) fn see(
        &mut self,
        (before_ms, after_ms): (i64, i64),
        server_ms: i64,
    ) -> Option<Finding> {
        // Positive: this machine is ahead by that at the least.
        let ahead_ms = (before_ms - server_ms).max(0) + (after_ms - server_ms).min(0);
        if ahead_ms.abs() < TOLD_MS {
            self.0 = None;
            return None;
        }
        let told_ms = *self.0.get_or_insert(ahead_ms);
        if (ahead_ms - told_ms).abs() > told_ms.abs() / 4 + TOLD_MS {
            self.0 = Some(ahead_ms);
        }
        self.0.map(finding)
    }
}

fn finding(ahead_ms: i64) -> Finding {
    let seconds = ahead_ms.abs() / 1_000;
    let (count, unit) = match seconds {
        7_200.. => ((seconds + 1_800) / 3_600, "hours"),
        120.. => ((seconds + 30) / 60, "minutes"),
        _ => (seconds, "s"),
    };
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    Finding {
        is_error: false,
        text: format!("this machine's clock is some {count} {unit} {side} that of the log's server"),
        hint: Some(
            "have both follow NTP: the times in the log are those of the node that sent, and a retry that another node \
             takes over comes that much too late or too early"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_once_and_a_slow_answer_is_none() {
        let hour = 3_600_000;
        let mut skew = Skew::default();
        assert_eq!(skew.see((0, 20_000), 10_000), None, "it took that long");
        assert_eq!(skew.see((0, 20), -4_000), None);
        let told = skew.see((5 * hour, 5 * hour + 20), 9).unwrap();
        assert!(told.text.contains("5 hours ahead of"), "{}", told.text);
        assert_eq!(skew.see((5 * hour - 900, 5 * hour), 9), Some(told));
        let told = skew.see((0, 20), 5 * hour).unwrap();
        assert!(told.text.contains("hours behind"), "{}", told.text);
        assert_eq!(skew.see((0, 20), 10), None);
    }
}
