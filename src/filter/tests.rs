//! Filters against an independent `JSONPath` on generated cases, and by hand where that one can't be asked:
//! names that stand twice, numbers beyond a float, half surrogate pairs, depth, size.

mod cases;
mod generated;

use super::scan::{Found, Room, scan};
use super::trie::Trie;
use super::{Matcher, Scratch, first_failing, found, path};
use crate::model::{Condition, Number, Operand, Rule, Word};

/// What stands behind a word in a test's rule.
fn operand(text: &str) -> Operand {
    match text {
        "true" | "false" => Operand::Truth(text == "true"),
        _ => match text.strip_prefix('"') {
            Some(rest) => Operand::Text(rest.trim_end_matches('"').into()),
            None => Operand::Number(Number::read(text).unwrap()),
        },
    }
}

fn condition(at: &str, word: Word, operands: &[&str]) -> Condition {
    Condition {
        path: path(at).unwrap(),
        word,
        operands: operands.iter().map(|text| operand(text)).collect(),
    }
}

fn rule(at: &str, word: Word, operands: &[&str]) -> Rule {
    Rule::One(condition(at, word, operands))
}

fn holds(rule: &Rule, data: &str) -> bool {
    first_failing(std::slice::from_ref(rule), data).is_none()
}

/// The values at a path, scalars as JSON, in the order of the text.
fn values(at: &str, data: &str) -> Vec<String> {
    let mut trie = Trie::default();
    let node = trie.add(&path(at).unwrap().steps);
    let mut all = Vec::new();
    scan(&trie, data, &mut Room::default(), &mut |at, value| {
        if at == node {
            all.push(match value {
                Found::Null => "null".to_owned(),
                Found::Truth(truth) => truth.to_string(),
                Found::Number(text) => String::from_utf8_lossy(text).into_owned(),
                Found::Text(text) => {
                    serde_json::Value::from(String::from_utf8_lossy(text)).to_string()
                }
                Found::Array => "[]".to_owned(),
                Found::Object => "{}".to_owned(),
            });
        }
    });
    all
}
