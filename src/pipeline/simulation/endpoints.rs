//! Endpoints by seed: healthy, slow, silent, dripping, refusing, flapping, resetting; and a machine
//! of our own that can't send, or an attempt that panics.
//!
//! What they see and answer goes into the oracle, which judges it. No socket is opened.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::hooks;
use super::oracle::Oracle;
use super::rng::Rng;
use super::together::failures;
use crate::model::{Answer, Class, Exchange, Failure, Fault, Phases, Request};
use crate::transport::Transport;

/// How an endpoint is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Healthy,
    Slow,
    Silent,
    /// Sends head or body byte by byte: a time-out, or a success that takes longer than one.
    Dripping,
    Refusing,
    /// Fails so many of a thousand.
    Flapping(u64),
    Resetting,
    /// Our own machine can't send so many of a thousand.
    Faulty(u64),
    /// So many of a thousand attempts panic.
    Panicky(u64),
}

impl Behavior {
    pub(super) fn any(rng: &mut Rng) -> Self {
        match rng.from(0, 15) {
            0..=5 => Self::Healthy,
            6 => Self::Slow,
            7 => Self::Silent,
            8 => Self::Dripping,
            9 => Self::Refusing,
            10..=12 => Self::Flapping(rng.from(100, 900)),
            13 => Self::Resetting,
            14 => Self::Faulty(rng.from(100, 900)),
            _ => Self::Panicky(rng.from(100, 600)),
        }
    }

    fn act(self, rng: &mut Rng) -> Act {
        let quick = rng.from(0, 60);
        let failure = |class, after_ms| Act::Fail(class, after_ms);
        match self {
            Self::Healthy => Act::Answer(200 + u16::from(rng.in_thousand(300)) * 4, quick),
            Self::Slow => Act::Answer(200, rng.from(1_000, 2_999)),
            Self::Silent => failure(Class::ResponseTimeout, 3_000),
            Self::Dripping if rng.in_thousand(500) => failure(Class::ResponseTimeout, 3_000),
            Self::Dripping => Act::Answer(200, rng.from(3_000, 6_000)),
            Self::Refusing => failure(Class::Refused, 0),
            Self::Flapping(parts) if rng.in_thousand(parts) => {
                Act::Answer(*rng.of(&[500, 503, 429, 404, 302, 101]), quick)
            }
            Self::Resetting => failure(Class::Reset, quick),
            Self::Faulty(parts) if rng.in_thousand(parts) => Act::Fault,
            Self::Panicky(parts) if rng.in_thousand(parts) => Act::Panic,
            Self::Flapping(_) | Self::Faulty(_) | Self::Panicky(_) => Act::Answer(200, quick),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16, u64),
    Fail(Class, u64),
    Fault,
    Panic,
}

impl Act {
    fn status(self) -> Option<u16> {
        match self {
            Self::Answer(status, _) => Some(status),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Answer(200..=299, 0..=999) => "quick successes",
            Self::Answer(200..=299, 1_000..=2_999) => "slow successes",
            Self::Answer(200..=299, _) => "dripping successes",
            Self::Answer(..) => "answers of failure",
            Self::Fail(Class::ResponseTimeout, _) => "time-outs",
            Self::Fail(Class::Refused, _) => "refused connections",
            Self::Fail(..) => "resets",
            Self::Fault => "own faults",
            Self::Panic => "panics",
        }
    }
}

/// The world outside, for one process life.
pub(super) struct Endpoints {
    pub(super) oracle: Arc<Mutex<Oracle>>,
}

impl Endpoints {
    fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock()
    }
}

impl Transport for Endpoints {
    type Endpoint = Arc<str>;

    async fn send(&self, to: &Arc<str>, request: &Request) -> Result<Exchange, Fault> {
        let sending = hooks::sent();
        hooks::alive().await;
        let ids: Vec<i64> = sending.iter().map(|one| one.due.id.get()).collect();
        let act = {
            let mut oracle = self.oracle();
            let mood = oracle.mood(to);
            let act = mood.act(&mut oracle.rng);
            oracle.begin_all(to, &sending, request, &format!("{act:?}"));
            oracle.count(act.name());
            act
        };
        let asks = self.oracle().any_wait(act.status());
        let mut named = Vec::new();
        let result = match act {
            Act::Answer(status, after_ms) => {
                wait(after_ms).await;
                if (200..300).contains(&status) {
                    named = self.oracle().names_some(&sending, request);
                }
                let body = if named.is_empty() {
                    Vec::new()
                } else {
                    failures(&sending, &named)
                };
                let header = asks.map(|value| format!("retry-after: {value}"));
                Ok(Answer {
                    status,
                    headers: header.unwrap_or_default().as_str().into(),
                    body,
                    truncated: false,
                    turned_away: None,
                })
            }
            Act::Fail(class, after_ms) => {
                wait(after_ms).await;
                let text = class.name().to_owned();
                Err(Failure { class, text })
            }
            Act::Fault => {
                ids.iter().for_each(|id| self.oracle().not_sent(*id));
                return Err(Fault("no descriptors".into()));
            }
            Act::Panic => {
                ids.iter().for_each(|id| self.oracle().not_sent(*id));
                // Past the panic hook, which would print.
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        };
        let status = result.as_ref().ok().map(|answer| answer.status);
        let mut oracle = self.oracle();
        oracle.end_all(&sending, request, status, &named);
        for one in &sending {
            oracle.asked_to_wait(&one.due, asks);
        }
        drop(oracle);
        Ok(Exchange {
            result,
            phases: Phases::default(),
            peer: None,
            duration_us: 1_000,
            note: None,
        })
    }
}

async fn wait(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
