//! A server that does not let us in for want of a certificate, or for ours: which failures say so, and whose fault it is.
//!
//! Some say it by an alert, before or after the handshake; nginx and Apache by a page; some only close. Left out: all
//! else that fails in TLS (`words`).

use rustls::AlertDescription as Alert;

use super::asked::Asked;
use crate::model::{Class, Failure};

/// As much of a page is looked through: those that are known are shorter.
const PAGE_BYTES: usize = 4_096;

/// A failure of that class.
fn failure(text: String) -> Failure {
    Failure {
        class: Class::ClientCertificate,
        text,
    }
}

/// What the server wanted, as far as it is known.
fn wish(host: &str, asked: Asked) -> String {
    match asked {
        Asked::HasNone => format!("{host} asks for a client certificate and the webhook has none"),
        Asked::Unfit => {
            format!("{host} asks for a client certificate, but of another kind than the webhook's")
        }
        Asked::Not | Asked::Given => format!("{host} does not accept our client certificate"),
    }
}

/// The alert as a refusal of our certificate, where it is one.
pub(super) fn by_alert(host: &str, asked: Asked, alert: Alert) -> Option<Failure> {
    let reason = match (alert, asked) {
        (Alert::CertificateRequired | Alert::NoCertificate, Asked::Not | Asked::Given) => {
            let why = name(alert);
            return Some(failure(format!(
                "{host} wants a client certificate ({why})"
            )));
        }
        (Alert::CertificateRequired | Alert::NoCertificate, _) => "it is needed",
        (Alert::BadCertificate, _) => "it can't be used",
        (Alert::UnsupportedCertificate, _) => "it is of a kind that is not taken",
        (Alert::CertificateRevoked, _) => "it is revoked",
        (Alert::CertificateExpired, _) => "it has expired or is not valid yet",
        (Alert::CertificateUnknown, _) => "for a reason that is not told",
        (Alert::UnknownCA, _) => "it is signed by nobody that is trusted there",
        // Of these it is told by the question before.
        (_, Asked::Not) => return None,
        (Alert::AccessDenied, _) => "it gives no access",
        (Alert::DecryptError, _) => "its signature does not hold",
        (Alert::HandshakeFailure, _) => "nothing that both sides accept",
        (Alert::InternalError, _) => "the server failed by itself",
        _ => return None,
    };
    let why = name(alert);
    let text = match asked {
        Asked::HasNone | Asked::Unfit => format!("{} ({why})", wish(host, asked)),
        Asked::Not | Asked::Given => format!("{}: {reason} ({why})", wish(host, asked)),
    };
    Some(failure(text))
}

/// An alert's name as the specification has it, in words.
fn name(alert: Alert) -> &'static str {
    match alert {
        Alert::CertificateRequired => "certificate required",
        Alert::NoCertificate => "no certificate",
        Alert::BadCertificate => "bad certificate",
        Alert::UnsupportedCertificate => "unsupported certificate",
        Alert::CertificateRevoked => "certificate revoked",
        Alert::CertificateExpired => "certificate expired",
        Alert::CertificateUnknown => "certificate unknown",
        Alert::UnknownCA => "unknown CA",
        Alert::AccessDenied => "access denied",
        Alert::DecryptError => "decrypt error",
        Alert::InternalError => "internal error",
        _ => "handshake failure",
    }
}

/// The end of a connection on which nothing was answered, as a refusal: `what` is how it ended. `None`: nobody had asked.
pub(in super::super) fn by_closing(host: &str, asked: Asked, what: &str) -> Option<Failure> {
    let text = match asked {
        Asked::Not => return None,
        Asked::Given => format!("{what}; {host} had asked for our client certificate and got it"),
        Asked::HasNone | Asked::Unfit => format!("{}: {what}", wish(host, asked)),
    };
    Some(failure(text))
}

/// A handshake that is broken off after the request: TLS 1.2 asks anew then, which nobody here answers.
pub(in super::super) fn afterwards(host: &str) -> Failure {
    failure(format!(
        "{host} broke off once it had the request (handshake failure), as Apache does where SSLVerifyClient stands in a \
         Location: it has to stand for the whole host"
    ))
}

/// A page with which a server says the same.
pub(in super::super) fn by_page(
    host: &str,
    status: u16,
    body: &[u8],
    asked: Asked,
) -> Option<Failure> {
    let says = |words: &str| {
        let page = body.get(..PAGE_BYTES).unwrap_or(body);
        page.windows(words.len())
            .any(|some| some == words.as_bytes())
    };
    let text = match status {
        400 if says(NONE_SENT) => {
            let wish = match asked {
                Asked::HasNone | Asked::Unfit => wish(host, asked),
                Asked::Not | Asked::Given => format!("{host} wants a client certificate"),
            };
            format!("{wish} (answered 400, \"{NONE_SENT}\")")
        }
        400 if says(NOT_ACCEPTED) => {
            format!(
                "{} (answered 400, \"{NOT_ACCEPTED}\")",
                wish(host, Asked::Given)
            )
        }
        403 if says(TOO_LATE) => format!(
            "{host} asks for a client certificate once it has the request (answered 403, \"{TOO_LATE}\"), as Apache \
             does where SSLVerifyClient stands in a Location: it has to stand for the whole host"
        ),
        _ => return None,
    };
    Some(failure(text))
}

/// nginx, `ngx_http_special_response.c`
const NONE_SENT: &str = "No required SSL certificate was sent";
const NOT_ACCEPTED: &str = "The SSL certificate error";
/// Apache, `mod_ssl`
const TOO_LATE: &str = "Cannot perform Post-Handshake Authentication";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Asked; 4] = [Asked::Not, Asked::HasNone, Asked::Unfit, Asked::Given];

    #[test]
    fn alerts_that_speak_of_our_certificate_say_whose_fault_it_is() {
        let told = |asked, alert| by_alert("h.example", asked, alert).unwrap();
        for asked in ALL {
            for alert in [
                Alert::CertificateRequired,
                Alert::BadCertificate,
                Alert::UnknownCA,
                Alert::CertificateExpired,
            ] {
                assert_eq!(told(asked, alert).class, Class::ClientCertificate);
            }
            for alert in [Alert::ProtocolVersion, Alert::UnrecognisedName] {
                assert_eq!(by_alert("h.example", asked, alert), None);
            }
        }
        let expected = [
            (
                Asked::HasNone,
                Alert::CertificateRequired,
                "h.example asks for a client certificate and the webhook has none (certificate required)",
            ),
            (
                Asked::HasNone,
                Alert::HandshakeFailure,
                "h.example asks for a client certificate and the webhook has none (handshake failure)",
            ),
            (
                Asked::Given,
                Alert::UnknownCA,
                "h.example does not accept our client certificate: it is signed by nobody that is trusted there (unknown CA)",
            ),
            (
                Asked::Unfit,
                Alert::CertificateRequired,
                "h.example asks for a client certificate, but of another kind than the webhook's (certificate required)",
            ),
            (
                Asked::Not,
                Alert::CertificateRequired,
                "h.example wants a client certificate (certificate required)",
            ),
        ];
        for (asked, alert, words) in expected {
            assert_eq!(told(asked, alert).text, words);
        }
        assert_eq!(by_alert("h", Asked::Not, Alert::HandshakeFailure), None);
    }

    #[test]
    fn a_close_counts_only_where_it_was_asked_before() {
        let closed = |asked| by_closing("h.example", asked, "it closed").map(|f| f.text);
        assert_eq!(closed(Asked::Not), None);
        assert_eq!(
            closed(Asked::HasNone).unwrap(),
            "h.example asks for a client certificate and the webhook has none: it closed"
        );
        assert!(closed(Asked::Given).unwrap().starts_with("it closed; "));
    }

    #[test]
    fn pages_are_known_by_their_words_and_status() {
        let nginx =
            b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>";
        let page = |status, body: &[u8]| by_page("h", status, body, Asked::HasNone).map(|f| f.text);
        assert!(
            page(400, nginx)
                .unwrap()
                .contains("the webhook has none (answered 400")
        );
        assert_eq!(page(200, nginx), None);
        assert_eq!(page(400, b"No such event"), None);
        let other = b"<center><h1>400 Bad Request</h1></center>\r\n<center>The SSL certificate error</center>";
        assert!(
            page(400, other)
                .unwrap()
                .contains("does not accept our client certificate")
        );
        let apache = b"<p>Reason: Cannot perform Post-Handshake Authentication.<br />";
        assert!(page(403, apache).unwrap().contains("in a Location"));
        let long = [&[b'x'; PAGE_BYTES][..], nginx].concat();
        assert_eq!(page(400, &long), None);
    }
}
