//! TLS: whom to trust, one configuration for all who trust alike, and words for what fails.
//!
//! The system's roots are read when the first https endpoint is set up, so that a daemon that speaks
//! only http never holds them. TLS 1.2 and 1.3 by ring, with session resumption. ALPN offers
//! `http/1.1` alone: a server that prefers HTTP/2 must not choose it, and a name for the protocol
//! keeps other TLS services from answering (ALPACA). No client certificates, no revocation lists,
//! and no switch to trust everybody.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::Error;
use crate::model::{Class, Failure, Webhook};

/// Servers whose sessions are kept for resumption, in the configuration that most endpoints share.
const SHARED_SESSIONS: usize = 256;
/// The same where a webhook has certificates of its own: few hosts are behind one of those.
const OWN_SESSIONS: usize = 16;
/// Names of a certificate that a failure's text lists.
const NAMES_SHOWN: usize = 3;

/// What an endpoint needs for a handshake.
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The configurations in use.
#[derive(Default)]
pub(super) struct Tls(Mutex<Known>);

#[derive(Default)]
struct Known {
    roots: Option<Arc<RootCertStore>>,
    shared: Option<Arc<ClientConfig>>,
    /// One for each set of certificates of webhooks' own.
    own: Vec<(Arc<[u8]>, Weak<ClientConfig>)>,
}

impl Tls {
    /// What the webhook's endpoint needs for a handshake.
    pub(super) fn handshake(&self, webhook: &Webhook) -> Result<Handshake, Error> {
        let host = webhook.url.host().to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|source| Error::ServerName {
            webhook: webhook.name.to_string(),
            host,
            source,
        })?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let config = match &webhook.ca {
            None => known.shared(webhook)?,
            Some(pem) => known.own(webhook, pem)?,
        };
        Ok(Handshake { config, name })
    }
}

impl Known {
    fn shared(&mut self, webhook: &Webhook) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = &self.shared {
            return Ok(Arc::clone(config));
        }
        let (roots, error) = system_roots();
        if roots.is_empty() {
            return Err(Error::NoRoots {
                webhook: webhook.name.to_string(),
                source: error,
            });
        }
        let roots = Arc::clone(self.roots.insert(Arc::new(roots)));
        let config = configuration(webhook, roots, SHARED_SESSIONS)?;
        Ok(Arc::clone(self.shared.insert(config)))
    }

    fn own(&mut self, webhook: &Webhook, pem: &Arc<[u8]>) -> Result<Arc<ClientConfig>, Error> {
        self.own.retain(|(_, config)| config.strong_count() > 0);
        let same = self.own.iter().find(|(known, _)| known == pem);
        if let Some(config) = same.and_then(|(_, config)| config.upgrade()) {
            return Ok(config);
        }
        let roots = self.roots.get_or_insert_with(|| Arc::new(system_roots().0));
        let mut roots = RootCertStore::clone(roots);
        add(&mut roots, pem).map_err(|reason| Error::Ca {
            webhook: webhook.name.to_string(),
            reason,
        })?;
        let config = configuration(webhook, Arc::new(roots), OWN_SESSIONS)?;
        self.own.push((Arc::clone(pem), Arc::downgrade(&config)));
        Ok(config)
    }
}

/// The system's roots, and the first error in reading them. A root that rustls can't use is left
/// out, as every TLS client does.
fn system_roots() -> (RootCertStore, Option<rustls_native_certs::Error>) {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    (roots, found.errors.into_iter().next())
}

fn configuration(
    webhook: &Webhook,
    roots: Arc<RootCertStore>,
    sessions: usize,
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls {
            webhook: webhook.name.to_string(),
            source,
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(sessions);
    Ok(Arc::new(config))
}

/// Checks the PEM text of a `ca_file`: certificates that can be trusted, at least one.
///
/// # Errors
/// Which certificate is wrong and why, or that there is none.
pub fn check_ca(pem: &[u8]) -> Result<(), String> {
    add(&mut RootCertStore::empty(), pem)
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        count += 1;
        let certificate =
            certificate.map_err(|error| format!("certificate {count} is no PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {count} can't be used: {error}"))?;
    }
    if count == 0 {
        return Err("there is no certificate in it".into());
    }
    Ok(())
}

/// A TLS error as the endpoint's failure.
pub(super) fn failure(host: &str, error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(why) => Failure {
            class: Class::Certificate,
            text: format!("certificate of {host}: {}", words(why)),
        },
        rustls::Error::NoCertificatesPresented => Failure {
            class: Class::Certificate,
            text: format!("certificate of {host}: none was presented"),
        },
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Failure {
            class: Class::Tls,
            text: format!("{host} does not speak TLS on this port"),
        },
        rustls::Error::PeerIncompatible(
            rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => Failure {
            class: Class::Tls,
            text: format!("{host} speaks no TLS newer than 1.1"),
        },
        rustls::Error::AlertReceived(alert) => Failure {
            class: Class::Tls,
            text: format!("{host} refused TLS: {alert:?}"),
        },
        other => Failure {
            class: Class::Tls,
            text: format!("TLS with {host}: {other}"),
        },
    }
}

/// A name without what the TLS library says of its kind: `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    let inside = name.strip_suffix(')').and_then(|rest| rest.split_once('('));
    inside.map_or(name, |(_kind, name)| name.trim_matches('"'))
}

fn words(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "not valid yet".into(),
        E::Revoked => "revoked".into(),
        E::UnknownIssuer => "signed by nobody that is trusted here".into(),
        E::BadSignature => "not signed by the authority that it names".into(),
        E::BadEncoding => "not readable".into(),
        E::NotValidForName => "made for another name".into(),
        E::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "made for no name at all".into()
        }
        E::NotValidForNameContext { presented, .. } => {
            let shown = presented.len().min(NAMES_SHOWN);
            let more = if presented.len() > shown { ", …" } else { "" };
            let names: Vec<_> = presented
                .iter()
                .take(shown)
                .map(|name| bare(name))
                .collect();
            format!("made for other names: {}{more}", names.join(", "))
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "not made for servers".into(),
        other => other.to_string(),
    }
}
