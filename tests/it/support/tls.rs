//! A certificate authority of one test, and the server side of TLS for its receivers.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A connection with TLS.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// An authority that no machine trusts of itself.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a receiver needs to speak TLS.
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Authority {
    /// A new one, with a key of its own.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::default()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, for `ca_file`.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server certificate for `name`, ready to be served.
    pub(crate) fn acceptor(&self, name: &str) -> Acceptor {
        self.acceptor_with(name, |_| {})
    }

    /// The same with something changed.
    pub(crate) fn acceptor_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Acceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Acceptor::new(&certificate, &key)
    }

    /// A server certificate for `name`, served to clients with a certificate of this authority alone.
    pub(crate) fn asking(&self, name: &str) -> Acceptor {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        self.asking_for(name, roots)
    }

    /// The same for clients of those authorities.
    pub(crate) fn asking_for(&self, name: &str, roots: RootCertStore) -> Acceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Acceptor(Arc::new(config))
    }

    /// A certificate for a client, and its key, both as PEM.
    pub(crate) fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's certificate for `name` and its key, both as PEM, for a program that is no part of the tests.
    pub(crate) fn server(&self, name: &str) -> (String, String) {
        self.server_with(name, |_| {})
    }

    /// The same with something changed.
    pub(crate) fn server_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        self.client(|params| {
            params.subject_alt_names = CertificateParams::new(vec![name.to_owned()])
                .unwrap()
                .subject_alt_names;
            change(params);
        })
    }

    /// The same that speaks nothing newer than TLS 1.2.
    pub(crate) fn old_acceptor(&self, name: &str) -> Acceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Acceptor::speaking(&certificate, &key, &[&rustls::version::TLS12])
    }
}

impl Acceptor {
    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self::speaking(certificate, key, rustls::ALL_VERSIONS)
    }

    fn speaking(
        certificate: &Certificate,
        key: &KeyPair,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self(Arc::new(config))
    }

    /// A certificate for `name` that nobody but itself vouches for.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Self::new(&params.self_signed(&key).unwrap(), &key)
    }

    /// What `openssl req -x509` makes for `name`: a certificate that signed itself and says that it is
    /// an authority; with its PEM.
    pub(crate) fn like_openssl(name: &str) -> (Self, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (Self::new(&certificate, &key), certificate.pem())
    }

    /// The server's side of a connection, before its handshake.
    pub(crate) fn connection(&self) -> ServerConnection {
        ServerConnection::new(Arc::clone(&self.0)).unwrap()
    }

    /// Makes the handshake; `None` where the peer broke it off.
    pub(crate) fn accept(&self, mut socket: TcpStream) -> Option<Stream> {
        let mut connection = self.connection();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).ok()?;
        }
        Some(StreamOwned::new(connection, socket))
    }
}
