//! The line for permits: nobody is passed by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::endpoints::Behavior;
use super::oracle::Oracle;

/// Requests above the floor that others begin while one stands in line: a few rounds of all lanes.
const PASSED: u64 = 40;

impl Oracle {
    /// Who stands in line gets a place before the others have had many.
    pub(super) fn in_line(&mut self, waiting: &[Arc<str>]) {
        let all: u64 = self.above.values().sum();
        let mut still = BTreeMap::new();
        for name in waiting.iter().map(|name| name.to_string()) {
            let mine = self.above.get(&name).copied().unwrap_or_default();
            // An endpoint that our own machine can't reach keeps its places through pauses.
            let odd = matches!(self.mood(&name), Behavior::Faulty(_) | Behavior::Panicky(_));
            let before = self
                .waiting
                .get(&name)
                .filter(|(then, _)| *then == mine && !odd);
            let others = before.map_or(all - mine, |(_, others)| *others);
            if all - mine > others + PASSED {
                let passed = all - mine - others;
                self.broke(&format!(
                    "{name} stands in line, and {passed} others went first"
                ));
            }
            still.insert(name, (mine, others));
        }
        self.waiting = still;
    }
}
