//! TLS: who is trusted, and what is said of those who are not.

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::{Error, check_ca};
use super::*;

/// An authority of the tests' own.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) pem: Arc<[u8]>,
}

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = rcgen::DnType::CommonName;
    params
        .distinguished_name
        .push(name, "authority of the tests");
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        issuer: Issuer::new(params, key),
        pem: pem.into_bytes().into(),
    }
}

fn server(certificate: &rcgen::Certificate, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A server of that authority for these names.
pub(super) fn issued(
    authority: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    server(&certificate, &key)
}

/// An https endpoint that answers every request with 200.
pub(super) async fn serve_tls(acceptor: TlsAcceptor) -> SocketAddr {
    serve(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            while !read_request(&mut stream).await.is_empty() {
                let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe";
                stream.write_all(reply).await.unwrap();
            }
        }
    })
    .await
}

pub(super) fn https(to: SocketAddr, ca: &Arc<[u8]>) -> Webhook {
    let mut webhook = webhook(&format!("https://{to}/"));
    webhook.ca = Some(Arc::clone(ca));
    webhook.keep_alive = true;
    webhook
}

async fn refused(acceptor: TlsAcceptor, ca: &Arc<[u8]>) -> (Class, String) {
    let client = client();
    let to = client
        .endpoint(&https(serve_tls(acceptor).await, ca))
        .unwrap();
    let exchange = send(&client, &to).await;
    assert!(exchange.phases.tls_us.is_some() && exchange.phases.head_us.is_none());
    failed(exchange)
}

#[tokio::test]
async fn a_certificate_of_the_webhook_s_own_authority_is_good() {
    let authority = authority();
    let address = serve_tls(issued(&authority, |_| {})).await;
    let client = client();
    let to = client.endpoint(&https(address, &authority.pem)).unwrap();
    let first = send(&client, &to).await;
    assert!(first.phases.tls_us.is_some());
    assert_eq!(answer(first).body, b"safe");
    let second = send(&client, &to).await;
    assert_eq!(
        (second.phases.tls_us, second.phases.connect_us),
        (None, None)
    );
    assert_eq!(answer(second).body, b"safe");
}

#[tokio::test]
async fn large_bodies_pass_tls_whole() {
    let authority = authority();
    let address = serve_tls(issued(&authority, |_| {})).await;
    let client = client();
    let to = client.endpoint(&https(address, &authority.pem)).unwrap();
    for size in [0, 20_000, 3_000_000] {
        let request = Request {
            dialect: Dialect::BoldCms,
            headers: vec![header("Content-Length", &size.to_string())],
            body: vec![b'x'; size].into(),
        };
        let exchange = client.send(&to, &request).await.unwrap();
        assert_eq!(answer(exchange).status, 200);
    }
}

#[tokio::test]
async fn other_certificates_are_not() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    assert_eq!(
        refused(server(&own, &key), &authority.pem).await,
        (
            Class::Certificate,
            "certificate of 127.0.0.1: signed by nobody that is trusted here".to_owned()
        )
    );
    let expired = issued(&authority, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(
        refused(expired, &authority.pem).await,
        (
            Class::Certificate,
            "certificate of 127.0.0.1: expired".to_owned()
        )
    );
    let early = issued(&authority, |params| {
        params.not_before = rcgen::date_time_ymd(2120, 1, 1);
        params.not_after = rcgen::date_time_ymd(2121, 1, 1);
    });
    assert_eq!(
        refused(early, &authority.pem).await,
        (
            Class::Certificate,
            "certificate of 127.0.0.1: not valid yet".to_owned()
        )
    );
    let other = issued(&authority, |params| {
        *params = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    });
    let (class, text) = refused(other, &authority.pem).await;
    assert_eq!(class, Class::Certificate);
    assert_eq!(
        text,
        "certificate of 127.0.0.1: made for other names: other.example"
    );
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_connect_timeout() {
    let to = serve(|_, mut stream| async move { closed(&mut stream).await }).await;
    let client = hasty();
    let endpoint = client.endpoint(&https(to, &authority().pem)).unwrap();
    let exchange = send(&client, &endpoint).await;
    assert!(exchange.phases.connect_us.is_some() && exchange.phases.tls_us.is_some());
    let (class, text) = failed(exchange);
    assert_eq!(class, Class::ConnectTimeout);
    assert_eq!(
        text,
        format!("no TLS handshake with 127.0.0.1 at {to} within 1 s")
    );
}

#[tokio::test]
async fn peers_that_speak_no_tls() {
    let authority = authority();
    let client = client();
    for (reply, class, words) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            Class::Tls,
            "does not speak TLS",
        ),
        ("", Class::Tls, "in the TLS handshake"),
    ] {
        let to = serve(move |_, mut stream| async move {
            let mut hello = [0; 4096];
            assert!(stream.read(&mut hello).await.unwrap() > 0);
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            closed(&mut stream).await;
        })
        .await;
        let to = client.endpoint(&https(to, &authority.pem)).unwrap();
        let (found, text) = failed(send(&client, &to).await);
        assert!(found == class && text.contains(words), "{text}");
    }
}

#[test]
fn the_files_of_authorities_are_checked() {
    let good = authority().pem;
    assert_eq!(check_ca(&good), Ok(()));
    assert!(check_ca(b"").unwrap_err().contains("no certificate"));
    let text = String::from_utf8(good.to_vec()).unwrap();
    let torn = format!("{text}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    assert!(
        check_ca(torn.as_bytes())
            .unwrap_err()
            .starts_with("certificate 2 ")
    );
    let mut webhook = webhook("https://h.example/");
    webhook.ca = Some(b"nothing"[..].into());
    let error = client().endpoint(&webhook).err().unwrap();
    assert!(matches!(error, Error::Ca { .. }), "{error}");
}

#[test]
fn equal_authorities_share_one_configuration() {
    let pem = authority().pem;
    let client = client();
    let to: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let first = client.endpoint(&https(to, &pem)).unwrap();
    let second = client.endpoint(&https(to, &pem.to_vec().into())).unwrap();
    assert!(first.shares_tls_with(&second));
}
