//! Why a webhook's endpoint can't be set up: its host as a TLS name, its certificates, our roots.
//!
//! These are found when a configuration is taken in, never while a request is sent.

use std::fmt;

use super::tls::Part;

/// Why an endpoint can't be set up.
#[derive(Debug)]
pub enum Error {
    /// The host of an https URL is neither an address nor a name that a certificate can carry.
    ServerName {
        /// The webhook's name.
        webhook: String,
        /// The host as typed.
        host: String,
        /// What is wrong with it.
        source: rustls::pki_types::InvalidDnsNameError,
    },
    /// The webhook's own certificates can't be used; the text says which and why.
    Ca {
        /// The webhook's name.
        webhook: String,
        /// The reason, as [`check_ca`](super::check_ca) gives it.
        reason: String,
    },
    /// The webhook's client certificate or its key can't be used.
    Client {
        /// The webhook's name.
        webhook: String,
        /// Which of the two.
        part: Part,
        /// The reason; nothing of the key is in it.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
    /// The system has no certificate to trust, and the webhook brings none.
    NoRoots {
        /// The webhook's name.
        webhook: String,
        /// Why they could not be read, where that was it.
        reason: Option<String>,
    },
    /// The TLS library refused its own defaults.
    Tls {
        /// The webhook's name.
        webhook: String,
        /// What it said, in words.
        reason: String,
    },
}

impl Error {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoRoots { .. } => {
                Some("install the ca-certificates package, or name a ca_file for the webhook")
            }
            Self::Ca { .. } => Some("a ca_file is PEM: -----BEGIN CERTIFICATE----- and so on"),
            Self::Client { fix, .. } => Some(fix),
            Self::ServerName { .. } | Self::Tls { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerName { webhook, host, .. } => {
                write!(f, "webhook \"{webhook}\": no TLS name \"{host}\"")
            }
            Self::Ca { webhook, reason } => {
                write!(f, "webhook \"{webhook}\": its certificates: {reason}")
            }
            Self::Client {
                webhook,
                part,
                reason,
                ..
            } => {
                let which = match part {
                    Part::Certificate => "certificate",
                    Part::Key => "key",
                };
                write!(
                    f,
                    "webhook \"{webhook}\": its client {which} is of no use: {reason}"
                )
            }
            Self::NoRoots { webhook, reason } => {
                write!(
                    f,
                    "webhook \"{webhook}\": this system trusts no certificates at all"
                )?;
                reason.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Tls { webhook, reason } => {
                write!(f, "webhook \"{webhook}\": set up TLS: {reason}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ServerName { source, .. } => Some(source),
            Self::NoRoots { .. } | Self::Tls { .. } | Self::Ca { .. } | Self::Client { .. } => None,
        }
    }
}
