//! Many webhooks' rules as one matcher: which of the webhooks want an event, from one reading of its data.
//!
//! A condition that several webhooks have is tested once. Which webhooks are then looked at follows from
//! the tests that passed: each webhook is entered under the rule of its own that the fewest others share,
//! so that of a thousand webhooks with a location each only those of this location are looked at. A
//! webhook whose rules can all hold where nothing passes (`ne`, `not_in`, `exists = false`) is looked at
//! for each event.
//!
//! The same reading finds the values by which webhooks are sent in order: their paths are of the same tree.

use std::collections::{BTreeMap, HashMap};

use super::probes::Probes;
use super::scan::{self, Found, scan};
use super::trie::Trie;
use crate::model::{Condition, Operand, Path, Rule, Turn, Word};

/// Compiled rules.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    trie: Trie,
    /// By the node of the tree.
    probes: Vec<Probes>,
    tests: usize,
    filters: Vec<Filter>,
    /// The places in `filters` of those that a test's passing has looked at.
    by_test: Vec<Vec<usize>>,
    /// Those that are looked at for each event.
    always: Vec<usize>,
    /// The nodes at which a value is kept, each with its place among them; and who asks for it, by what the caller
    /// calls the webhook.
    kept: BTreeMap<usize, usize>,
    keepers: Vec<(usize, usize)>,
}

/// One webhook's rules.
#[derive(Debug)]
struct Filter {
    /// What the caller calls the webhook.
    key: usize,
    rules: Box<[Box<[Clause]>]>,
}

/// A condition: a test, and whether it must not pass.
#[derive(Clone, Copy, Debug)]
struct Clause {
    test: usize,
    denied: bool,
}

/// What a matcher needs for an event, kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scan: scan::Room,
    passed: Passed,
    candidates: Vec<usize>,
    keys: Vec<usize>,
    /// For each node of `kept` the line of the value that was found last.
    turns: Vec<Option<Turn>>,
}

/// The tests that passed: as a set, and as a list to clear it by.
#[derive(Debug, Default)]
struct Passed {
    set: Vec<bool>,
    list: Vec<usize>,
}

impl Passed {
    fn begin(&mut self, tests: usize) {
        for test in self.list.drain(..) {
            self.set[test] = false;
        }
        self.set.resize(tests, false);
    }

    fn add(&mut self, test: usize) {
        if !self.set[test] {
            self.set[test] = true;
            self.list.push(test);
        }
    }
}

/// Conditions that are the same test: their node, what is asked, and of what. A denial is the test that it denies.
type Same<'r> = (usize, Word, &'r [Operand]);

impl Matcher {
    /// Compiles the rules of webhooks, each with what the caller calls it, in ascending order.
    #[must_use]
    pub(crate) fn new<'r>(webhooks: impl IntoIterator<Item = (usize, &'r [Rule])>) -> Self {
        let mut this = Self::default();
        let mut known = HashMap::new();
        let mut uses = Vec::new();
        for (key, rules) in webhooks {
            let mut compile = |rule: &'r Rule| -> Box<[Clause]> {
                let conditions = rule.conditions().iter();
                conditions
                    .map(|condition| this.clause(condition, &mut known, &mut uses))
                    .collect()
            };
            let rules = rules.iter().map(&mut compile).collect();
            this.filters.push(Filter { key, rules });
        }
        this.probes.iter_mut().for_each(Probes::arrange);
        this.enter(&uses);
        this
    }

    /// Has the value kept that stands at that path: `key` is what the caller calls the webhook, above those before.
    pub(crate) fn keep(&mut self, key: usize, path: &Path) {
        let node = self.trie.add(&path.steps);
        let next = self.kept.len();
        let place = *self.kept.entry(node).or_insert(next);
        self.keepers.push((key, place));
    }

    /// The line in which that webhook has the event whose data was judged last; `None` where the event has no
    /// value for it.
    pub(crate) fn turn(&self, key: usize, scratch: &Scratch) -> Option<Turn> {
        let at = self.keepers.binary_search_by_key(&key, |(key, _)| *key);
        let (_, place) = self.keepers[at.ok()?];
        *scratch.turns.get(place)?
    }

    fn clause<'r>(
        &mut self,
        condition: &'r Condition,
        known: &mut HashMap<Same<'r>, usize>,
        uses: &mut Vec<usize>,
    ) -> Clause {
        let node = self.trie.add(&condition.path.steps);
        let same = match condition.word {
            Word::Exists => (node, Word::Exists, &[][..]),
            Word::Eq | Word::Ne | Word::In | Word::NotIn => (node, Word::In, &*condition.operands),
            word => (node, word, &*condition.operands),
        };
        let test = *known.entry(same).or_insert_with(|| {
            let test = self.tests;
            self.tests += 1;
            uses.push(0);
            if self.probes.len() <= node {
                self.probes.resize_with(node + 1, Probes::default);
            }
            self.probes[node].add(condition, test);
            test
        });
        uses[test] += 1;
        let denied = condition.is_denial();
        Clause { test, denied }
    }

    /// Enters each filter where it is found again.
    fn enter(&mut self, uses: &[usize]) {
        self.by_test.resize_with(self.tests, Vec::new);
        for (index, filter) in self.filters.iter().enumerate() {
            // A rule that holds only where one of its tests passes.
            let asking = filter.rules.iter().map(|rule| &**rule);
            let asking = asking.filter(|rule| rule.iter().all(|clause| !clause.denied));
            let shared =
                |rule: &&[Clause]| -> usize { rule.iter().map(|clause| uses[clause.test]).sum() };
            match asking.min_by_key(shared) {
                None => self.always.push(index),
                Some(rule) => rule
                    .iter()
                    .for_each(|clause| self.by_test[clause.test].push(index)),
            }
        }
    }

    /// Those of the webhooks whose rules all hold for that `data`, in ascending order.
    pub(crate) fn judge<'s>(&self, data: &str, scratch: &'s mut Scratch) -> &'s [usize] {
        self.read(data, scratch);
        let Scratch {
            passed,
            candidates,
            keys,
            ..
        } = scratch;
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        for test in &passed.list {
            candidates.extend_from_slice(&self.by_test[*test]);
        }
        candidates.sort_unstable();
        candidates.dedup();
        let filters = candidates.iter().map(|index| &self.filters[*index]);
        let holding = filters.filter(|filter| filter.first_failing(passed).is_none());
        keys.clear();
        keys.extend(holding.map(|filter| filter.key));
        keys
    }

    /// Tests what there is in `data`.
    fn read(&self, data: &str, scratch: &mut Scratch) {
        let passed = &mut scratch.passed;
        passed.begin(self.tests);
        let turns = &mut scratch.turns;
        turns.clear();
        turns.resize(self.kept.len(), None);
        scan(&self.trie, data, &mut scratch.scan, &mut |node, value| {
            if let Some(place) = self.kept.get(&node) {
                turns[*place] = turn(value);
            }
            if let Some(probes) = self.probes.get(node) {
                probes.pass(value, &mut |test| passed.add(test));
            }
        });
    }
}

/// The line of a value. Of a name that stands twice the last value counts, as it does to most readers.
fn turn(value: Found<'_>) -> Option<Turn> {
    match value {
        Found::Text(text) => Some(Turn::of_text(text)),
        Found::Number(text) => Some(Turn::of_number(text)),
        Found::Truth(truth) => Some(Turn::of_truth(truth)),
        Found::Null | Found::Array | Found::Object => None,
    }
}

impl Filter {
    /// The place of the first rule that does not hold.
    fn first_failing(&self, passed: &Passed) -> Option<usize> {
        let holds = |clause: &Clause| passed.set[clause.test] != clause.denied;
        let mut rules = self.rules.iter();
        rules.position(|rule| !rule.iter().any(holds))
    }
}

/// One webhook's rules, compiled once for many events.
#[derive(Debug)]
pub(crate) struct Judge {
    matcher: Matcher,
    scratch: Scratch,
}

impl Judge {
    #[must_use]
    pub(crate) fn new(rules: &[Rule]) -> Self {
        Self {
            matcher: Matcher::new((!rules.is_empty()).then_some((0, rules))),
            scratch: Scratch::default(),
        }
    }

    /// The place of the first of the rules that does not hold for that `data`, which is not read where
    /// there are none.
    pub(crate) fn first_failing(&mut self, data: &str) -> Option<usize> {
        let filter = self.matcher.filters.first()?;
        self.matcher.read(data, &mut self.scratch);
        filter.first_failing(&self.scratch.passed)
    }
}

/// The place of the first of the rules that does not hold for that `data`.
#[must_use]
pub(crate) fn first_failing(rules: &[Rule], data: &str) -> Option<usize> {
    Judge::new(rules).first_failing(data)
}
