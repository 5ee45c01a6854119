//! TLS: our own certificate, shown to servers that ask for one, and what they do who are not content.

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::super::{Error, Part};
use super::secure::{Authority, authority, https, serve_tls};
use super::*;
use crate::model::{ClientIdentity, Secret};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// What a server wants to see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// A certificate of that authority.
    One,
    /// The same, or none.
    Perhaps,
}

/// A server of 127.0.0.1 that asks for certificates of that authority.
fn asking(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    wants: Wants,
) -> ServerConfig {
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(&authority.pem).unwrap();
    roots.add(root).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match wants {
        Wants::One => verifier,
        Wants::Perhaps => verifier.allow_unauthenticated(),
    };
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

fn acceptor(config: ServerConfig) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(config))
}

/// A client's certificate of that authority, with its key.
fn identity(
    authority: &Authority,
    kind: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> Arc<ClientIdentity> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    change(&mut params);
    let key = KeyPair::generate_for(kind).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    of(&certificate.pem(), &key.serialize_pem())
}

fn of(certificate: &str, key: &str) -> Arc<ClientIdentity> {
    Arc::new(ClientIdentity {
        certificate: certificate.as_bytes().into(),
        key: Secret::new(key.as_bytes()),
    })
}

fn ordinary(authority: &Authority) -> Arc<ClientIdentity> {
    identity(authority, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
}

fn showing(to: SocketAddr, ca: &Arc<[u8]>, identity: Option<Arc<ClientIdentity>>) -> Webhook {
    let mut webhook = https(to, ca);
    webhook.client = identity;
    webhook
}

async fn post(to: SocketAddr, ca: &Arc<[u8]>, identity: Option<Arc<ClientIdentity>>) -> Exchange {
    let client = client();
    let endpoint = client.endpoint(&showing(to, ca, identity)).unwrap();
    send(&client, &endpoint).await
}

#[tokio::test]
async fn certificates_of_each_kind_are_shown_to_who_asks() {
    let authority = authority();
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ];
    for version in VERSIONS {
        for kind in kinds {
            let address = serve_tls(acceptor(asking(&authority, version, Wants::One))).await;
            let ours = identity(&authority, kind, |_| {});
            let client = client();
            let endpoint = client.endpoint(&showing(address, &authority.pem, Some(ours)));
            let endpoint = endpoint.unwrap();
            for _ in 0..2 {
                let answer = answer(send(&client, &endpoint).await);
                assert_eq!((answer.status, answer.turned_away), (200, None));
            }
        }
    }
}

#[tokio::test]
async fn who_asks_and_gets_none_or_a_wrong_one_is_told_of_in_a_class_of_its_own() {
    let (theirs, strangers) = (authority(), authority());
    let expired = identity(&theirs, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    for version in VERSIONS {
        let address = serve_tls(acceptor(asking(&theirs, version, Wants::One))).await;
        for (ours, words) in [
            (
                None,
                "127.0.0.1 asks for a client certificate and the webhook has none (",
            ),
            (
                Some(ordinary(&strangers)),
                "127.0.0.1 does not accept our client certificate: ",
            ),
            (
                Some(Arc::clone(&expired)),
                "(certificate expired); the client certificate has expired on 2021-01-01T00:00:00Z",
            ),
        ] {
            let (class, text) = failed(post(address, &theirs.pem, ours).await);
            assert_eq!(class, Class::ClientCertificate, "{text}");
            assert!(text.contains(words), "{text}");
        }
        let address = serve_tls(acceptor(asking(&theirs, version, Wants::Perhaps))).await;
        assert_eq!(answer(post(address, &theirs.pem, None).await).status, 200);
    }
    // A server whose own certificate is not trusted is that, whatever it asks for.
    let address = serve_tls(acceptor(asking(&theirs, VERSIONS[1], Wants::One))).await;
    let (class, _) = failed(post(address, &strangers.pem, None).await);
    assert_eq!(class, Class::Certificate);
}

/// A server that asks, and closes without a word: within the handshake, or once it is over on our side.
async fn closing(config: ServerConfig, at_once: bool) -> SocketAddr {
    let config = Arc::new(config);
    serve(move |_, stream| {
        let config = Arc::clone(&config);
        async move {
            let mut stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let mut connection = ServerConnection::new(config).unwrap();
            let shake = move || {
                while connection.is_handshaking() {
                    while connection.wants_write() {
                        connection.write_tls(&mut stream).unwrap();
                    }
                    if connection.read_tls(&mut stream).unwrap() == 0
                        || connection.process_new_packets().is_err()
                    {
                        break;
                    }
                }
                while !at_once && connection.wants_write() {
                    connection.write_tls(&mut stream).unwrap();
                }
            };
            tokio::task::spawn_blocking(shake).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_close_after_the_question_is_an_answer_to_it() {
    let authority = authority();
    for version in VERSIONS {
        let address = closing(asking(&authority, version, Wants::One), true).await;
        let (class, text) = failed(post(address, &authority.pem, None).await);
        assert_eq!(class, Class::ClientCertificate, "{text}");
        assert!(text.contains("the webhook has none: "), "{text}");
    }
    let mut config = asking(&authority, VERSIONS[1], Wants::Perhaps);
    config.send_tls13_tickets = 0;
    let address = closing(config, false).await;
    let ours = Some(ordinary(&authority));
    let (class, text) = failed(post(address, &authority.pem, ours.clone()).await);
    assert_eq!(class, Class::ClientCertificate, "{text}");
    assert!(
        text.ends_with("had asked for our client certificate and got it"),
        "{text}"
    );
    // Whoever let us in and closed then has another reason.
    for version in VERSIONS {
        let address = closing(asking(&authority, version, Wants::One), false).await;
        let (class, text) = failed(post(address, &authority.pem, ours.clone()).await);
        assert!(matches!(class, Class::Closed | Class::Reset), "{text}");
    }
}

#[tokio::test]
async fn a_page_that_says_it_turns_the_request_away() {
    let authority = authority();
    let acceptor = acceptor(asking(&authority, VERSIONS[1], Wants::Perhaps));
    let page = "<center>No required SSL certificate was sent</center>";
    let reply = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let address = serve(move |_, stream| {
        let (acceptor, reply) = (acceptor.clone(), reply.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_request(&mut stream).await;
            drop(stream.write_all(reply.as_bytes()).await);
            drop(stream.shutdown().await);
        }
    })
    .await;
    let exchange = post(address, &authority.pem, None).await;
    assert_eq!(exchange.class(), Some(Class::ClientCertificate));
    assert_eq!(exchange.status_of_the_endpoint(), None);
    let answer = answer(exchange);
    assert_eq!(answer.status, 400);
    let text = answer.turned_away.unwrap().text;
    assert!(
        text.contains("the webhook has none (answered 400"),
        "{text}"
    );
}

/// A certificate, its key, and the certificate of its authority, as PEM.
fn texts() -> [String; 3] {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(Vec::new()).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap().pem();
    let ca = String::from_utf8(authority.pem.to_vec()).unwrap();
    [certificate, key.serialize_pem(), ca]
}

fn use_of(certificate: &str, key: &str) -> Result<Endpoint, Error> {
    let address = "127.0.0.1:1".parse().unwrap();
    client().endpoint(&showing(
        address,
        &authority().pem,
        Some(of(certificate, key)),
    ))
}

#[test]
fn a_pair_is_taken_with_what_stands_around_it() {
    let [certificate, key, ca] = texts();
    for (certificate, key) in [
        (certificate.clone(), key.clone()),
        (format!("{certificate}{ca}"), format!("words\n{key}")),
        (
            format!("{key}{certificate}"),
            format!("\u{feff}{key}{certificate}"),
        ),
        (certificate.clone(), key.replace('\n', "\r\n")),
    ] {
        assert!(use_of(&certificate, &key).is_ok(), "{certificate}{key}");
    }
}

#[track_caller]
fn refused(certificate: &str, key: &str, part: Part, words: &str) {
    match use_of(certificate, key) {
        Err(Error::Client {
            part: found,
            reason,
            ..
        }) => {
            assert_eq!(found, part, "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        _ => panic!("it is taken: {words}"),
    }
}

#[test]
fn a_certificate_that_is_of_no_use_says_why() {
    let [certificate, key, ca] = texts();
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (text, part, words) in [
        ("", Part::Certificate, "there is no certificate in it"),
        (
            &*key,
            Part::Certificate,
            "it holds a private key and no certificate",
        ),
        (
            &format!("{ca}{certificate}"),
            Part::Certificate,
            "a later one is",
        ),
        (&ca, Part::Key, "not the key of the certificate"),
    ] {
        refused(text, &key, part, words);
    }
    refused(
        &certificate,
        &other,
        Part::Key,
        "not the key of the certificate",
    );
}

#[test]
fn a_key_that_is_of_no_use_says_why() {
    let [certificate, key, _] = texts();
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    let renamed = |kind: &str| key.replace("PRIVATE KEY", kind);
    for (text, words) in [
        ("", "there is no key in it"),
        (&*certificate, "it holds a certificate and no key"),
        (&renamed("PUBLIC KEY"), "it holds a public key"),
        (&format!("{key}{key}"), "several keys"),
        (old, "encrypted"),
        (&renamed("ENCRYPTED PRIVATE KEY"), "encrypted"),
        (&renamed("OPENSSH PRIVATE KEY"), "another program's form"),
        (&renamed("RSA PRIVATE KEY"), "of a kind that is not spoken"),
        (&key.replace("-----END", "----END"), "no PEM"),
    ] {
        refused(&certificate, text, Part::Key, words);
    }
}

#[test]
fn the_days_of_a_certificate_are_told_before_they_are_over() {
    const DAY_MS: i64 = 86_400_000;
    // 2026-01-01
    const END_MS: i64 = 1_767_225_600_000;
    let authority = authority();
    let warned = |change: fn(&mut CertificateParams), now_ms| {
        let ours = identity(&authority, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = rcgen::date_time_ymd(2025, 1, 1);
            params.not_after = rcgen::date_time_ymd(2026, 1, 1);
            change(params);
        });
        let address = "127.0.0.1:1".parse().unwrap();
        let endpoint = client().endpoint(&showing(address, &authority.pem, Some(ours)));
        let warnings = endpoint.unwrap().warnings(now_ms).into_iter();
        warnings.map(|(message, _)| message).collect::<Vec<_>>()
    };
    let none: fn(&mut CertificateParams) = |_| {};
    assert_eq!(warned(none, END_MS - 14 * DAY_MS), Vec::<String>::new());
    let soon = "the client certificate expires on 2026-01-01T00:00:00Z, in 13 days";
    assert_eq!(warned(none, END_MS - 14 * DAY_MS + 1), [soon]);
    let one = warned(none, END_MS - DAY_MS);
    assert!(one[0].ends_with("in 1 day"), "{one:?}");
    let over = "the client certificate has expired on 2026-01-01T00:00:00Z: servers refuse it";
    assert_eq!(warned(none, END_MS + 1), [over]);
    let early = warned(none, END_MS - 366 * DAY_MS);
    assert!(
        early[0].contains("not valid before 2025-01-01"),
        "{early:?}"
    );
    let server: fn(&mut CertificateParams) = |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    };
    assert!(warned(server, END_MS - 100 * DAY_MS)[0].contains("not for clients"));
    let both: fn(&mut CertificateParams) = |params| {
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
    };
    assert_eq!(warned(both, END_MS - 100 * DAY_MS), Vec::<String>::new());
}

#[test]
fn one_certificate_is_loaded_once() {
    let authority = authority();
    let (ours, others) = (ordinary(&authority), ordinary(&authority));
    let client = client();
    let address = "127.0.0.1:1".parse().unwrap();
    let endpoint = |identity: Option<Arc<ClientIdentity>>| {
        let webhook = showing(address, &authority.pem, identity);
        client.endpoint(&webhook).unwrap()
    };
    let (first, second) = (endpoint(Some(Arc::clone(&ours))), endpoint(Some(ours)));
    assert!(first.shares_tls_with(&second));
    for other in [endpoint(Some(others)), endpoint(None)] {
        assert!(!first.shares_tls_with(&other));
    }
}
