//! TLS to a server: rustls, always with the certificate's name verified, and bound to SCRAM.
//!
//! Who reads the bytes of a connection reads events, so there is no TLS here that trusts whom it meets.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use super::binding;
use super::trouble::Unaccepted;
use crate::model::ServerTls;

/// Makes the TLS of a connection.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

impl Connector {
    /// With the authorities and the certificate that are wanted; else why not.
    pub(super) fn new(wanted: &ServerTls) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(authorities(wanted)?);
        let config = match &wanted.client {
            None => config.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = certificates_of(certificates)?;
                let key = PrivateKeyDer::from_pem_slice(key.bytes());
                let key =
                    key.map_err(|error| format!("sslkey is no private key in PEM: {error}"))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("sslcert and sslkey can't be used: {error}"))?
            }
        };
        Ok(Self(Arc::new(config)))
    }
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("a certificate can't be read: {error}"))?;
    if all.is_empty() {
        return Err("a file of certificates has none".to_owned());
    }
    Ok(all)
}

fn authorities(wanted: &ServerTls) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match &wanted.authorities {
        Some(pem) => {
            for certificate in certificates_of(pem)? {
                let added = store.add(certificate);
                added.map_err(|error| format!("sslrootcert can't be used: {error}"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
        }
    }
    Ok(store)
}

/// The TLS of one connection.
pub(super) struct Named {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type TlsConnect = Named;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Named> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Named {
            config: self.0.clone(),
            name,
        })
    }
}

impl<S> TlsConnect<S> for Named
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = TlsConnector::from(self.config).connect(self.name, stream);
        Box::pin(async move { connecting.await.map(Box::new).map(Secured) })
    }
}

/// A connection inside of TLS.
pub(super) struct Secured<S>(Box<client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Secured<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        match certificate.and_then(|certificate| binding::end_point(certificate)) {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Why the server's certificate is not accepted, where a failure is that.
pub(super) fn unaccepted(error: &tokio_postgres::Error) -> Option<Unaccepted> {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        // An io::Error gives its own as its source's source.
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(|io| io.get_ref())
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(why)) =
            inner.or_else(|| cause.downcast_ref::<rustls::Error>())
        {
            return Some(of(why));
        }
        source = cause.source();
    }
    None
}

fn of(error: &CertificateError) -> Unaccepted {
    use CertificateError as E;
    match error {
        E::Expired => Unaccepted::Expired(None),
        E::ExpiredContext { time, not_after } => {
            Unaccepted::Expired(Some(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        E::NotValidYet => Unaccepted::NotYet(None),
        E::NotValidYetContext { time, not_before } => {
            Unaccepted::NotYet(Some(not_before.as_secs().saturating_sub(time.as_secs())))
        }
        E::NotValidForName => Unaccepted::Name(Vec::new()),
        E::NotValidForNameContext { presented, .. } => Unaccepted::Name(presented.clone()),
        // Of another authority of the same name.
        E::UnknownIssuer | E::BadSignature => Unaccepted::Issuer,
        other => Unaccepted::Other(other.to_string()),
    }
}
