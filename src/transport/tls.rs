//! TLS: whom to trust, one configuration for all who trust alike, and words for what fails.
//!
//! The system's roots are read when the first https endpoint is set up, so that a daemon that speaks
//! only http never holds them, and again at each reload: they change under a daemon that runs for
//! months. TLS 1.2 and 1.3 by ring, with session resumption. ALPN offers
//! `http/1.1` alone: a server that prefers HTTP/2 must not choose it, and a name for the protocol
//! keeps other TLS services from answering (ALPACA). No revocation lists, and no switch to trust everybody.

mod asked;
mod der;
mod itself;
mod ours;
mod pem;
mod refused;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;
use crate::model::{ClientIdentity, MinTls, Webhook};
pub(super) use asked::{Asked, watching};
use itself::{Itself, Verifier};
pub(super) use ours::Lifetime;
pub(crate) use ours::Part;
use ours::{Flaw, Ours, Shows};
pub(super) use refused::{afterwards, by_closing, by_page};
pub(super) use words::{failure, is_about_the_version};

/// Servers whose sessions are kept for resumption, in the configuration that most endpoints share.
const SHARED_SESSIONS: usize = 256;
/// The same where a webhook has certificates of its own, to trust or to show: few hosts are behind one of those.
const OWN_SESSIONS: usize = 16;

/// Configurations that are kept before those that nobody uses are looked for.
const LEAST_ROOM: usize = 64;

/// What an endpoint needs for a handshake.
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
    /// The oldest version that is spoken.
    pub(super) min_tls: MinTls,
    /// Of our own certificate, where there is one.
    pub(super) lifetime: Option<Lifetime>,
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
    /// Those of webhooks with certificates of their own: one for all who want the same.
    own: HashMap<Wants, Own>,
    /// How many of them there may be before those that nobody uses any more go.
    room: usize,
}

/// What makes a configuration another one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wants {
    min_tls: MinTls,
    ca: Option<Arc<[u8]>>,
    client: Option<Arc<ClientIdentity>>,
}

struct Own {
    config: Weak<ClientConfig>,
    lifetime: Option<Lifetime>,
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
        let (config, lifetime) = match (&webhook.ca, &webhook.client) {
            (None, None) => (known.shared(webhook)?, None),
            _ => known.own(webhook)?,
        };
        Ok(Handshake {
            config,
            name,
            min_tls: webhook.min_tls,
            lifetime,
        })
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
        self.hold_some(&trust, error, webhook)?;
        let config = configuration(webhook, &trust, None, SHARED_SESSIONS)?;
        self.shared.push((webhook.min_tls, Arc::clone(&config)));
        Ok(config)
    }

    /// That the system trusts somebody.
    fn hold_some(
        &mut self,
        trust: &Trust,
        error: Option<rustls_native_certs::Error>,
        webhook: &Webhook,
    ) -> Result<(), Error> {
        if !trust.roots.is_empty() {
            return Ok(());
        }
        // Perhaps they are there when the next one asks.
        self.stale = true;
        Err(Error::NoRoots {
            webhook: webhook.name.to_string(),
            reason: error.map(|error| words::unread(&error)),
        })
    }

    fn own(&mut self, webhook: &Webhook) -> Result<(Arc<ClientConfig>, Option<Lifetime>), Error> {
        let (trust, error) = self.trust();
        let wants = Wants {
            min_tls: webhook.min_tls,
            ca: webhook.ca.clone(),
            client: webhook.client.clone(),
        };
        if let Some(same) = self.own.get(&wants)
            && let Some(config) = same.config.upgrade()
        {
            return Ok((config, same.lifetime));
        }
        let ours = webhook.client.as_ref().map(|identity| {
            let provider = rustls::crypto::ring::default_provider();
            Ours::new(identity, &provider).map_err(|flaw| of_pair(webhook, flaw))
        });
        let ours = ours.transpose()?;
        let lifetime = ours.as_ref().and_then(|ours| ours.lifetime);
        let trust = match &webhook.ca {
            None => {
                self.hold_some(&trust, error, webhook)?;
                trust
            }
            Some(pem) => {
                let mut more = Trust::clone(&trust);
                more.add_all(pem).map_err(|reason| Error::Ca {
                    webhook: webhook.name.to_string(),
                    reason,
                })?;
                Arc::new(more)
            }
        };
        let config = configuration(webhook, &trust, ours, OWN_SESSIONS)?;
        if self.own.len() >= self.room {
            self.own.retain(|_, own| own.config.strong_count() > 0);
            self.room = LEAST_ROOM.max(self.own.len() * 2);
        }
        let weak = Arc::downgrade(&config);
        let own = Own {
            config: weak,
            lifetime,
        };
        self.own.insert(wants, own);
        Ok((config, lifetime))
    }
}

/// What is wrong with a webhook's client certificate or its key.
fn of_pair(webhook: &Webhook, flaw: Flaw) -> Error {
    Error::Client {
        webhook: webhook.name.to_string(),
        part: flaw.part,
        reason: flaw.reason,
        fix: flaw.fix,
    }
}

fn configuration(
    webhook: &Webhook,
    trust: &Trust,
    ours: Option<Ours>,
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
        .with_client_cert_resolver(Arc::new(Shows(ours.map(|ours| ours.certified))));
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
