//! What a rule found that does not hold, for people.

use super::scan::{self, Found, scan};
use super::trie::Trie;
use crate::model::Rule;

/// The most values that are told of one condition.
const MAX_VALUES: usize = 3;

/// The longest value that is told in full, in characters.
const MAX_CHARS: usize = 60;

/// What the conditions of a rule found in `data`: for each of its paths, once, the first of the values in
/// the order of the text.
#[must_use]
pub(crate) fn found(rule: &Rule, data: &str) -> Vec<(String, Vec<String>)> {
    let mut trie = Trie::default();
    let mut all: Vec<(usize, String, Vec<String>)> = Vec::new();
    for condition in rule.conditions() {
        let node = trie.add(&condition.path.steps);
        if all.iter().all(|(known, ..)| *known != node) {
            all.push((node, condition.path.text.to_string(), Vec::new()));
        }
    }
    let mut room = scan::Room::default();
    scan(&trie, data, &mut room, &mut |node, value| {
        let at = all.iter_mut().find(|(known, ..)| *known == node);
        // One more than is told: that there are more.
        if let Some((.., values)) = at.filter(|(.., values)| values.len() <= MAX_VALUES) {
            values.push(told(value));
        }
    });
    let cut = |(_, path, mut values): (_, _, Vec<String>)| {
        if values.len() > MAX_VALUES {
            values.truncate(MAX_VALUES);
            values.push("more".to_owned());
        }
        (path, values)
    };
    all.into_iter().map(cut).collect()
}

fn told(value: Found<'_>) -> String {
    match value {
        Found::Null => "null".to_owned(),
        Found::Truth(truth) => truth.to_string(),
        Found::Number(text) => cut(&String::from_utf8_lossy(text)),
        Found::Text(text) => format!("\"{}\"", cut(&String::from_utf8_lossy(text))),
        Found::Array => "an array".to_owned(),
        Found::Object => "an object".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
