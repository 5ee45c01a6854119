//! TLS: certificates that are trusted as they are, and what they still have to hold.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::*;

/// What `openssl req -x509` makes for this address: it says of itself that it is an authority.
fn like_openssl() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A server that presents this certificate, with any key.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// An endpoint that presents `der` and signs with `key`; its URL.
async fn presenting(
    der: &CertificateDer<'static>,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> String {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let presents = Presents(Arc::new(CertifiedKey::new(vec![der.clone()], key)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presents));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            read_request(&mut stream).await;
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe";
            drop(stream.write_all(reply).await);
        }
    })
    .await;
    format!("https://{address}/")
}

/// What comes of a POST there, with those certificates trusted.
async fn post(url: &str, ca: &str) -> Exchange {
    let mut webhook = webhook(url);
    webhook.ca = Some(ca.as_bytes().into());
    let client = client();
    let endpoint = client.endpoint(&webhook).unwrap();
    send(&client, &endpoint).await
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn a_certificate_that_the_ca_file_has_is_good_as_it_is() {
    let key = KeyPair::generate().unwrap();
    let mut authority = like_openssl();
    authority.subject_alt_names.clear();
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let stranger = like_openssl()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    let plain = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    for (name, certificate) in [
        (
            "an authority that signed itself",
            like_openssl().self_signed(&key),
        ),
        (
            "no authority, but signed by itself",
            plain.clone().self_signed(&key),
        ),
        (
            "signed by an authority that is not known",
            plain.signed_by(&key, &authority),
        ),
    ] {
        let certificate = certificate.unwrap();
        let files = [certificate.pem(), stranger.pem() + &certificate.pem()];
        for (file, version) in files.iter().zip(VERSIONS) {
            let url = presenting(certificate.der(), &key, version).await;
            let exchange = post(&url, file).await;
            assert_eq!(
                exchange.result.as_ref().map(|a| a.status),
                Ok(200),
                "{name}"
            );
            // Nobody else is trusted by it, not even who calls himself the same.
            let again = like_openssl().self_signed(&key).unwrap();
            let url = presenting(again.der(), &key, version).await;
            assert_eq!(
                failed(post(&url, &stranger.pem()).await).0,
                Class::Certificate
            );
        }
    }
}

#[tokio::test]
async fn its_dates_names_and_purpose_have_to_hold() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 5] = [
        (
            |params| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 1, 1);
            },
            "expired",
        ),
        (
            |params| {
                params.not_before = rcgen::date_time_ymd(2120, 1, 1);
                params.not_after = rcgen::date_time_ymd(2121, 1, 1);
            },
            "not valid yet",
        ),
        (
            |params| {
                let other = CertificateParams::new(vec!["other.example".to_owned()]);
                params.subject_alt_names = other.unwrap().subject_alt_names;
            },
            "made for other names: other.example",
        ),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "not made for servers",
        ),
        (
            |params| params.subject_alt_names.clear(),
            "made for no name at all (a common name does not count)",
        ),
    ];
    for (change, words) in cases {
        let mut params = like_openssl();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let url = presenting(certificate.der(), &key, VERSIONS[1]).await;
        let (class, text) = failed(post(&url, &certificate.pem()).await);
        assert_eq!(
            (class, text),
            (
                Class::Certificate,
                format!("certificate of 127.0.0.1: {words}")
            )
        );
    }
}

/// Everybody has the certificate; the server alone has its key.
#[tokio::test]
async fn who_presents_it_needs_its_key() {
    let certificate = like_openssl()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    for version in VERSIONS {
        let thief = KeyPair::generate().unwrap();
        let url = presenting(certificate.der(), &thief, version).await;
        let (class, text) = failed(post(&url, &certificate.pem()).await);
        assert_eq!(class, Class::Certificate, "{text}");
        assert!(text.contains("does not have its key"), "{text}");
    }
}
