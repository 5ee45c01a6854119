//! The fuzzers' targets without a fuzzer: every kept input, and changes of them by chance.
//!
//! It needs no nightly compiler and takes seconds; `tests/fuzz/run` is what looks for new paths. An
//! input that broke a promise once stays in `seeds`. `WEBHOOKSD_FUZZ_CASES` sets how many changed
//! inputs each target gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod targets;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// Inputs of each target, where the environment says nothing.
const CASES: u32 = 1_000;

/// The longest input; the fuzzers' own limit.
const MAX_BYTES: usize = 4_096;

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    /// A word of the target's, put in.
    Word(Index, Index),
    /// Some octets less.
    Cut(Index, usize),
    /// Another octet.
    Octet(Index, u8),
    /// A part again and again.
    Again(Index, usize, usize),
    /// From there on, another seed's end.
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        6 => (index(), index()).prop_map(|(at, word)| Change::Word(at, word)),
        3 => (index(), 1..40_usize).prop_map(|(at, count)| Change::Cut(at, count)),
        3 => (index(), any::<u8>()).prop_map(|(at, octet)| Change::Octet(at, octet)),
        1 => (index(), 1..20_usize, 1..200_usize).prop_map(|(at, count, times)| Change::Again(at, count, times)),
        2 => (index(), index(), index()).prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
    ]
}

fn changed(seeds: &[Vec<u8>], words: &[Vec<u8>], seed: Index, changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.get(seeds).clone();
    for change in changes {
        let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
        match change {
            Change::Word(at, word) => {
                let at = place(at, &bytes);
                bytes.splice(at..at, word.get(words).iter().copied());
            }
            Change::Cut(at, count) => {
                let at = place(at, &bytes);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
            Change::Octet(at, octet) => {
                let at = place(at, &bytes);
                bytes.splice(at..(at + 1).min(bytes.len()), [*octet]);
            }
            Change::Again(at, count, times) => {
                let at = place(at, &bytes);
                let end = bytes.len().min(at + count);
                let part = bytes[at..end].repeat(*times);
                bytes.splice(at..at, part);
            }
            Change::Splice(at, seed, from) => {
                let at = place(at, &bytes);
                let other = seed.get(seeds);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[place(from, other)..]);
            }
        }
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let entries = std::fs::read_dir(folder.join(target)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds of {target}");
    let read = |path| std::fs::read(path).unwrap();
    paths.into_iter().map(read).collect()
}

/// The words of a target: lines in quotes with `\xAB`, as libFuzzer reads them.
fn words(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/words");
    let text = std::fs::read_to_string(folder.join(target)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix('"'));
    let word = |line: &str| {
        let line = line.strip_suffix('"').expect("a quote at the end");
        let mut pieces = line.split("\\x");
        let mut word = pieces.next().unwrap_or_default().as_bytes().to_vec();
        for piece in pieces {
            let (hex, rest) = piece.split_at(2);
            word.push(u8::from_str_radix(hex, 16).unwrap());
            word.extend_from_slice(rest.as_bytes());
        }
        word
    };
    lines.map(word).collect()
}

fn replay(target: &str, run: fn(&[u8])) {
    let (seeds, words) = (seeds(target), words(target));
    for seed in &seeds {
        run(seed);
    }
    let cases = std::env::var("WEBHOOKSD_FUZZ_CASES").ok();
    let cases = cases.and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    });
    let changes = proptest::collection::vec(change(), 0..6);
    let outcome = runner.run(&(any::<Index>(), changes), |(seed, changes)| {
        let bytes = changed(&seeds, &words, seed, &changes);
        let tried = std::panic::catch_unwind(|| run(&bytes));
        prop_assert!(tried.is_ok(), "the input: \"{}\"", bytes.escape_ascii());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn configurations_are_values_or_diagnostics() {
    replay("config", targets::config::run);
}

#[test]
fn filters_judge_what_data_says_and_not_how_it_is_written() {
    replay("filters", targets::filters::run);
}

#[test]
fn rows_are_events_or_set_aside() {
    replay("rows", targets::rows::run);
}

#[test]
fn requests_are_sound_in_every_dialect() {
    replay("dialects", targets::dialects::run);
}

#[test]
fn the_socket_keeps_what_it_answers() {
    replay("socket", targets::socket::run);
}
