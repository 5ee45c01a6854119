//! Generated documents and rules, judged a second time: the paths by `serde_json_path`, the tests as they
//! are worded in the manual, webhook by webhook.

use proptest::prelude::*;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::*;

const NAMES: [&str; 6] = ["a", "b", "id", "", "o'r \"q\\", "\u{e9}\n\u{1f600}"];
const TEXTS: [&str; 6] = [
    "",
    "a",
    "loc-001",
    "loc-002",
    "\u{1f600}x\"\\",
    "loc-\u{e9}",
];
/// Each is exact as a float, so that the other reader's numbers are good enough.
const NUMBERS: [&str; 8] = ["0", "-0.0", "1", "1.0", "10e-1", "2.5", "-3", "0.25E1"];

fn document() -> impl Strategy<Value = Value> {
    let number = prop::sample::select(&NUMBERS[..]);
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => number.prop_map(|text| serde_json::from_str(text).unwrap()),
        4 => prop::sample::select(&TEXTS[..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let name = prop::sample::select(&NAMES[..]);
        let member = (name, inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            prop::collection::vec(member, 0..6).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect())
            }),
        ]
    })
}

/// The document with blanks and escapes where the octets say so.
fn written(value: &Value, chaos: &mut impl Iterator<Item = u8>, out: &mut String) {
    let blank = |chaos: &mut dyn Iterator<Item = u8>, out: &mut String| match chaos.next() {
        Some(0) => out.push_str(" \n"),
        Some(1) => out.push('\t'),
        _ => {}
    };
    let text = |text: &str, chaos: &mut dyn Iterator<Item = u8>, out: &mut String| {
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\' | '\n') || chaos.next().is_some_and(|octet| octet % 4 == 0) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(c);
            }
        }
        out.push('"');
    };
    blank(chaos, out);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                written(item, chaos, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (n, (name, value)) in members.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                blank(chaos, out);
                text(name, chaos, out);
                blank(chaos, out);
                out.push(':');
                written(value, chaos, out);
            }
            out.push('}');
        }
        Value::String(string) => text(string, chaos, out),
        other => out.push_str(&other.to_string()),
    }
    blank(chaos, out);
}

fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&["a", "b", "id"][..]).prop_map(|name| format!(".{name}")),
        3 => prop::sample::select(&NAMES[..]).prop_map(|name| format!("[{}]", Value::from(name))),
        2 => (0..4_u32).prop_map(|index| format!("[{index}]")),
        3 => Just("[*]".to_owned()),
    ]
}

fn a_condition() -> impl Strategy<Value = Condition> {
    let text = prop::sample::select(&TEXTS[..]).prop_map(|text| Operand::Text(text.into()));
    let number = prop::sample::select(&NUMBERS[..])
        .prop_map(|text| Operand::Number(Number::read(text).unwrap()));
    let truth = any::<bool>().prop_map(Operand::Truth);
    let value = prop_oneof![4 => text.clone(), 3 => number.clone(), 1 => truth.clone()];
    let one = |word, of: BoxedStrategy<Operand>| of.prop_map(move |operand| (word, vec![operand]));
    let many = prop::collection::vec(value.clone(), 1..4);
    let (text, number, value) = (text.boxed(), number.boxed(), value.boxed());
    let test = prop_oneof![
        one(Word::Eq, value.clone()),
        one(Word::Ne, value),
        many.clone().prop_map(|all| (Word::In, all)),
        many.prop_map(|all| (Word::NotIn, all)),
        one(Word::Prefix, text.clone()),
        one(Word::Suffix, text),
        one(Word::Exists, truth.boxed()),
        one(Word::Gt, number.clone()),
        one(Word::Gte, number.clone()),
        one(Word::Lt, number.clone()),
        one(Word::Lte, number),
    ];
    let steps = prop::collection::vec(step(), 0..5);
    (steps, test).prop_map(|(steps, (word, operands))| Condition {
        path: path(&format!("${}", steps.concat())).unwrap(),
        word,
        operands: operands.into(),
    })
}

fn a_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        4 => a_condition().prop_map(Rule::One),
        1 => prop::collection::vec(a_condition(), 1..4).prop_map(|all| Rule::Any(all.into())),
    ]
}

/// What the manual says, by another reader.
fn condition_holds(condition: &Condition, document: &Value) -> bool {
    let path = JsonPath::parse(&condition.path.text).unwrap();
    let found = path.query(document).all();
    let float = |operand: &Operand| match operand {
        Operand::Number(number) => number.to_string().parse::<f64>().ok(),
        _ => None,
    };
    let same = |value: &Value, operand: &Operand| match (value, operand) {
        (Value::String(text), Operand::Text(operand)) => **text == **operand,
        (Value::Bool(truth), Operand::Truth(operand)) => truth == operand,
        (Value::Number(_), Operand::Number(_)) => value.as_f64() == float(operand),
        _ => false,
    };
    let some = |value: &Value| {
        condition
            .operands
            .iter()
            .any(|operand| same(value, operand))
    };
    let of_text = |by: fn(&str, &str) -> bool| {
        let Operand::Text(operand) = &condition.operands[0] else {
            panic!("{condition}");
        };
        found
            .iter()
            .any(|value| value.as_str().is_some_and(|text| by(text, operand)))
    };
    let of_number = |by: fn(&f64, &f64) -> bool| {
        let operand = float(&condition.operands[0]).unwrap();
        found
            .iter()
            .any(|value| value.as_f64().is_some_and(|number| by(&number, &operand)))
    };
    match condition.word {
        Word::Eq | Word::In => found.iter().any(|value| some(value)),
        Word::Ne | Word::NotIn => found.iter().all(|value| !some(value)),
        Word::Exists => condition.operands[0] == Operand::Truth(!found.is_empty()),
        Word::Prefix => of_text(|text, operand| text.starts_with(operand)),
        Word::Suffix => of_text(|text, operand| text.ends_with(operand)),
        Word::Gt => of_number(f64::gt),
        Word::Gte => of_number(f64::ge),
        Word::Lt => of_number(f64::lt),
        Word::Lte => of_number(f64::le),
    }
}

fn rule_holds(rule: &Rule, document: &Value) -> bool {
    let mut conditions = rule.conditions().iter();
    conditions.any(|condition| condition_holds(condition, document))
}

/// More cases than there are by default: rules and data must meet.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases.max(2_000),
        ..config
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn many_webhooks_are_judged_as_each_alone_by_another_reader(
        documents in prop::collection::vec((document(), prop::collection::vec(any::<u8>(), 0..40)), 1..4),
        webhooks in prop::collection::vec(prop::collection::vec(a_rule(), 1..4), 1..7),
    ) {
        let matcher = Matcher::new(webhooks.iter().enumerate().map(|(n, rules)| (n * 2, &**rules)));
        // What is left of one event must not be seen by the next.
        let mut scratch = Scratch::default();
        for (document, chaos) in &documents {
            let mut data = String::new();
            written(document, &mut chaos.iter().copied(), &mut data);
            prop_assert_eq!(&serde_json::from_str::<Value>(&data).unwrap(), document);
            let failing: Vec<_> = webhooks.iter()
                .map(|rules| rules.iter().position(|rule| !rule_holds(rule, document)))
                .collect();
            let expected: Vec<usize> = (0..webhooks.len())
                .filter(|n| failing[*n].is_none())
                .map(|n| n * 2)
                .collect();
            prop_assert_eq!(matcher.judge(&data, &mut scratch), &expected, "{}", data);
            for (rules, failing) in webhooks.iter().zip(&failing) {
                prop_assert_eq!(&first_failing(rules, &data), failing, "{}", data);
            }
        }
    }

    #[test]
    fn any_text_is_read_to_its_end(
        data in "[\\[\\]{}\",:0-9eatrufnls\\\\ -]{0,60}",
        rules in prop::collection::vec(a_rule(), 1..4),
    ) {
        let _judged = first_failing(&rules, &data);
        let _found = found(&rules[0], &data);
    }
}
