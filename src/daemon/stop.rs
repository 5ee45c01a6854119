//! How long the parts of the stop may take, and what it does for the outbox's file and for clients.
//!
//! `TimeoutStopSec=` of the units covers all the waits. Their order is `daemon`'s.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::Error;
use crate::api::Appending;
use crate::outbox;
use crate::pipeline::Followed;

/// What a blocked thread, such as one that waits for a name server, may delay the exit.
pub(super) const EXIT: Duration = Duration::from_millis(200);

/// How long the last results may wait for a log that does not take them.
pub(super) const RECORD: Duration = Duration::from_secs(5);

/// How long the exit may wait for the outbox's file to be made whole: a WAL is 4 to 16 MiB mostly.
pub(super) const WHOLE: Duration = Duration::from_secs(5);

/// How long the loops may take to end, the last synchronisation of the log among it.
pub(super) const LOOPS: Duration = Duration::from_secs(5);

/// Copies the outbox's WAL into its file, as the last connection to a database does that may write.
/// Ours of the intake only reads, so that the file alone would lack what the application wrote last.
pub(super) async fn leave_whole(path: PathBuf, followed: oneshot::Receiver<Followed>) {
    if !followed.is_terminated() {
        // The intake's last word, with which its connection is closed; it was told to stop.
        drop(followed.await);
    }
    // Who may not write the file, or has a reader that needs the old state, keeps the WAL.
    drop(tokio::task::spawn_blocking(move || outbox::backfill(&path)).await);
}

/// Waits for the thread that appends, where it runs still: nobody asks it any more.
pub(super) async fn append_stopped(appending: Option<Appending>) -> Result<(), Error> {
    let Some(mut thread) = appending else {
        return Ok(());
    };
    match tokio::time::timeout(RECORD, thread.ended()).await {
        Ok(false) => Err(Error::Panicked),
        // One that waits for the application still has answered nobody, and may be left.
        Ok(true) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;
    use crate::pipeline::Dispatch;
    use crate::transport::Client;

    #[test]
    fn the_units_let_a_stop_end() {
        // The last answers have the time of what is in flight and of its record, which is longer.
        let waits = [
            Dispatch::<Client>::DRAIN,
            RECORD,
            RECORD,
            LOOPS,
            WHOLE,
            EXIT,
        ];
        let longest: Duration = waits.iter().sum();
        for unit in [
            include_str!("../../packaging/units/webhooksd.service"),
            include_str!("../../packaging/units/webhooksd@.service"),
        ] {
            let lines = unit.lines();
            let mut said = lines.filter_map(|line| line.strip_prefix("TimeoutStopSec="));
            let seconds = said.next().unwrap().parse().unwrap();
            assert!(Duration::from_secs(seconds) > longest, "{longest:?}");
            let attempt = dialect::longest_attempt().as_secs();
            let said = format!("requests in flight end, {attempt} s at most");
            assert!(unit.contains(&said), "{said}");
        }
    }
}
