//! The trace of a run: its last steps for people, and a digest of all of them to compare runs by.

use std::collections::VecDeque;

/// Steps that are kept, unless `WEBHOOKSD_SIM_TRACE` says how many.
const STEPS: u64 = 120;

/// What happened so far.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    last: VecDeque<String>,
    most: usize,
    /// FNV-1a of every step.
    pub(super) digest: u64,
    pub(super) steps: u64,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            last: VecDeque::new(),
            most: usize::try_from(super::number("WEBHOOKSD_SIM_TRACE", STEPS)).unwrap(),
            digest: 0xcbf2_9ce4_8422_2325,
            steps: 0,
        }
    }

    pub(super) fn add(&mut self, step: String) {
        for byte in step.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.steps += 1;
        if self.last.len() >= self.most {
            self.last.pop_front();
        }
        self.last.push_back(step);
    }

    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
