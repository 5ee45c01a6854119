//! The tests at one place of `data`, arranged so that a value is not compared with each of them.
//!
//! A thousand webhooks that each want another location ask a thousand questions of one string: that is
//! ten comparisons in an ordered list. What costs more is only what passes.

use std::ops::Range;

use super::scan::Found;
use crate::model::{Condition, Decimal, Number, Operand, Word};

/// What a test asks of a value, apart from its number.
#[derive(Debug, Default)]
pub(super) struct Probes {
    anything: Vec<usize>,
    truths: [Vec<usize>; 2],
    /// In order.
    texts: Vec<(Box<str>, usize)>,
    prefixes: Affixes,
    suffixes: Affixes,
    /// In order.
    numbers: Vec<(Number, usize)>,
    /// In order; with whether the number itself passes.
    above: Vec<(Number, bool, usize)>,
    below: Vec<(Number, bool, usize)>,
}

impl Probes {
    /// Takes a condition; `test` is what [`pass`](Self::pass) calls it. A denial is taken as what it denies.
    pub(super) fn add(&mut self, condition: &Condition, test: usize) {
        for operand in &condition.operands {
            match (condition.word, operand) {
                (Word::Exists, _) => self.anything.push(test),
                (Word::Prefix, Operand::Text(text)) => self.prefixes.add(text, test),
                (Word::Suffix, Operand::Text(text)) => self.suffixes.add(text, test),
                (Word::Gt | Word::Gte, Operand::Number(number)) => {
                    let itself = condition.word == Word::Gte;
                    self.above.push((number.clone(), itself, test));
                }
                (Word::Lt | Word::Lte, Operand::Number(number)) => {
                    let itself = condition.word == Word::Lte;
                    self.below.push((number.clone(), itself, test));
                }
                (Word::Eq | Word::Ne | Word::In | Word::NotIn, operand) => match operand {
                    Operand::Text(text) => self.texts.push((text.clone(), test)),
                    Operand::Number(number) => self.numbers.push((number.clone(), test)),
                    Operand::Truth(truth) => self.truths[usize::from(*truth)].push(test),
                },
                // The configuration has no such condition.
                _ => {}
            }
        }
    }

    /// Brings all that was added into order.
    pub(super) fn arrange(&mut self) {
        self.texts.sort_unstable();
        self.prefixes.arrange();
        self.suffixes.arrange();
        let by_number = |a: &Number, b: &Number| a.as_decimal().cmp(&b.as_decimal());
        self.numbers.sort_unstable_by(|a, b| by_number(&a.0, &b.0));
        self.above.sort_unstable_by(|a, b| by_number(&a.0, &b.0));
        self.below.sort_unstable_by(|a, b| by_number(&a.0, &b.0));
    }

    /// Names the tests that the value passes.
    pub(super) fn pass(&self, value: Found<'_>, passed: &mut impl FnMut(usize)) {
        self.anything.iter().for_each(|test| passed(*test));
        match value {
            Found::Text(text) => {
                let same = range(&self.texts, |(operand, _)| operand.as_bytes().cmp(text));
                self.texts[same].iter().for_each(|(_, test)| passed(*test));
                self.prefixes.pass(|length| text.get(..length), passed);
                let end = text.len();
                let last = |length| end.checked_sub(length).map(|from| &text[from..]);
                self.suffixes.pass(last, passed);
            }
            Found::Number(text) => self.number(text, passed),
            Found::Truth(truth) => {
                let tests = &self.truths[usize::from(truth)];
                tests.iter().for_each(|test| passed(*test));
            }
            Found::Null | Found::Array | Found::Object => {}
        }
    }

    fn number(&self, text: &[u8], passed: &mut impl FnMut(usize)) {
        if self.numbers.is_empty() && self.above.is_empty() && self.below.is_empty() {
            return;
        }
        let value = Decimal::read(text);
        let same = range(&self.numbers, |(operand, _)| {
            operand.as_decimal().cmp(&value)
        });
        self.numbers[same]
            .iter()
            .for_each(|(_, test)| passed(*test));
        let tell =
            |list: &[(Number, bool, usize)], same_too: bool, passed: &mut dyn FnMut(usize)| {
                let some = list.iter().filter(|(_, itself, _)| *itself || !same_too);
                some.for_each(|(_, _, test)| passed(*test));
            };
        let same = range(&self.above, |(operand, ..)| {
            operand.as_decimal().cmp(&value)
        });
        tell(&self.above[..same.start], false, passed);
        tell(&self.above[same], true, passed);
        let same = range(&self.below, |(operand, ..)| {
            operand.as_decimal().cmp(&value)
        });
        tell(&self.below[same.end..], false, passed);
        tell(&self.below[same], true, passed);
    }
}

/// Where in an ordered list those stand that are the same.
fn range<T>(list: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> Range<usize> {
    let from = list.partition_point(|entry| compare(entry).is_lt());
    let same = list[from..].partition_point(|entry| compare(entry).is_eq());
    from..from + same
}

/// Beginnings or ends of strings, by their length and then in order.
#[derive(Debug, Default)]
struct Affixes(Vec<(Box<str>, usize)>, Vec<Range<usize>>);

impl Affixes {
    fn add(&mut self, text: &str, test: usize) {
        self.0.push((text.into(), test));
    }

    fn arrange(&mut self) {
        let Self(list, lengths) = self;
        list.sort_unstable_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.cmp(b)));
        lengths.clear();
        let mut from = 0;
        for run in list.chunk_by(|a, b| a.0.len() == b.0.len()) {
            lengths.push(from..from + run.len());
            from += run.len();
        }
    }

    /// `part` is the value's beginning or end of a length, where it has one.
    fn pass<'v>(&self, part: impl Fn(usize) -> Option<&'v [u8]>, passed: &mut impl FnMut(usize)) {
        for run in &self.1 {
            let run = &self.0[run.clone()];
            let Some(part) = run.first().and_then(|(text, _)| part(text.len())) else {
                return;
            };
            let same = range(run, |(text, _)| text.as_bytes().cmp(part));
            run[same].iter().for_each(|(_, test)| passed(*test));
        }
    }
}
