//! That no report tells a secret, whatever the text, and that no text panics.
//!
//! The marker stands for a secret wherever one can be written, or misplaced. That it may stand in a
//! comment or in place of a public value is the user's affair, and not tried here.

use proptest::prelude::*;

use super::{Scripted, parse_plain, refused};

/// What must never be told.
const MARKER: &str = "hunter2";

#[test]
fn a_misplaced_secret_is_not_told() {
    for text in [
        "[[webhook]]\nsecret = 'hunter2'\nbogus = 1",
        "[[webhook]]\nsecert = 'hunter2'",
        "[[webhook]]\npassword = ['hunter2']",
        "[[webhook]]\nsecret = ['hunter2']",
        "[[webhook]]\nsecret.hunter = 'hunter2'",
        "[[webhook]]\nsecret_env = 'hunter2 '",
        "[[webhook]]\nsecret_env = 'hunter2'",
        "[[webhook]]\n\"\\u0073ecret\" = 'hunter2'\nx = 1",
        "webhook = [{ bogus = 1, \"\\u0073ecret\" = 'hunter2' }]",
        "webhook = [{ bogus = 1, secret = 'hunter2' }]",
        "webhook = [{ bogus = 1, url = 'http://u:hunter2@h/' }]",
        "[[webhook]]\nurl = 'ftp://u:hunter2@h/'",
        "[[webhook]]\nurl = '''http://u\n:hunter2@h/'''",
        "[[webhook]]\nheaders = { X-A = 'hunter2\u{e4}' }",
        "[[webhook]]\nheaders = { 'hunter2 ' = 'x' }",
        "[[webhook]]\nheaders = { A = '1', A-B = 'hunter2', HOST = 'x' }",
        "[[webhook]]\nheaders = 'X-A: hunter2'",
        "[[webhook]]\nheaders = ['hunter2']",
        "[[webhook]]\n[webhook.headers]\nX-A = 1\nHost = 'hunter2'",
        "[[webhook]]\n[webhook.heders]\nX-A = 'hunter2'",
        "[[webhook]]\nheaders = { X-A = '''\nhunter2''', Host = 'x' }",
        "[[webhook]]\nsecret = '''\nhunter2''' oops",
        "[[webhook]]\nsecret = \"\"\"\nname = hunter2\\q\n\"\"\"",
        "[[webhook]]\nsecret = 'hunter2",
        "[[webhook]]\nsecret = hunter2",
        "[[webhook]]\nsecret\n= hunter2",
        "[[webhook]]\nsecret =\nhunter2",
        "[[webhook]]\nx = hunter2",
        "[[webhook]]\nurl = \"http://u:hunter2@h/",
        "[[webhook]]\nheaders = { X-A = 'hunter2' X-B = 1 }",
        "[[webhook]]\nheaders = {\nX-A = 'hunter2\n}",
        "[[webhook]]\nheaders = {\nname = 'hunter2\n}",
        "[[webhook]]\n[webhook.headers]\nname = 'hunter2",
        "[[webhook]]\n[webhook.\"\\u0068eaders\"]\nname = 'hunter2",
        "[[webhook]]\n\"\\u0068eaders\" = {\nname = 'hunter2",
        "[[webhook]]\nname = 'a'headers.X-A = 'hunter2'",
        "[[webhook]]\nname = 'a'\nname = 'b', secret = 'hunter2'",
    ] {
        let (_, report) = refused(parse_plain(text));
        assert!(
            !report.to_lowercase().contains(MARKER),
            "{text}\n--\n{report}"
        );
    }
}

/// Lines of which files are made that nearly are configurations, with secrets where they may be.
fn line() -> impl Strategy<Value = String> {
    let secret = prop_oneof![
        Just("secret = 'hunter2'"),
        Just("\"secret\" = \"hunter2\""),
        Just("secret = '''\nhunter2\n'''"),
        Just("secret = \"\"\"hunter2\nhunter2\\\n  hunter2\"\"\""),
        Just("headers = { X-A = 'hunter2', Host = 'hunter2' }"),
        Just("headers.X-A = 'hunter2'"),
        Just("headers = {\n  X-A = 'hunter2',\n  name = 'hunter2' }"),
        Just("[webhook.headers]\nX-A = 'hunter2'"),
        Just("url = 'https://user:hunter2@h/'"),
        Just("webhook = [{ secret = 'hunter2', bogus = 1 }]"),
        Just("secret_env = 'KEY'"),
        Just("secret_file = 'k'"),
    ];
    let other = prop_oneof![
        Just("[[webhook]]"),
        Just("[log]"),
        Just("[webhook]"),
        Just("name = 'a'"),
        Just("url = 'https://h/'"),
        Just("url = ftp"),
        Just("events = ['*', 1]"),
        Just("bogus = 1"),
        Just("keep_days = 'x'"),
        Just("dialect = 'bold-factory"),
        Just("\"\"\""),
        Just("}"),
        Just("= ]"),
    ];
    prop_oneof![
        2 => secret.prop_map(str::to_owned),
        4 => other.prop_map(str::to_owned),
        1 => "[ -~\u{e4}\u{1f600}]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        if let Err(report) = parse_plain(&text) {
            prop_assert!(!report.to_string().is_empty());
        }
    }

    #[test]
    fn no_report_tells_a_secret(lines in proptest::collection::vec(line(), 0..14), cut in 0_usize..40) {
        let mut text = lines.join("\n");
        // Taking a character away makes most of the syntax errors that people make.
        if let Some((at, _)) = text.char_indices().rev().nth(cut) {
            let c = text.remove(at);
            if !"\n'\"={}[],".contains(c) {
                text.insert(at, c);
            }
        }
        let around = Scripted::new(&[("/f/k", b"hunter2")]);
        if let Err(report) = around.parse(&text) {
            prop_assert!(!report.to_string().contains(MARKER), "{text}\n--\n{report}");
        }
    }
}
