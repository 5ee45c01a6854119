//! Words for what fails in TLS: what a person reads in the log, for every error that the library has.
//!
//! The library names its errors for programmers (`InvalidCertificate(UnknownIssuer)`). What is met in
//! practice has words here; the rest, mostly ways to break the protocol, is named by taking the
//! library's name apart (`SelectedInvalidPsk`: "selected invalid PSK"), so that a name which a later
//! library adds is words too. A test goes over all of them.

use std::fmt::Debug;

use rustls::pki_types::pem;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use rustls_native_certs::ErrorKind;

use super::asked::Asked;
use super::refused;
use crate::model::{Class, Failure};

/// Names of a certificate that a failure's text lists.
const NAMES_SHOWN: usize = 3;

/// A TLS error as the endpoint's failure; `asked`: for a certificate of ours.
pub(in super::super) fn failure(host: &str, asked: Asked, error: &rustls::Error) -> Failure {
    use rustls::Error as E;
    if let E::AlertReceived(alert) = error
        && let Some(refused) = refused::by_alert(host, asked, *alert)
    {
        return refused;
    }
    let class = match error {
        E::InvalidCertificate(_) | E::NoCertificatesPresented => Class::Certificate,
        _ => Class::Tls,
    };
    let text = match error {
        E::InvalidCertificate(why) => format!("certificate of {host}: {}", certificate(why)),
        E::NoCertificatesPresented => format!("certificate of {host}: none was presented"),
        E::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS on this port")
        }
        E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            format!("{host} speaks no TLS newer than 1.1")
        }
        E::AlertReceived(why) => format!("{host} refused TLS: {}", alert(*why)),
        other => format!("TLS with {host}: {}", any(other)),
    };
    Failure { class, text }
}

/// Whether the two sides speak different versions of TLS.
pub(in super::super) fn is_about_the_version(error: &rustls::Error) -> bool {
    use PeerIncompatible as P;
    use rustls::Error as E;
    matches!(
        error,
        E::AlertReceived(AlertDescription::ProtocolVersion)
            | E::PeerIncompatible(P::ServerTlsVersionIsDisabledByOurConfig)
    )
}

/// Words for any error of the library, without whose it is.
pub(in super::super) fn any(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(why) => format!("its certificate is {}", certificate(why)),
        E::NoCertificatesPresented => "no certificate was presented".into(),
        E::AlertReceived(why) => alert(*why),
        E::InappropriateMessage { got_type, .. } => {
            format!("it sent {} out of turn", named(got_type))
        }
        E::InappropriateHandshakeMessage { got_type, .. } => {
            format!("it sent {} out of turn in the handshake", named(got_type))
        }
        E::InvalidMessage(why) => format!("what it sent is not TLS: {}", named(why)),
        E::PeerIncompatible(why) => incompatible(why),
        E::PeerMisbehaved(why) => format!("it breaks the protocol: {}", named(why)),
        E::InvalidEncryptedClientHello(why) => {
            format!("encrypted client hello: {}", named(why))
        }
        E::InvalidCertRevocationList(why) => format!("list of revocations: {}", named(why)),
        E::InconsistentKeys(why) => format!("key and certificate: {}", named(why)),
        E::General(text) => text.clone(),
        E::Other(why) => named(why.0.as_ref()),
        E::DecryptError => "what it sent can't be decrypted, or was changed on its way".into(),
        E::EncryptError => "what is to be sent can't be encrypted".into(),
        E::PeerSentOversizedRecord => "it sent a larger record than TLS allows".into(),
        E::HandshakeNotComplete => "the handshake was not finished".into(),
        E::NoApplicationProtocol => "it does not want to speak HTTP/1.1".into(),
        E::FailedToGetCurrentTime => "this machine's clock can't be read".into(),
        E::FailedToGetRandomBytes => "this machine has no randomness".into(),
        other => named(other),
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    use PeerIncompatible as P;
    let words = match why {
        P::ServerDoesNotSupportTls12Or13 => "it speaks no TLS newer than 1.1",
        P::ServerTlsVersionIsDisabledByOurConfig => {
            "it speaks an older TLS than its webhook allows"
        }
        P::NoCipherSuitesInCommon => "no cipher that both sides accept",
        P::NoKxGroupsInCommon => "no key exchange that both sides accept",
        P::NoSignatureSchemesInCommon => "no kind of signature that both sides accept",
        P::ExtendedMasterSecretExtensionRequired => {
            "it does not bind TLS 1.2 sessions to their handshake (extended master secret)"
        }
        other => return format!("it lacks what is needed: {}", named(other)),
    };
    words.into()
}

/// What a certificate is that is not accepted.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let words = match error {
        E::Expired | E::ExpiredContext { .. } => "expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "not valid yet",
        E::Revoked => "revoked",
        E::UnknownIssuer => "signed by nobody that is trusted here",
        E::BadSignature => "not signed by the authority that it names",
        E::BadEncoding => "not readable",
        E::NotValidForName => "made for another name",
        E::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "made for no name at all (a common name does not count)"
        }
        E::NotValidForNameContext { presented, .. } => {
            let shown = presented.len().min(NAMES_SHOWN);
            let more = if presented.len() > shown { ", …" } else { "" };
            let names: Vec<_> = presented
                .iter()
                .take(shown)
                .map(|name| bare(name))
                .collect();
            return format!("made for other names: {}{more}", names.join(", "));
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "not made for servers",
        E::UnhandledCriticalExtension => "bound to a condition that is not known here",
        E::UnsupportedSignatureAlgorithmContext { .. } => {
            "signed in a way that is not accepted here"
        }
        E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "signed in a way that does not go with its authority's key"
        }
        E::UnknownRevocationStatus => "perhaps revoked: nobody says",
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "perhaps revoked: the list of those that are is too old"
        }
        E::InvalidOcspResponse => "perhaps revoked: what says that it is not can't be read",
        E::ApplicationVerificationFailure => {
            "presented by somebody who does not have its key, or that key is of a kind that is not \
             accepted here (RSA of fewer than 2,048 bits, for one)"
        }
        E::Other(why) => return odd(head(&format!("{:?}", why.0))),
        other => return named(other),
    };
    words.into()
}

/// What the library below the library says of a certificate.
fn odd(name: &str) -> String {
    match name {
        "CaUsedAsEndEntity" => {
            "an authority's and not a server's, and not itself among the certificates that are \
             trusted"
        }
        "EndEntityUsedAsCa" => "signed by a certificate that may sign none",
        "UnsupportedCertVersion" => "of a version before 3, which has no names",
        "NameConstraintViolation" => "made for a name that its authority may not vouch for",
        "PathLenConstraintViolated" | "MaximumPathDepthExceeded" => {
            "too many authorities away from one that is trusted"
        }
        other => return format!("not to be used: {}", apart(other)),
    }
    .into()
}

/// What a peer says why it breaks off (RFC 8446, 6; IANA's list).
fn alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let words = match alert {
        A::CloseNotify => "it closed the connection",
        A::UnexpectedMessage => "it did not expect what we sent (unexpected message)",
        A::BadRecordMac => "it could not decrypt what we sent (bad record MAC)",
        A::DecodeError => "it could not read what we sent (decode error)",
        A::HandshakeFailure => "nothing that both sides accept (handshake failure)",
        A::ProtocolVersion => "it speaks another version of TLS (protocol version)",
        A::InsufficientSecurity => "it wants stronger ciphers (insufficient security)",
        A::InternalError => "it failed by itself (internal error)",
        A::UnrecognisedName => "it serves no host of that name (unrecognised name)",
        A::CertificateRequired | A::NoCertificate => {
            return format!("it wants a certificate of ours ({})", named(&alert));
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA => return format!("it does not accept our certificate ({})", named(&alert)),
        A::AccessDenied => "it lets us not in (access denied)",
        A::NoApplicationProtocol => "it does not want to speak HTTP/1.1 (no application protocol)",
        A::Unknown(number) => return format!("its reason has the number {number}"),
        other => return named(&other),
    };
    words.into()
}

/// Why a text is no PEM.
pub(super) fn no_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its line -----END … is missing".into(),
        pem::Error::IllegalSectionStart { .. } => "its line -----BEGIN … is broken".into(),
        pem::Error::Base64Decode(_) => "what is between its lines is no base64".into(),
        pem::Error::Io(error) => error.to_string(),
        other => named(other),
    }
}

/// Why what the system trusts can't be read.
pub(super) fn unread(error: &rustls_native_certs::Error) -> String {
    let reason = match &error.kind {
        ErrorKind::Io { inner, path } => format!("{inner} at {path:?}"),
        ErrorKind::Os(error) => error.to_string(),
        ErrorKind::Pem(error) => no_pem(error),
        _ => return error.context.to_owned(),
    };
    format!("{}: {reason}", error.context)
}

/// The library's name of a value, taken apart.
fn named<T: Debug + ?Sized>(value: &T) -> String {
    apart(head(&format!("{value:?}")))
}

/// A name without the values behind it.
fn head(debug: &str) -> &str {
    let mut parts = debug.split(|c: char| !c.is_ascii_alphanumeric());
    parts.next().unwrap_or(debug)
}

/// `UnknownPSKIdentity`: "unknown PSK identity".
fn apart(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut words: Vec<String> = Vec::new();
    for (at, c) in name.char_indices() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + 1);
        let begins = c.is_ascii_uppercase()
            && (before.is_none_or(|c| !c.is_ascii_uppercase())
                || after.is_some_and(u8::is_ascii_lowercase));
        match words.last_mut() {
            Some(word) if !begins => word.push(c),
            _ => words.push(c.into()),
        }
    }
    for word in &mut words {
        let small = word.to_ascii_lowercase();
        *word = match small.as_str() {
            "tls12" => "TLS 1.2".into(),
            "tls13" => "TLS 1.3".into(),
            "kx" => "key exchange".into(),
            "ca" | "dh" | "ec" | "ech" | "ems" | "eku" | "mac" | "ocsp" | "psk" | "quic"
            | "sct" | "sni" | "tls" | "url" => small.to_ascii_uppercase(),
            _ => small,
        };
    }
    words.join(" ")
}

/// A name without what the TLS library says of its kind: `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    let inside = name.strip_suffix(')').and_then(|rest| rest.split_once('('));
    match inside {
        // RFC 5280, GeneralName: by the number that stands in the certificate.
        Some(("Unsupported", "1" | "0x01" | "0x81")) => "an e-mail address",
        Some(("Unsupported", _)) => "something that is no host's name",
        Some((_kind, name)) => name.trim_matches('"'),
        None if name == "DirectoryName" => "a directory's name",
        None => name,
    }
}

#[cfg(test)]
mod tests;
