//! TLS: whom to trust, one configuration for all who trust alike, and words for what fails.
//!
//! The system's roots are read when the first https endpoint is set up, so that a daemon that speaks
//! only http never holds them, and again at each reload: they change under a daemon that runs for
//! months. TLS 1.2 and 1.3 by ring, with session resumption. ALPN offers
//! `http/1.1` alone: a server that prefers HTTP/2 must not choose it, and a name for the protocol
//! keeps other TLS services from answering (ALPACA). No client certificates, no revocation lists,
//! and no switch to trust everybody.

mod der;
mod itself;
mod pem;
mod words;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;
use crate::model::{MinTls, Webhook};
use itself::{Itself, Verifier};
pub(super) use words::failure;

/// Servers whose sessions are kept for resumption, in the configuration that most endpoints share.
const SHARED_SESSIONS: usize = 256;
/// The same where a webhook has certificates of its own: few hosts are behind one of those.
const OWN_SESSIONS: usize = 16;

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
    /// The system's.
    trust: Option<Arc<Trust>>,
    /// They are to be read again before they are used.
    stale: bool,
    /// One for each oldest version that is spoken.
    shared: Vec<(MinTls, Arc<ClientConfig>)>,
    /// One for each of those and each set of certificates of webhooks' own.
    own: Vec<(MinTls, Arc<[u8]>, Weak<ClientConfig>)>,
}

impl Tls {
    /// Has the system's certificates read again before the next endpoint is made.
    pub(super) fn read_again(&self) {
        self.0.lock().stale = true;
    }

    /// What the webhook's endpoint needs for a handshake.
    pub(super) fn handshake(&self, webhook: &Webhook) -> Result<Handshake, Error> {
        let host = webhook.url.host().to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|source| Error::ServerName {
            webhook: webhook.name.to_string(),
            host,
            source,
        })?;
        let mut known = self.0.lock();
        let config = match &webhook.ca {
            None => known.shared(webhook)?,
            Some(pem) => known.own(webhook, pem)?,
        };
        Ok(Handshake { config, name })
    }
}

/// Who is trusted.
#[derive(Clone)]
struct Trust {
    roots: Arc<RootCertStore>,
    themselves: Vec<Itself>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            roots: Arc::new(RootCertStore::empty()),
            themselves: Vec::new(),
        }
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots && self.themselves == other.themselves
    }
}

impl Trust {
    /// What the system trusts, and the first error in reading it. A root that rustls can't use is
    /// left out, as every TLS client does.
    fn of_the_system() -> (Self, Option<rustls_native_certs::Error>) {
        let found = rustls_native_certs::load_native_certs();
        let mut trust = Self::default();
        for certificate in found.certs {
            // One that can't be used is not added.
            drop(trust.add(certificate));
        }
        trust.themselves.retain(Itself::has_names);
        (trust, found.errors.into_iter().next())
    }

    fn add(&mut self, certificate: CertificateDer<'_>) -> Result<(), rustls::Error> {
        self.themselves.extend(Itself::new(&certificate));
        Arc::make_mut(&mut self.roots).add(certificate)
    }

    /// Adds the certificates of a PEM text.
    fn add_all(&mut self, pem: &[u8]) -> Result<(), String> {
        let mut count = 0_usize;
        let plain = pem::plain(pem);
        for certificate in CertificateDer::pem_slice_iter(&plain) {
            count += 1;
            let certificate = certificate.map_err(|error| {
                format!("certificate {count} is no PEM: {}", words::no_pem(&error))
            })?;
            let certificate = der::first(&certificate).unwrap_or(&certificate);
            self.add(certificate.into()).map_err(|error| {
                let words = words::any(&error);
                format!("certificate {count} can't be used: {words}")
            })?;
        }
        if count == 0 {
            return Err(pem::what_else(&plain).into());
        }
        Ok(())
    }
}

impl Known {
    /// What the system trusts, read where it has to be, and the first error in reading it. Where that
    /// changed, no configuration made before is used for new endpoints: a session begun under other
    /// trust must not be resumed.
    fn trust(&mut self) -> (Arc<Trust>, Option<rustls_native_certs::Error>) {
        let known = self.trust.clone().filter(|_| !self.stale);
        if let Some(known) = known {
            return (known, None);
        }
        let (read, error) = Trust::of_the_system();
        self.stale = false;
        if let Some(same) = self.trust.as_ref().filter(|known| ***known == read) {
            return (Arc::clone(same), error);
        }
        self.shared.clear();
        self.own.clear();
        (Arc::clone(self.trust.insert(Arc::new(read))), error)
    }

    fn shared(&mut self, webhook: &Webhook) -> Result<Arc<ClientConfig>, Error> {
        let (trust, error) = self.trust();
        let mut shared = self.shared.iter();
        if let Some((_, config)) = shared.find(|(min_tls, _)| *min_tls == webhook.min_tls) {
            return Ok(Arc::clone(config));
        }
        if trust.roots.is_empty() {
            // Perhaps they are there when the next one asks.
            self.stale = true;
            return Err(Error::NoRoots {
                webhook: webhook.name.to_string(),
                reason: error.map(|error| words::unread(&error)),
            });
        }
        let config = configuration(webhook, &trust, SHARED_SESSIONS)?;
        self.shared.push((webhook.min_tls, Arc::clone(&config)));
        Ok(config)
    }

    fn own(&mut self, webhook: &Webhook, pem: &Arc<[u8]>) -> Result<Arc<ClientConfig>, Error> {
        let (trust, _) = self.trust();
        self.own.retain(|(_, _, config)| config.strong_count() > 0);
        let is_same =
            |known: &&(MinTls, Arc<[u8]>, _)| (known.0, &known.1) == (webhook.min_tls, pem);
        let same = self.own.iter().find(is_same);
        if let Some(config) = same.and_then(|(_, _, config)| config.upgrade()) {
            return Ok(config);
        }
        let mut trust = Trust::clone(&trust);
        trust.add_all(pem).map_err(|reason| Error::Ca {
            webhook: webhook.name.to_string(),
            reason,
        })?;
        let config = configuration(webhook, &trust, OWN_SESSIONS)?;
        let weak = Arc::downgrade(&config);
        self.own.push((webhook.min_tls, Arc::clone(pem), weak));
        Ok(config)
    }
}

fn configuration(
    webhook: &Webhook,
    trust: &Trust,
    sessions: usize,
) -> Result<Arc<ClientConfig>, Error> {
    let failed = |reason| Error::Tls {
        webhook: webhook.name.to_string(),
        reason,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::clone(&trust.roots);
    let ordinary = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let verifier = Arc::new(Verifier {
        ordinary,
        themselves: trust.themselves.clone().into(),
    });
    let newest = [&rustls::version::TLS13];
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(match webhook.min_tls {
            MinTls::V12 => rustls::ALL_VERSIONS,
            MinTls::V13 => &newest,
        })
        .map_err(|error| failed(words::any(&error)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(sessions);
    Ok(Arc::new(config))
}

/// Checks the PEM text of a `ca_file`: certificates that can be trusted, at least one.
///
/// # Errors
/// Which certificate is wrong and why, or that there is none.
pub(crate) fn check_ca(pem: &[u8]) -> Result<(), String> {
    Trust::default().add_all(pem)
}
