//! Every error of the TLS library has words of its own, in which nothing of Rust shows.
//!
//! The lists below are held against the library's source, where cargo knows it: a variant that a later
//! version adds fails the test until it is here, and has been read once as a person reads it.

mod variants;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::{AlertDescription, ContentType, Error, HandshakeType, OtherError};

use super::*;

/// Nothing in the text is a name or a value as Rust writes it.
fn is_for_people(text: &str) -> bool {
    let bytes = text.as_bytes();
    let camel = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    let call = |pair: &[u8]| pair[0].is_ascii_alphanumeric() && matches!(pair[1], b'(' | b'{');
    !text.is_empty()
        && !bytes.windows(2).any(|pair| camel(pair) || call(pair))
        && !text.contains(['{', '}', '[', ']', '_'])
        && !text.contains("::")
}

/// Holds that all of them are for people, and that no two read alike but where they mean the same.
#[track_caller]
fn hold<T: Debug>(kind: &str, all: &[T], same: usize, words: impl Fn(&T) -> String) {
    let mut texts = BTreeSet::new();
    for error in all {
        let text = words(error);
        assert!(is_for_people(&text), "{error:?}: {text}");
        texts.insert(text);
    }
    assert_eq!(texts.len(), all.len() - same, "{kind}: {texts:#?}");
}

#[test]
fn every_error_of_the_library_has_words_of_its_own() {
    let shown = |error: &Error| failure("a.example", Asked::Not, error).text;
    hold("error", &variants::errors(), 0, shown);
    let of = |error: &CertificateError| shown(&error.clone().into());
    // Each with and without what it is about.
    hold("certificate", &variants::certificates(), 4, of);
    hold("message", &variants::messages(), 0, |&e| shown(&e.into()));
    let of = |e: &rustls::PeerMisbehaved| shown(&e.clone().into());
    hold("misbehaviour", &variants::misbehaviours(), 0, of);
    let of = |e: &PeerIncompatible| shown(&e.clone().into());
    hold("incompatibility", &variants::incompatibilities(), 0, of);
    let of = |e: &rustls::CertRevocationListError| shown(&e.clone().into());
    hold("revocations", &variants::revocations(), 0, of);
    let of = |e: &rustls::EncryptedClientHelloError| shown(&e.clone().into());
    hold("client hello", &variants::client_hellos(), 0, of);
    hold("keys", &variants::keys(), 0, |&e| shown(&e.into()));
}

#[test]
fn every_alert_and_every_kind_of_message_has_words_of_its_own() {
    let shown = |error: Error| failure("a.example", Asked::Not, &error).text;
    let alerts: Vec<_> = (0..=u8::MAX).map(AlertDescription::from).collect();
    hold("alert", &alerts, 0, |&alert| {
        shown(Error::AlertReceived(alert))
    });
    let kinds: Vec<_> = (20..=24).map(ContentType::from).collect();
    hold("kind", &kinds, 0, |&got_type| {
        shown(Error::InappropriateMessage {
            expect_types: vec![ContentType::Handshake],
            got_type,
        })
    });
    let known = |kind: &HandshakeType| !matches!(kind, HandshakeType::Unknown(_));
    let kinds: Vec<_> = (0..=u8::MAX)
        .map(HandshakeType::from)
        .filter(known)
        .collect();
    hold("handshake", &kinds, 0, |&got_type| {
        shown(Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::Finished],
            got_type,
        })
    });
}

/// Prints itself as an error of the library below the library does.
#[derive(Clone)]
struct Odd(String);

impl Debug for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Odd {}

fn below(name: &str) -> String {
    let other = OtherError(Arc::new(Odd(name.to_owned())));
    certificate(&CertificateError::Other(other))
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn the_lists_have_what_the_library_has() {
    let named = |all: Vec<String>| -> BTreeSet<String> {
        all.iter().map(|debug| head(debug).to_owned()).collect()
    };
    fn debug<T: Debug>(all: Vec<T>) -> Vec<String> {
        all.iter().map(|error| format!("{error:?}")).collect()
    }
    let Some((rustls, webpki)) = sources() else {
        println!("SKIPPED: cargo does not tell where the library's source is");
        return;
    };
    for (name, listed) in [
        ("Error", debug(variants::errors())),
        ("CertificateError", debug(variants::certificates())),
        ("InvalidMessage", debug(variants::messages())),
        ("PeerMisbehaved", debug(variants::misbehaviours())),
        ("PeerIncompatible", debug(variants::incompatibilities())),
        ("CertRevocationListError", debug(variants::revocations())),
        (
            "EncryptedClientHelloError",
            debug(variants::client_hellos()),
        ),
        ("InconsistentKeys", debug(variants::keys())),
    ] {
        let mut declared = declared(&rustls, name);
        // Its value is of a type that the library keeps to itself.
        declared.remove("UnsupportedKeyExchangeAlgorithm");
        assert_eq!(named(listed), declared, "{name}");
    }
    let odd: Vec<_> = declared(&webpki, "Error").into_iter().collect();
    // Two of them say the same of a chain that is too long.
    hold("below", &odd, 1, |name| {
        below(&format!("{name}(Some {{ x: [1] }})"))
    });
}

/// The source of the library's errors, and of those of the library below it.
fn sources() -> Option<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let metadata: serde_json::Value = serde_json::from_slice(&output.ok()?.stdout).ok()?;
    let source = |name: &str| {
        let packages = metadata["packages"].as_array()?;
        let package = packages.iter().find(|package| package["name"] == name)?;
        let folder = PathBuf::from(package["manifest_path"].as_str()?);
        std::fs::read_to_string(folder.with_file_name("src").join("error.rs")).ok()
    };
    Some((source("rustls")?, source("rustls-webpki")?))
}

/// The variants of an enum, by its source.
fn declared(source: &str, name: &str) -> BTreeSet<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let variant = |line: &str| {
        let line = line.strip_prefix("    ")?;
        line.starts_with(|c: char| c.is_ascii_uppercase())
            .then(|| head(line).to_owned())
    };
    let variants: BTreeSet<_> = body.lines().filter_map(variant).collect();
    assert!(variants.len() >= 2, "{name}: {variants:?}");
    variants
}

#[test]
fn names_are_taken_apart() {
    for (name, words) in [
        ("UnknownPSKIdentity", "unknown PSK identity"),
        (
            "SelectedTls12UsingTls13VersionExtension",
            "selected TLS 1.2 using TLS 1.3 version extension",
        ),
        ("NoKxGroupsInCommon", "no key exchange groups in common"),
        ("UnknownCA", "unknown CA"),
    ] {
        assert_eq!(apart(name), words);
    }
    assert!(!is_for_people("InvalidCertificate(UnknownIssuer)"));
    assert!(!is_for_people("UnknownIssuer"));
    assert!(!is_for_people("Other([1])"));
}

#[test]
fn what_is_no_pem_has_words() {
    for (error, words) in [
        (
            pem::Error::MissingSectionEnd {
                end_marker: vec![45],
            },
            "its line -----END … is missing",
        ),
        (
            pem::Error::IllegalSectionStart { line: vec![45] },
            "its line -----BEGIN … is broken",
        ),
        (
            pem::Error::Base64Decode("InvalidByte(3, 61)".into()),
            "what is between its lines is no base64",
        ),
        (pem::Error::NoItemsFound, "no items found"),
        (pem::Error::SectionTooLarge, "section too large"),
    ] {
        assert_eq!(no_pem(&error), words);
    }
}

#[test]
fn a_name_that_is_no_hosts_is_named_by_its_kind() {
    for (presented, words) in [
        ("DnsName(\"other.example\")", "other.example"),
        ("Unsupported(1)", "an e-mail address"),
        ("Unsupported(0x01)", "an e-mail address"),
        ("Unsupported(8)", "something that is no host's name"),
        ("DirectoryName", "a directory's name"),
    ] {
        assert_eq!(bare(presented), words);
    }
}
