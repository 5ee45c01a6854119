//! What was sent, alone or several in one POST, and is recorded in both logs.

use super::*;

impl Both {
    fn verdict(&mut self) -> Verdict {
        match self.rng.below(6) {
            0..3 => Verdict::Delivered,
            3 => Verdict::Failed,
            _ => Verdict::RetryAt(self.now_ms + self.rng.ms(90_000)),
        }
    }

    /// Some of what is in memory was sent, and some of what was let go of: they come late.
    pub(super) fn record(&mut self) {
        let mut sent: Vec<Pair> = Vec::new();
        for pair in self.hand.values() {
            if self.rng.is(5) {
                sent.push(pair.clone());
            }
        }
        if self.rng.is(1) && !self.spent.is_empty() {
            sent.push(self.spent[self.rng.below(self.spent.len())].clone());
        }
        let mut attempts: Vec<[Attempt; 2]> = Vec::new();
        for pair in &sent {
            let verdict = self.verdict();
            let held = self.rng.is(1).then(|| self.now_ms + self.rng.ms(9_000));
            attempts.push(pair.each_ref().map(|due| Attempt {
                held_until_ms: held,
                ..attempt(due, self.now_ms, verdict)
            }));
        }
        self.record_all(&attempts);
    }

    fn record_all(&mut self, attempts: &[[Attempt; 2]]) {
        for [attempt, other] in attempts {
            self.hand.remove(&attempt.due.id);
            self.spent.push([attempt.due.clone(), other.due.clone()]);
        }
        self.each(|log, at| {
            let of: Vec<_> = attempts.iter().map(|pair| pair[at].clone()).collect();
            log.record(&of).unwrap();
        });
    }

    /// What is in memory of the first webhook goes in one POST.
    pub(super) fn post(&mut self) {
        let of_a = self.hand.values().filter(|pair| {
            &*pair[0].webhook == "a" && pair[0].attempts == 0 && pair[0].batch.is_none()
        });
        let members: Vec<Pair> = of_a.take(5).cloned().collect();
        if members.len() < 2 {
            return;
        }
        let fate = [Fate::Again, Fate::Over, Fate::Split][self.rng.below(3)];
        let verdict = match fate {
            Fate::Again => Verdict::RetryAt(self.now_ms + self.rng.ms(9_000)),
            Fate::Over => self.verdict(),
            Fate::Split => Verdict::RetryAt(self.now_ms),
        };
        let batch = |pairs: &[Pair], at: usize| Batch {
            name: format!("batch of {}", pairs[0][0].id).into(),
            members: pairs.iter().map(|pair| pair[at].id).collect(),
        };
        let posted = [0, 1].map(|at| {
            let (first, second) = members.split_at(members.len().div_ceil(2));
            let halves = || Arc::new([batch(first, at), batch(second, at)]);
            Arc::new(Posted {
                batch: Arc::new(batch(&members, at)),
                fate,
                halves: (fate == Fate::Split).then(halves),
            })
        });
        self.each(|log, at| log.form(&posted[at].batch).unwrap());
        let now_ms = self.now_ms;
        let attempts: Vec<_> = members
            .iter()
            .map(|pair| {
                [0, 1].map(|at| Attempt {
                    posted: Some(posted[at].clone()),
                    ..attempt(&pair[at], now_ms, verdict)
                })
            })
            .collect();
        self.record_all(&attempts);
    }
}
