//! What is decided by hand: the suite's cases where the words of RFC 9535 leave no doubt, and what it does not
//! speak of.

use super::*;

#[test]
fn what_a_path_leads_to() {
    for (at, data, expected) in [
        ("$", "[\"first\",\"second\"]", &["[]"][..]),
        ("$", " 5 ", &["5"]),
        ("$.a", "{\"a\":\"A\",\"b\":\"B\"}", &["\"A\""]),
        ("$.a", "[\"first\",\"second\"]", &[]),
        ("$.a", "{\"b\":1}", &[]),
        ("$.a.b.c", "{\"a\":{\"b\":{\"c\":7}}}", &["7"]),
        ("$[0]", "[\"first\",\"second\"]", &["\"first\""]),
        ("$[2]", "[\"first\",\"second\"]", &[]),
        ("$[0]", "{\"0\":1}", &[]),
        ("$['0']", "[1]", &[]),
        ("$[*]", "[1,[2],{\"a\":3}]", &["1", "[]", "{}"]),
        ("$[*]", "{\"a\":\"A\",\"b\":[null]}", &["\"A\"", "[]"]),
        ("$[*]", "[]", &[]),
        ("$[*]", "{}", &[]),
        ("$[*]", "\"text\"", &[]),
        ("$[*][*]", "[[1,2],{\"a\":3},4]", &["1", "2", "3"]),
        (
            "$[*].a",
            "[{\"a\":1},{\"b\":2},{\"a\":null}]",
            &["1", "null"],
        ),
        ("$['']", "{\"\":1}", &["1"]),
        (
            "$['\\u263a']",
            "{\"\\u263A\":1,\"\u{263a}\":2}",
            &["1", "2"],
        ),
        ("$[\"\\\\\"]", "{\"\\\\\":\"A\"}", &["\"A\""]),
        ("$['a b[*]']", "{\"a b[*]\" : 1}", &["1"]),
        // A name that stands twice.
        (
            "$.a.b",
            "{\"a\":{\"b\":1},\"a\":{\"b\":2,\"b\":3}}",
            &["1", "2", "3"],
        ),
        // What is skipped looks like what is sought.
        (
            "$.b",
            "{\"a\":{\"b\":1,\"c\":[\"}]\\\"\"]},\"b\":2}",
            &["2"],
        ),
        ("$.b", "{\"a\":\"\\\\\",\"b\":2}", &["2"]),
    ] {
        assert_eq!(values(at, data), expected, "{at} in {data}");
    }
}

#[test]
fn what_each_word_means() {
    for (word, operands, data, expected) in [
        (Word::Eq, &["\"x\""][..], "\"x\"", true),
        (Word::Eq, &["\"x\""], "\"y\"", false),
        (Word::Eq, &["5"], "\"5\"", false),
        (Word::Eq, &["\"5\""], "5", false),
        (Word::Eq, &["true"], "\"true\"", false),
        (Word::Eq, &["true"], "true", true),
        (Word::Eq, &["false"], "null", false),
        (Word::Ne, &["\"x\""], "\"x\"", false),
        (Word::Ne, &["\"x\""], "5", true),
        (Word::Ne, &["\"x\""], "null", true),
        (Word::In, &["\"x\"", "5", "true"], "5.0", true),
        (Word::In, &["\"x\"", "5", "true"], "\"z\"", false),
        (Word::NotIn, &["\"x\"", "5"], "0.5e1", false),
        (Word::NotIn, &["\"x\"", "5"], "6", true),
        (Word::Prefix, &["\"lo\""], "\"loc\"", true),
        (Word::Prefix, &["\"lo\""], "\"l\"", false),
        (Word::Prefix, &["\"\""], "\"\"", true),
        (Word::Prefix, &["\"1\""], "12", false),
        (Word::Suffix, &["\"oc\""], "\"loc\"", true),
        (Word::Suffix, &["\"oc\""], "\"c\"", false),
        (Word::Exists, &["true"], "null", true),
        (Word::Exists, &["false"], "null", false),
        (Word::Exists, &["true"], "{}", true),
        (Word::Gt, &["5"], "5", false),
        (Word::Gt, &["5"], "5.0000000000000000000000001", true),
        (Word::Gte, &["5"], "5", true),
        (Word::Gte, &["5"], "4.9999999999999999999999999", false),
        (Word::Lt, &["5"], "5", false),
        (Word::Lt, &["5"], "-1e999", true),
        (Word::Lte, &["5"], "5.00", true),
        (Word::Gt, &["5"], "\"6\"", false),
    ] {
        let rule = rule("$.v", word, operands);
        assert_eq!(
            holds(&rule, &format!("{{\"v\":{data}}}")),
            expected,
            "{rule}: {data}"
        );
    }
    // Nothing is found, or several: one that passes is enough, one that contradicts too.
    for (word, operand, of_none, of_both) in [
        (Word::Eq, "1", false, true),
        (Word::Ne, "1", true, false),
        (Word::In, "1", false, true),
        (Word::NotIn, "1", true, false),
        (Word::Exists, "true", false, true),
        (Word::Exists, "false", true, false),
        (Word::Gt, "1", false, true),
        (Word::Lt, "2", false, true),
    ] {
        let rule = rule("$[*]", word, &[operand]);
        assert_eq!(holds(&rule, "[]"), of_none, "{rule}");
        assert_eq!(holds(&rule, "[1,2]"), of_both, "{rule}");
        assert_eq!(holds(&rule, "[2,1]"), of_both, "{rule}");
    }
}

#[test]
fn numbers_are_what_is_written() {
    let large = rule("$", Word::Eq, &["9007199254740993"]);
    assert!(holds(&large, "9007199254740993.0"));
    assert!(!holds(&large, "9007199254740992"));
    assert!(!holds(&large, "9007199254740994"));
    let beyond = rule("$", Word::Eq, &["18446744073709551616.0"]);
    assert!(holds(&beyond, "18446744073709551616"));
    assert!(!holds(&beyond, "18446744073709551615"));
    let huge = rule("$", Word::Gt, &["1e400"]);
    assert!(holds(&huge, "1e401") && holds(&huge, "1e99999999999999999999999"));
    assert!(!holds(&huge, "1e-99999999999999999999999") && !holds(&huge, "10e399"));
    let tenth = rule("$", Word::Eq, &["1.1"]);
    assert!(
        holds(&tenth, "1.10") && holds(&tenth, "11E-1") && !holds(&tenth, "1.1000000000000001")
    );
}

#[test]
fn escapes_are_read_and_half_a_surrogate_pair_is_no_character() {
    let data = "{\"n\\u0061me\\n\":\"l\\u006Fc-\\ud83d\\ude00\\/\",\"half\":\"ab\\ud800\"}";
    assert!(holds(
        &rule("$['name\\n']", Word::Eq, &["\"loc-\u{1f600}/\""]),
        data
    ));
    assert!(holds(&rule("$.half", Word::Prefix, &["\"ab\""]), data));
    assert!(!holds(&rule("$.half", Word::Eq, &["\"ab\u{fffd}\""]), data));
    assert!(holds(
        &rule("$.after", Word::Eq, &["1"]),
        "{\"\\udc00\":0,\"after\":1}"
    ));
    assert!(holds(&rule("$", Word::Eq, &["\"\0\""]), "\"\\u0000\""));
}

#[test]
fn a_thousand_levels() {
    let at = format!("${}{}", "[*]".repeat(500), ".a".repeat(500));
    let data = format!(
        "{}{}7{}{}",
        "[".repeat(500),
        "{\"a\":".repeat(500),
        "}".repeat(500),
        "]".repeat(500)
    );
    assert_eq!(values(&at, &data), ["7"]);
    // A rule for every level at once: read once all the same.
    let steps: Vec<usize> = (1..=500).collect();
    let rules: Vec<Rule> = steps
        .iter()
        .map(|n| rule(&format!("${}", "[0]".repeat(*n)), Word::Exists, &["true"]))
        .collect();
    assert_eq!(first_failing(&rules, &data), None);
    let less = format!("{}{}", "[".repeat(400), "]".repeat(400));
    assert_eq!(first_failing(&rules, &less), Some(399));
    // What is skipped may be as deep.
    let skipped = format!("{{\"x\":{data},\"y\":1}}");
    assert_eq!(values("$.y", &skipped), ["1"]);
}

#[test]
fn a_mebibyte_and_a_thousand_rules() {
    let items: Vec<String> = (0..20_000)
        .map(|n| {
            format!(
                "{{\"sku\":\"sku-{n:06}\",\"text\":\"{}\"}}",
                "\\\"x".repeat(9)
            )
        })
        .collect();
    let data = format!("{{\"items\":[{}]}}", items.join(","));
    assert!(data.len() > 1 << 20);
    let mut rules: Vec<Rule> = (0..1_000)
        .map(|n| {
            rule(
                "$.items[*].sku",
                Word::Eq,
                &[&format!("\"sku-{:06}\"", n * 19)],
            )
        })
        .collect();
    assert_eq!(first_failing(&rules, &data), None);
    rules[777] = rule("$.items[*].sku", Word::Eq, &["\"sku-\""]);
    assert_eq!(first_failing(&rules, &data), Some(777));
}

#[test]
fn of_a_thousand_webhooks_one_is_found() {
    let filters: Vec<[Rule; 2]> = (0..1_000)
        .map(|n| {
            let own = rule("$.origin.id", Word::In, &[&format!("\"loc-{n}\"")]);
            [rule("$.kind", Word::Ne, &["\"test\""]), own]
        })
        .collect();
    let matcher = Matcher::new(filters.iter().enumerate().map(|(n, rules)| (n, &rules[..])));
    let mut scratch = Scratch::default();
    let data = "{\"origin\":{\"id\":\"loc-512\"}}";
    assert_eq!(matcher.judge(data, &mut scratch), [512]);
    let nothing: [usize; 0] = [];
    assert_eq!(
        matcher.judge("{\"origin\":{\"id\":\"loc\"}}", &mut scratch),
        nothing
    );
    let test = "{\"origin\":{\"id\":\"loc-512\"},\"kind\":\"test\"}";
    assert_eq!(matcher.judge(test, &mut scratch), nothing);
}

#[test]
fn what_was_found_is_told_in_few_words() {
    let any = Rule::Any(
        [
            condition("$.a[*]", Word::Gt, &["5"]),
            condition("$.b", Word::Eq, &["true"]),
            condition("$.a[*]", Word::Eq, &["\"x\""]),
        ]
        .into(),
    );
    let long = "\u{e9}".repeat(100);
    let data = format!("{{\"a\":[1,\"{long}\",null,[],{{}}],\"c\":2}}");
    let told = found(&any, &data);
    let short = format!("\"{}...\"", "\u{e9}".repeat(60));
    assert_eq!(
        told,
        [
            (
                "$.a[*]".into(),
                vec!["1".into(), short, "null".into(), "more".into()]
            ),
            ("$.b".into(), Vec::new()),
        ]
    );
    assert_eq!(
        any.to_string(),
        "$.a[*] gt 5, or $.b eq true, or $.a[*] eq \"x\""
    );
    let many = rule("$.n", Word::NotIn, &["1", "2", "3", "4", "5", "6", "7.50"]);
    assert_eq!(many.to_string(), "$.n not_in [1, 2, 3, 4, 5 and 2 more]");
}
