//! `where` of a webhook: the rules on an event's data.
//!
//! What each word asks is not here (`filter`), only what may stand behind it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::filter;
use crate::model::{Condition, Number, Operand, Path, Rule, Word};

use super::diagnostic::Findings;
use super::keys::RULE;
use super::section::{Section, type_name};

/// The most conditions of a webhook, those of `any` counted each: an event may be judged by all of them.
const MAX_CONDITIONS: usize = 1_000;

/// The most operands of one `in` or `not_in`, as there may be patterns and tenants.
const MAX_OPERANDS: usize = 1_000;

/// What a rule looks like, for those who wrote something else.
const EXAMPLE: &str = "write a rule as { path = \"$.origin.id\", eq = \"loc-001\" }";

/// What may stand for one value.
const VALUES: &str = "write a string, a number, true or false";

/// The rules of the webhook; none where it has no `where`.
pub(super) fn read(section: &Section<'_, '_>, found: &mut Findings) -> Box<[Rule]> {
    let Some((_, value)) = section.entry("where") else {
        return Box::default();
    };
    let DeValue::Array(items) = value.get_ref() else {
        section.wrong("where", "an array of rules", value, found);
        return Box::default();
    };
    if items.is_empty() {
        found.warning(
            Some(value.span()),
            "where is empty: every event passes",
            "leave the key out, or write a rule into it",
        );
    }
    let mut room = MAX_CONDITIONS + 1;
    let rules = items.iter().filter_map(|item| {
        let (rule, at) = section_of(item, found)?;
        if !rule.has("any") {
            take(&mut room, at, found)?;
            return condition(&rule, found).map(Rule::One);
        }
        any(&rule, &mut room, found)
    });
    rules.collect()
}

/// Counts a condition; notes once that there are too many. `room` is one more than there may be.
fn take(room: &mut usize, at: Range<usize>, found: &mut Findings) -> Option<()> {
    if *room == 0 {
        return None;
    }
    *room -= 1;
    if *room > 0 {
        return Some(());
    }
    found.error(
        at,
        format!("where has more than {MAX_CONDITIONS} rules, those of any counted each"),
        "ask for several values of one path by one in = [...], or split the webhook in two",
    );
    None
}

fn section_of<'t, 'i>(
    item: &'t Spanned<DeValue<'i>>,
    found: &mut Findings,
) -> Option<(Section<'t, 'i>, Range<usize>)> {
    let DeValue::Table(table) = item.get_ref() else {
        let kind = type_name(item.get_ref());
        found.error(
            item.span(),
            format!("a rule of where must be a table, not {kind}"),
            EXAMPLE,
        );
        return None;
    };
    let table: &DeTable<'i> = table;
    Some((Section::new(table, item.span(), &RULE, found), item.span()))
}

/// A rule of which one condition is to hold.
fn any(rule: &Section<'_, '_>, room: &mut usize, found: &mut Findings) -> Option<Rule> {
    let others = std::iter::once("path").chain(Word::ALL.into_iter().map(Word::name));
    for other in others.filter(|other| rule.has(other)) {
        found.error(
            rule.key_at(other),
            format!("{other} stands beside any, which is a rule of its own"),
            "write { any = [...] } and the rest as a rule beside it: all rules must hold",
        );
    }
    let (_, value) = rule.entry("any")?;
    let DeValue::Array(items) = value.get_ref() else {
        rule.wrong("any", "an array of rules", value, found);
        return None;
    };
    if items.is_empty() {
        found.error(
            value.span(),
            "any is empty: no event would pass",
            "write at least one rule in it, or leave it out",
        );
        return None;
    }
    let mut conditions = Vec::with_capacity(items.len());
    for item in items {
        let Some((inner, at)) = section_of(item, found) else {
            continue;
        };
        if inner.has("any") {
            found.error(
                inner.key_at("any"),
                "there is no any inside of any",
                "write its rules into the outer one: one that holds is enough there too",
            );
            continue;
        }
        take(room, at, found)?;
        conditions.extend(condition(&inner, found));
    }
    Some(Rule::Any(conditions.into()))
}

fn condition(rule: &Section<'_, '_>, found: &mut Findings) -> Option<Condition> {
    let path = path(rule, found);
    let mut words = Word::ALL.into_iter().filter(|word| rule.has(word.name()));
    let Some(word) = words.next() else {
        // An unknown key was told of already, and may be a slip of the test.
        if rule.has_unknown() {
            return None;
        }
        let names: Vec<_> = Word::ALL.into_iter().map(Word::name).collect();
        found.error(
            rule.at.clone(),
            "this rule asks nothing of what is found",
            format!("give it one of {}", names.join(", ")),
        );
        return None;
    };
    if let Some(second) = words.next() {
        found.error(
            rule.key_at(second.name()),
            format!(
                "a rule asks one thing, and here are {} and {}",
                word.name(),
                second.name()
            ),
            "write a rule for each: all rules must hold",
        );
    }
    let operands = operands(rule, word, found);
    Some(Condition {
        path: path?,
        word,
        operands: operands?,
    })
}

fn path(rule: &Section<'_, '_>, found: &mut Findings) -> Option<Path> {
    if !rule.has("path") && rule.has_unknown() {
        return None;
    }
    if !rule.has("path") {
        found.error(rule.at.clone(), "this rule has no path", EXAMPLE);
        return None;
    }
    let text = rule.text("path", found)?;
    let example =
        "write a path such as \"$.origin.id\", \"$.lineItems[*].sku\" or \"$['odd name'][0]\"";
    path_of((text.value, text.at), example, found)
}

/// Reads a path, or notes why it is none, with what would be one.
pub(super) fn path_of(
    (text, at): (&str, Range<usize>),
    example: &str,
    found: &mut Findings,
) -> Option<Path> {
    match filter::path(text) {
        Ok(path) => Some(path),
        Err(fault) => {
            found.error(
                at,
                format!(
                    "this is no path, at its character {}: {}",
                    fault.at, fault.why
                ),
                example,
            );
            None
        }
    }
}

fn operands(rule: &Section<'_, '_>, word: Word, found: &mut Findings) -> Option<Box<[Operand]>> {
    let key = word.name();
    let (_, value) = rule.entry(key)?;
    match word {
        Word::In | Word::NotIn => return list(rule, key, value, found),
        Word::Exists => {
            let truth = rule.truth(key, found)?.value;
            return Some([Operand::Truth(truth)].into());
        }
        Word::Prefix | Word::Suffix => {
            let text = rule.text(key, found)?.value;
            return Some([Operand::Text(text.into())].into());
        }
        _ => {}
    }
    let operand = operand(key, value, found)?;
    let ordered = matches!(word, Word::Gt | Word::Gte | Word::Lt | Word::Lte);
    if ordered && !matches!(operand, Operand::Number(_)) {
        rule.wrong(key, "a number", value, found);
        return None;
    }
    Some([operand].into())
}

fn list(
    rule: &Section<'_, '_>,
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    found: &mut Findings,
) -> Option<Box<[Operand]>> {
    let DeValue::Array(items) = value.get_ref() else {
        rule.wrong(key, "an array of values", value, found);
        return None;
    };
    if items.is_empty() || items.len() > MAX_OPERANDS {
        let (message, fix) = if items.is_empty() {
            (format!("{key} is empty"), "write at least one value")
        } else {
            (
                format!("{key} has more than {MAX_OPERANDS} values"),
                "ask by prefix, or split the webhook in two",
            )
        };
        found.error(value.span(), message, fix);
        return None;
    }
    let operands = items.iter().map(|item| operand(key, item, found));
    // All of them are looked at, so that all that is wrong is told.
    let operands: Vec<_> = operands.collect();
    operands.into_iter().collect()
}

/// A string, a number, or true or false.
fn operand(
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    found: &mut Findings,
) -> Option<Operand> {
    let number = |text: &str| Number::read(text).map(Operand::Number);
    let (message, fix) = match value.get_ref() {
        DeValue::String(text) => return Some(Operand::Text((&**text).into())),
        DeValue::Boolean(truth) => return Some(Operand::Truth(*truth)),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(whole) => return number(&whole.to_string()),
            Err(_) => (
                "the number is beyond 64 bits".to_owned(),
                "write it with a point, as in 18446744073709551616.0: it is compared as it is written",
            ),
        },
        DeValue::Float(text) if text.as_str().contains(['i', 'n']) => (
            format!(
                "{key} compares with numbers, and JSON has no {}",
                text.as_str()
            ),
            "write a number, or exists = true for any value",
        ),
        DeValue::Float(text) => match number(text.as_str()) {
            Some(operand) => return Some(operand),
            None => (
                "the number's exponent is beyond 1,000,000,000,000".to_owned(),
                "write a number with a smaller exponent",
            ),
        },
        other => (
            format!(
                "{key} compares with single values, not {}",
                type_name(other)
            ),
            VALUES,
        ),
    };
    found.error(value.span(), message, fix);
    None
}
