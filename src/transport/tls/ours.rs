//! Our own certificate: read with its key as the sender will use them, and shown to who asks for one.
//!
//! Left out: the words for what comes of it (`refused`).

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};

use super::asked::{self, Asked};
use super::der::{self, Facts};
use super::{pem, words};
use crate::model::ClientIdentity;
use crate::model::clock::utc;

/// How long before its end a certificate is told of: the time that people need to renew one.
const SOON_MS: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;

/// Which of the two files it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `client_cert_file`
    Certificate,
    /// `client_key_file`
    Key,
}

/// Why a pair of files is of no use, and what to do.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) part: Part,
    pub(super) reason: String,
    pub(super) fix: &'static str,
}

/// From when until when a certificate is valid, and whether it says that it is for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Lifetime {
    from_ms: i64,
    until_ms: i64,
    for_clients: bool,
}

impl Lifetime {
    fn new(facts: &Facts) -> Self {
        Self {
            from_ms: millis_of(facts.not_before),
            until_ms: millis_of(facts.not_after),
            for_clients: facts.for_clients,
        }
    }

    /// What to know of it at that UNIX millisecond, and what to do. It is sent all the same: who refuses it is the
    /// server, and not all do.
    pub(in super::super) fn warnings(self, now_ms: i64) -> Vec<(String, &'static str)> {
        let mut warnings = Vec::new();
        if let Some(over) = self.is_over(now_ms) {
            warnings.push((format!("{over}: servers refuse it"), RENEW));
        } else if self.until_ms - now_ms < SOON_MS {
            let days = (self.until_ms - now_ms) / DAY_MS;
            let plural = if days == 1 { "" } else { "s" };
            let end = utc(self.until_ms);
            let message = format!("the client certificate expires on {end}, in {days} day{plural}");
            warnings.push((message, RENEW));
        }
        if !self.for_clients {
            let message = "the client certificate says that it is not for clients (extended key usage): many servers \
                           refuse it";
            warnings.push((
                message.into(),
                "have it issued for clients, with the usage clientAuth",
            ));
        }
        warnings
    }

    /// Says that it is not valid at that UNIX millisecond, where it is not.
    pub(in super::super) fn is_over(self, now_ms: i64) -> Option<String> {
        if now_ms > self.until_ms {
            let end = utc(self.until_ms);
            return Some(format!("the client certificate has expired on {end}"));
        }
        (now_ms < self.from_ms).then(|| {
            let begin = utc(self.from_ms);
            format!("the client certificate is not valid before {begin}")
        })
    }
}

const RENEW: &str = "have it renewed, and reload: a reload reads the files again";

fn millis_of(time: rustls::pki_types::UnixTime) -> i64 {
    i64::try_from(time.as_secs()).map_or(i64::MAX, |seconds| seconds.saturating_mul(1_000))
}

/// A certificate with its key, as the library uses them.
pub(super) struct Ours {
    pub(super) certified: Arc<CertifiedKey>,
    /// `None`: its dates can't be read, which is the server's to judge.
    pub(super) lifetime: Option<Lifetime>,
}

impl Ours {
    /// Reads both, and holds that they belong together.
    pub(super) fn new(identity: &ClientIdentity, provider: &CryptoProvider) -> Result<Self, Flaw> {
        let chain = chain(&identity.certificate)?;
        let lifetime = chain.first().and_then(|own| der::facts(own));
        if let Some(own) = chain.first()
            && der::is_version_1(own)
        {
            return Err(Flaw {
                part: Part::Certificate,
                reason: "it is of X.509 version 1, which is not spoken here".into(),
                fix: "have it signed again as version 3: openssl x509 -req does that with -extfile FILE, where the file has the \
                      line extendedKeyUsage = clientAuth",
            });
        }
        let key = key(identity.key.bytes())?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|_what_it_says_is_for_programmers| Flaw {
            part: Part::Key,
            reason: "it is of a kind that is not spoken here, or damaged".into(),
            fix: "make a key of RSA with 2,048 to 8,192 bits, of ECDSA on P-256 or P-384, or of Ed25519",
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(misfit(certified)),
            Err(error) => {
                return Err(Flaw {
                    part: Part::Certificate,
                    reason: words::any(&error),
                    fix: CERTIFICATE_FIX,
                });
            }
        }
        Ok(Self {
            certified: Arc::new(certified),
            lifetime: lifetime.map(|facts| Lifetime::new(&facts)),
        })
    }
}

const CERTIFICATE_FIX: &str =
    "name a file of PEM certificates (-----BEGIN CERTIFICATE-----), the client's own first";

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let flaw = |reason| Flaw {
        part: Part::Certificate,
        reason,
        fix: CERTIFICATE_FIX,
    };
    let plain = pem::plain(text);
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&plain) {
        let count = chain.len() + 1;
        let certificate = certificate.map_err(|error| {
            let why = words::no_pem(&error);
            flaw(format!("certificate {count} of it is no PEM: {why}"))
        })?;
        let certificate = der::first(&certificate).unwrap_or(&certificate).to_vec();
        chain.push(certificate.into());
    }
    if chain.is_empty() {
        return Err(flaw(pem::what_else(&plain).into()));
    }
    Ok(chain)
}

/// The one key of a PEM text. Nothing of it is in the words.
fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Flaw> {
    let flaw = |reason: &str, fix| Flaw {
        part: Part::Key,
        reason: reason.into(),
        fix,
    };
    match pem::keys(text) {
        pem::Keys::One => {}
        pem::Keys::None => return Err(flaw(pem::no_key(text), KEY_FIX)),
        pem::Keys::Several => {
            let fix = "leave the one that belongs to the certificate in client_cert_file";
            return Err(flaw("there are several keys in it", fix));
        }
        pem::Keys::Encrypted => {
            let fix = "nobody is there to type its passphrase: take it off with openssl pkey -in FILE -out FILE.plain, \
                       and let nobody but webhooksd read that";
            return Err(flaw("its key is encrypted", fix));
        }
        pem::Keys::Foreign => {
            let fix = "make PEM of PKCS #8 of it: for OpenSSH's, ssh-keygen -p -m PKCS8 -f FILE";
            return Err(flaw("its key is of another program's form", fix));
        }
    }
    PrivateKeyDer::from_pem_slice(pem::without_mark(text))
        .map_err(|error| flaw(&format!("it is no PEM: {}", words::no_pem(&error)), KEY_FIX))
}

const KEY_FIX: &str = "name a file of one PEM key (-----BEGIN PRIVATE KEY-----)";

/// The key is not that of the first certificate.
fn misfit(certified: CertifiedKey) -> Flaw {
    let CertifiedKey { cert, key, .. } = certified;
    let fits = |certificate| {
        let alone = CertifiedKey::new(vec![certificate], Arc::clone(&key));
        alone.keys_match().is_ok()
    };
    if cert.into_iter().skip(1).any(fits) {
        return Flaw {
            part: Part::Certificate,
            reason: "its first certificate is not the one of the key, and a later one is".into(),
            fix: "put the client's own certificate first, and those of its authorities behind it",
        };
    }
    Flaw {
        part: Part::Key,
        reason: "it is not the key of the certificate in client_cert_file".into(),
        fix: "name the key that the certificate was made for",
    }
}

/// Shows our certificate to whoever asks, where there is one.
#[derive(Debug)]
pub(super) struct Shows(pub(super) Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let (what, shown) = match &self.0 {
            None => (Asked::HasNone, None),
            Some(ours) if ours.key.choose_scheme(schemes).is_none() => (Asked::Unfit, None),
            Some(ours) => (Asked::Given, Some(Arc::clone(ours))),
        };
        asked::note(what);
        shown
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
