//! What `where` means: each word with its operands, and the limits. Its errors' words are held by
//! `tests/it/config/where.stderr`.

use super::{hook, refused};

/// The rules as they are shown.
fn rules(text: &str) -> Vec<String> {
    let webhook = hook(&format!("where = [{text}]\n")).unwrap();
    webhook.rules.iter().map(ToString::to_string).collect()
}

#[test]
fn every_rule_arrives() {
    assert!(hook("").unwrap().rules.is_empty());
    assert_eq!(rules(""), [""; 0]);
    let text = "{ path = '$.a', eq = 'x' }, { path = '$.a', ne = 0x10 }, { path = '$.a', in = ['x', 1_0, true] },\
                { path = '$.a', not_in = [+1.50] }, { path = '$', prefix = '' }, { path = '$', suffix = 'x' },\
                { path = '$', exists = false }, { path = '$', gt = -5 }, { path = '$', gte = 1e2 },\
                { path = '$', lt = 9007199254740993 }, { path = '$', lte = 18446744073709551616.0 },\
                { any = [{ path = '$.b[0]', eq = 1 }, { path = \"$['c\\\\n']\", eq = false }] }";
    assert_eq!(
        rules(text),
        [
            "$.a eq \"x\"",
            "$.a ne 16",
            "$.a in [\"x\", 10, true]",
            "$.a not_in [1.5]",
            "$ prefix \"\"",
            "$ suffix \"x\"",
            "$ exists false",
            "$ gt -5",
            "$ gte 100",
            "$ lt 9007199254740993",
            "$ lte 18446744073709551616",
            "$.b[0] eq 1, or $['c\\n'] eq false",
        ]
    );
    let lines = "[[webhook.where]]\npath = '$.a'\neq = 1\n[[webhook.where]]\nany = [{ path = '$.b', eq = 2 }]\n";
    assert_eq!(hook(lines).unwrap().rules.len(), 2);
}

#[test]
fn so_many_rules_and_operands_and_no_more() {
    let many = |count: usize| "{ path = '$.a', eq = 1 },".repeat(count);
    assert_eq!(rules(&many(1_000)).len(), 1_000);
    let nested = format!("{{ any = [{}] }}, {}", many(500), many(500));
    assert_eq!(rules(&nested).len(), 501);
    for too_many in [
        many(1_001),
        format!("{{ any = [{}] }}, {}", many(500), many(505)),
    ] {
        let (errors, report) = refused(hook(&format!("where = [{too_many}]\n")));
        assert_eq!(errors, 1);
        assert!(
            report.contains("where has more than 1000 rules"),
            "{report}"
        );
    }
    let list = |count: usize| format!("{{ path = '$.a', in = [{}] }}", "1,".repeat(count));
    assert_eq!(rules(&list(1_000)).len(), 1);
    let (errors, report) = refused(hook(&format!("where = [{}]\n", list(1_001))));
    assert_eq!(errors, 1);
    assert!(report.contains("more than 1000 values"), "{report}");
}
