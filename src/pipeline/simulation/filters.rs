//! `where` of webhooks by seed, and a judge of it that knows nothing of the product's.
//!
//! Only in weeks from [`FROM`](super::world::asked::FROM) on. Rules are drawn so that each is true of some of what the
//! application writes. Paths are read by `serde_json_path`, and `data` by `serde_json`.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::rng::Rng;
use crate::filter::path;
use crate::model::{Condition, Number, Operand, Rule, Word};

/// Paths that the application's data has: always, mostly, and seldom.
const PATHS: [&str; 7] = [
    "$.n",
    "$.at",
    "$['at']",
    "$.p",
    "$.tags[*]",
    "$.tags[1]",
    "$.changed",
];

/// The data of a number's event: what rules ask about follows from the number.
pub(super) fn data(number: u64, padding: usize) -> String {
    let at = number % 5;
    let tags = match number % 3 {
        0 => "[]",
        1 => "[\"red\",7]",
        _ => "[\"blue\",\"red\",true]",
    };
    let padding = "x".repeat(padding);
    format!("{{\"n\":{number},\"p\":\"{padding}\",\"at\":\"loc-{at}\",\"tags\":{tags}}}")
}

/// Some rules, or none.
pub(super) fn rules(rng: &mut Rng) -> Box<[Rule]> {
    if rng.in_thousand(400) {
        return Box::default();
    }
    let rule = |rng: &mut Rng| match rng.from(0, 3) {
        0 => Rule::Any((0..rng.from(1, 3)).map(|_| condition(rng)).collect()),
        _ => Rule::One(condition(rng)),
    };
    (0..rng.from(1, 2)).map(|_| rule(rng)).collect()
}

fn condition(rng: &mut Rng) -> Condition {
    let word = *rng.of(&Word::ALL);
    let number =
        |rng: &mut Rng| Operand::Number(Number::read(&rng.from(0, 300).to_string()).unwrap());
    let text = |rng: &mut Rng| {
        let at = format!("loc-{}", rng.from(0, 4));
        Operand::Text((*rng.of(&["red", "blue", "", "xx", &at])).into())
    };
    let any = |rng: &mut Rng| match rng.from(0, 4) {
        0 => number(rng),
        1 => Operand::Truth(rng.in_thousand(500)),
        _ => text(rng),
    };
    let operands = match word {
        Word::Eq | Word::Ne => vec![any(rng)],
        Word::In | Word::NotIn => (0..rng.from(1, 4)).map(|_| any(rng)).collect(),
        Word::Prefix => vec![Operand::Text(
            (*rng.of(&["", "loc-", "loc-3", "r", "xx"])).into(),
        )],
        Word::Suffix => vec![Operand::Text((*rng.of(&["", "-1", "d", "x"])).into())],
        Word::Exists => vec![Operand::Truth(rng.in_thousand(500))],
        Word::Gt | Word::Gte | Word::Lt | Word::Lte => vec![number(rng)],
    };
    Condition {
        path: path(rng.of::<&str>(&PATHS)).unwrap(),
        word,
        operands: operands.into(),
    }
}

/// Whether all the rules hold for that data.
pub(super) fn hold(rules: &[Rule], data: &str) -> bool {
    if rules.is_empty() {
        return true;
    }
    let data: Value = serde_json::from_str(data).unwrap();
    let holds = |rule: &Rule| rule.conditions().iter().any(|one| holds(one, &data));
    rules.iter().all(holds)
}

fn holds(condition: &Condition, data: &Value) -> bool {
    let found = JsonPath::parse(&condition.path.text)
        .unwrap()
        .query(data)
        .all();
    let float = |operand: &Operand| match operand {
        Operand::Number(number) => number.to_string().parse::<f64>().unwrap(),
        _ => f64::NAN,
    };
    let is = |value: &Value, operand: &Operand| match operand {
        Operand::Text(text) => value.as_str() == Some(&**text),
        Operand::Truth(truth) => value.as_bool() == Some(*truth),
        Operand::Number(_) => value.as_f64() == Some(float(operand)),
    };
    let first = &condition.operands[0];
    let affix = match first {
        Operand::Text(text) => &**text,
        _ => "",
    };
    let listed = |value: &&Value| condition.operands.iter().any(|operand| is(value, operand));
    let text = |by: &dyn Fn(&str) -> bool| found.iter().any(|value| value.as_str().is_some_and(by));
    let number =
        |by: &dyn Fn(f64) -> bool| found.iter().any(|value| value.as_f64().is_some_and(by));
    match condition.word {
        Word::Eq | Word::In => found.iter().any(listed),
        Word::Ne | Word::NotIn => !found.iter().any(listed),
        Word::Exists => found.is_empty() != (*first == Operand::Truth(true)),
        Word::Prefix => text(&|text| text.starts_with(affix)),
        Word::Suffix => text(&|text| text.ends_with(affix)),
        Word::Gt => number(&|value| value > float(first)),
        Word::Gte => number(&|value| value >= float(first)),
        Word::Lt => number(&|value| value < float(first)),
        Word::Lte => number(&|value| value <= float(first)),
    }
}
