//! What nobody sees at the ends of a secret: it is told, and the secret stays as it is.

use super::{HOOK, Scripted};

#[test]
fn what_nobody_sees_in_a_secret_is_told_and_kept() {
    let utf16: Vec<u8> = [0xfeff_u16]
        .into_iter()
        .chain("key".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let around = Scripted::new(&[
        ("/f/mark", b"\xef\xbb\xbfkey\n"),
        ("/f/blank", b"key \r\n"),
        ("/f/tab", b"\tkey"),
        ("/f/twice", b"key\n\n"),
        ("/f/hard", "key\u{a0}".as_bytes()),
        ("/f/zero", "key\u{200b}\n".as_bytes()),
        ("/f/soft", "key\u{ad}".as_bytes()),
        ("/f/turned", "key\u{2069}\n".as_bytes()),
        ("/f/varied", "key\u{fe0f}".as_bytes()),
        ("/f/begun", "\u{2066}key".as_bytes()),
        ("/f/nul", b"key\0"),
        ("/f/zeros", &[0; 32]),
        ("/f/utf16", &utf16),
        ("/f/cut", b"\x80key\n"),
        ("/f/plain", b"a key of words\n"),
        ("/f/windows", b"key\r\n"),
        ("/f/binary", b" \x80\xff "),
    ]);
    let warned = |line: &str| {
        let config = around.parse(&format!("{HOOK}{line}")).unwrap();
        let [warning] = &config.warnings[..] else {
            assert!(config.warnings.is_empty(), "{line}: {:?}", config.warnings);
            return None;
        };
        assert!(!warning.to_string().contains("key\u{a0}"));
        Some(warning.message.clone())
    };
    for (file, words) in [
        ("mark", "begins with a byte-order mark"),
        ("blank", "ends with a blank"),
        ("tab", "begins with a blank"),
        ("twice", "ends with a newline"),
        ("hard", "ends with a blank"),
        ("zero", "ends with a blank"),
        ("soft", "ends with a blank, or another character"),
        ("turned", "ends with a blank, or another character"),
        ("varied", "ends with a blank, or another character"),
        ("begun", "begins with a blank, or another character"),
        ("nul", "ends with a zero byte"),
        ("zeros", "is nothing but zero bytes"),
        ("utf16", "is UTF-16"),
        ("cut", "newline at its end is not part"),
    ] {
        let told = warned(&format!("secret_file = '{file}'")).unwrap_or_default();
        assert!(told.contains(words), "{file}: {told}");
    }
    for file in ["plain", "windows", "binary"] {
        assert_eq!(warned(&format!("secret_file = '{file}'")), None, "{file}");
    }
    assert!(warned("secret = ' key'").is_some());
    assert_eq!(warned("secret_env = 'KEY'"), None);
    let mark = around
        .parse(&format!("{HOOK}secret_file = 'mark'"))
        .unwrap();
    let secret = mark.webhooks[0].secret.as_ref().unwrap();
    assert_eq!(secret.bytes(), b"\xef\xbb\xbfkey", "told, not changed");
}
