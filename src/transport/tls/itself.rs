//! Trust in a certificate as it is: the server presents one that was named to be trusted.
//!
//! A chain that ends in a trusted authority is the ordinary way, and is asked first. But a server
//! that signed its own certificate has no chain: `openssl req -x509` makes one that says of itself
//! that it is an authority, and an authority's certificate is no server's by the ordinary rules.
//! Where the one presented is a trusted one to the byte, nobody has to vouch for it. Its dates, its
//! purpose and its names have to hold all the same, and the handshake proves that the server has its
//! key. curl, OpenSSL and Go do the same.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::der::{self, Facts};

/// A trusted certificate that a server may present as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Itself {
    der: CertificateDer<'static>,
    facts: Facts,
}

impl Itself {
    /// The certificate, where it can be read.
    pub(super) fn new(der: &CertificateDer<'_>) -> Option<Self> {
        let facts = der::facts(der)?;
        let der = der.clone().into_owned();
        Some(Self { der, facts })
    }

    /// Whether a server could present it; almost none of the authorities that systems trust has names.
    pub(super) fn has_names(&self) -> bool {
        self.facts.has_names
    }

    /// What is to be said of it but for its name.
    fn stands(&self, now: UnixTime) -> Result<(), CertificateError> {
        let Facts {
            not_before,
            not_after,
            for_servers,
            ..
        } = self.facts;
        let time = now;
        if time.as_secs() < not_before.as_secs() {
            return Err(CertificateError::NotValidYetContext { time, not_before });
        }
        if time.as_secs() > not_after.as_secs() {
            return Err(CertificateError::ExpiredContext { time, not_after });
        }
        if !for_servers {
            return Err(CertificateError::InvalidPurpose);
        }
        Ok(())
    }
}

/// The ordinary rules, and the certificates that are trusted as they are.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) ordinary: Arc<WebPkiServerVerifier>,
    pub(super) themselves: Arc<[Itself]>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_chain = self.ordinary.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if !matches!(by_chain, Err(Error::InvalidCertificate(_))) {
            return by_chain;
        }
        let presented = |trusted: &&Itself| trusted.der.as_ref() == end_entity.as_ref();
        let Some(itself) = self.themselves.iter().find(presented) else {
            return by_chain;
        };
        // What can't be read, or has a critical extension that nobody here knows, is trusted by no way.
        let parsed = ParsedCertificate::try_from(end_entity)?;
        itself.stands(now)?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.ordinary.verify_tls12_signature(message, cert, dss);
        verified.map_err(without_key)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.ordinary.verify_tls13_signature(message, cert, dss);
        verified.map_err(without_key)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.ordinary.supported_verify_schemes()
    }
}

/// The library says of the handshake what it says of a certificate that its authority did not sign.
fn without_key(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::ApplicationVerificationFailure.into()
        }
        other => other,
    }
}
