//! A certificate authority of one test, and the server side of TLS for its receivers.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection with TLS.
pub(super) type Stream = StreamOwned<ServerConnection, TcpStream>;

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
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Acceptor(Arc::new(config))
    }
}

impl Acceptor {
    /// Makes the handshake; `None` where the peer broke it off.
    pub(super) fn accept(&self, mut socket: TcpStream) -> Option<Stream> {
        let mut connection = ServerConnection::new(Arc::clone(&self.0)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).ok()?;
        }
        Some(StreamOwned::new(connection, socket))
    }
}
