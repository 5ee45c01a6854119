//! The question to the daemon how it is. A page waits for the answer for a moment, and then tells what the log has.
//!
//! One question is asked at a time, for a daemon that hangs may keep one for seconds: who comes meanwhile waits for that
//! one's answer, and no longer than its moment. Left out: the way to the daemon, which ends each question in the end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use crate::model::Clock;
use crate::model::clock::utc;
use crate::query::Status;

/// A page waits no longer. The daemon answers from memory, within a millisecond where it is well.
const PATIENCE: Duration = Duration::from_millis(250);

/// How the daemon is, or why it did not answer.
type Answer = Result<Status, String>;

/// Asks the daemon how it is.
#[derive(Clone)]
pub(crate) struct Question {
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
    asked: Arc<Asked>,
}

#[derive(Default)]
struct Asked {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    /// Since when an answer is waited for.
    since: Option<Instant>,
    /// How many were given.
    count: u64,
    last: Option<Answer>,
    /// When the daemon itself gave one last, UNIX milliseconds.
    heard_ms: Option<i64>,
}

impl Question {
    /// One that is asked so; it may block for as long as it likes.
    pub(crate) fn new(ask: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self {
            ask: Arc::new(ask),
            asked: Arc::default(),
        }
    }

    /// The daemon's answer, or why there is none so far. Within a runtime, on a thread that may block.
    pub(super) fn answer(&self, clock: &Clock) -> Answer {
        let mut state = self.asked.state.lock();
        let since = state.since.unwrap_or_else(|| clock.instant());
        if state.since.is_none() {
            state.since = Some(since);
            let (one, clock) = (self.clone(), clock.clone());
            tokio::task::spawn_blocking(move || one.hear(&clock));
        }
        let before = state.count;
        let until = (since + PATIENCE).into_std();
        let is_waiting = |state: &mut State| state.count == before;
        let waited = self
            .asked
            .answered
            .wait_while_until(&mut state, is_waiting, until);
        match &state.last {
            Some(last) if !waited.timed_out() => last.clone(),
            _ => Err(silent(clock.instant() - since, state.heard_ms)),
        }
    }

    fn hear(&self, clock: &Clock) {
        // A panic of it is an answer too, or nobody would ask again.
        let mut given = Given(&self.asked, Err("the question has failed".to_owned()), None);
        given.1 = (self.ask)();
        given.2 = given.1.is_ok().then(|| clock.now_ms());
    }
}

/// An answer, which is told when this ends.
struct Given<'a>(&'a Asked, Answer, Option<i64>);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.since = None;
        state.count += 1;
        state.heard_ms = self.2.or(state.heard_ms);
        state.last = Some(std::mem::replace(&mut self.1, Err(String::new())));
        self.0.answered.notify_all();
    }
}

/// What is said of a daemon that has not answered yet.
fn silent(waited: Duration, heard_ms: Option<i64>) -> String {
    let last = heard_ms.map_or_else(String::new, |ms| {
        let time = utc(ms).replace('T', " ").replace('Z', "");
        format!("; its last answer is of {time}")
    });
    format!(
        "it was asked {:.1} s ago and has said nothing yet{last}",
        waited.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_silent_daemon_is_asked_once_and_waited_for_a_moment() {
        let clock = Clock::system();
        let (say, said) = mpsc::channel::<Answer>();
        let said = Mutex::new((said, 0));
        let count = Arc::new(Mutex::new(0));
        let asked = count.clone();
        let question = Question::new(move || {
            *asked.lock() += 1;
            let answer = said.lock().0.recv();
            answer.unwrap_or_else(|_| Err("gone".to_owned()))
        });
        let answer = async || {
            let (question, clock) = (question.clone(), clock.clone());
            tokio::task::spawn_blocking(move || question.answer(&clock))
                .await
                .unwrap()
        };
        say.send(Ok(Status::default())).unwrap();
        assert!(answer().await.is_ok());
        let begun = Instant::now();
        let why = answer().await.unwrap_err();
        assert!(begun.elapsed() >= PATIENCE, "it is waited for");
        assert!(
            why.starts_with("it was asked 0.") && why.contains("its last answer is of 20"),
            "{why}"
        );
        // Whoever comes later waits no more, and asks nothing more.
        answer().await.unwrap_err();
        assert_eq!(*count.lock(), 2);
        say.send(Err("late".to_owned())).unwrap();
        say.send(Ok(Status::default())).unwrap();
        // The late answer ends the question, and the next one is asked anew.
        let until = Instant::now() + Duration::from_secs(20);
        while answer().await.is_err() {
            assert!(Instant::now() < until, "it is never asked again");
        }
        assert_eq!(*count.lock(), 3);
        drop(say);
        assert_eq!(answer().await.unwrap_err(), "gone");
    }
}
