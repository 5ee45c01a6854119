//! Proxies: what they are told, and what they do wrong.

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;

use super::secure::{authority, https, issued, serve_tls};
use super::*;
use crate::model::{AddressRule, Network, Proxy, Url};

/// What a proxy was told, connection by connection: the first head of each.
type Heads = Arc<Mutex<Vec<String>>>;

/// Reads one head, to the byte.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A proxy that opens tunnels.
async fn tunnelling(heads: Heads) -> SocketAddr {
    serve(move |_, mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let head = read_head(&mut stream).await;
            let to = head.split(' ').nth(1).unwrap().to_owned();
            heads.lock().push(head);
            // A name that only the proxy knows.
            let to = to.replace("inside.invalid", "127.0.0.1");
            let mut there = TcpStream::connect(to).await.unwrap();
            stream
                .write_all(b"HTTP/1.0 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            drop(copy_bidirectional(&mut stream, &mut there).await);
        }
    })
    .await
}

/// A proxy that answers each connection so, and closes it.
async fn answering(reply: &'static [u8], heads: Heads) -> SocketAddr {
    serve(move |_, mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let head = read_head(&mut stream).await;
            heads.lock().push(head);
            drop(stream.write_all(reply).await);
            drop(stream.shutdown().await);
            closed(&mut stream).await;
        }
    })
    .await
}

fn at(proxy: SocketAddr, pair: Option<&[u8]>) -> Option<Arc<Proxy>> {
    let url = Url::parse(&format!("http://{proxy}")).unwrap();
    Some(Arc::new(Proxy::new(url, pair)))
}

async fn through(proxy: SocketAddr, mut webhook: Webhook) -> Exchange {
    if webhook.proxy.is_none() {
        webhook.proxy = at(proxy, None);
    }
    let client = client();
    let endpoint = client.endpoint(&webhook).unwrap();
    send(&client, &endpoint).await
}

#[tokio::test]
async fn a_tunnel_is_asked_for_by_name_and_kept() {
    let authority = authority();
    let acceptor = issued(&authority, |params| {
        let names = rcgen::CertificateParams::new(vec!["inside.invalid".to_owned()]);
        params.subject_alt_names = names.unwrap().subject_alt_names;
    });
    let to = serve_tls(acceptor).await;
    let heads = Heads::default();
    let proxy = tunnelling(Arc::clone(&heads)).await;
    let mut webhook = https(to, &authority.pem);
    webhook.url = Url::parse(&format!("https://inside.invalid:{}/", to.port())).unwrap();
    webhook.proxy = at(proxy, Some(b"u:p"));
    let client = client();
    let endpoint = client.endpoint(&webhook).unwrap();
    for is_first in [true, false] {
        let exchange = send(&client, &endpoint).await;
        assert_eq!(
            (exchange.peer, exchange.phases.name_us),
            (Some(proxy), None)
        );
        let phases = exchange.phases;
        assert_eq!(phases.proxy_us.is_some(), is_first, "the tunnel is kept");
        assert_eq!(phases.connect_us.is_some(), is_first);
        assert_eq!(answer(exchange).body, b"safe");
    }
    let port = to.port();
    let told = format!(
        "CONNECT inside.invalid:{port} HTTP/1.1\r\nHost: inside.invalid:{port}\r\n\
         Proxy-Authorization: Basic dTpw\r\n\r\n"
    );
    assert_eq!(*heads.lock(), [told]);
}

#[tokio::test]
async fn plain_http_goes_with_its_whole_url() {
    let heads = Heads::default();
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let proxy = answering(reply, Arc::clone(&heads)).await;
    let mut webhook = webhook("http://inside.invalid:81/hook?a=b");
    webhook.proxy = at(proxy, Some(b"u:p"));
    let exchange = through(proxy, webhook).await;
    assert_eq!(exchange.note, None);
    assert_eq!(exchange.phases.proxy_us, None, "it is not asked beforehand");
    assert_eq!(answer(exchange).body, b"ok");
    let head = heads.lock().remove(0);
    let start = "POST http://inside.invalid:81/hook?a=b HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\nHost: h.example\r\n";
    assert!(head.starts_with(start), "{head}");
}

#[tokio::test]
async fn what_a_proxy_refuses_is_the_proxy_s() {
    let to = webhook("https://inside.invalid/");
    let mut to = Webhook {
        ca: Some(authority().pem),
        ..to
    };
    for (reply, words) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!"[..],
            "does not connect to inside.invalid:443: it answered 403",
        ),
        (
            b"HTTP/1.0 500 Unable to connect\r\n\r\n",
            "does not connect to inside.invalid:443: it answered 500",
        ),
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "wants a user and a password, and there is no proxy_secret_file: it answered 407",
        ),
        (
            b"",
            "closed the connection when it was asked to connect to inside.invalid:443",
        ),
        (
            b"HTTP/1.1 200 OK\r\nVia: x\r\n",
            "closed the connection when it was asked to connect to inside.invalid:443",
        ),
        (
            b"SSH-2.0-x\r\n\r\n",
            "does not answer in HTTP when it was asked to connect",
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\nmore",
            "says more behind its consent",
        ),
    ] {
        let proxy = answering(reply, Heads::default()).await;
        to.proxy = None;
        let (class, text) = failed(through(proxy, to.clone()).await);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(
            text.starts_with(&format!("the proxy {proxy} ")) && text.contains(words),
            "{text}"
        );
    }
    let reply = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let proxy = answering(reply, Heads::default()).await;
    to.proxy = at(proxy, Some(b"u:p"));
    let (_, text) = failed(through(proxy, to.clone()).await);
    assert!(
        text.contains("does not accept the user and password of proxy_secret_file"),
        "{text}"
    );
    // Nobody there, and nobody of that name.
    to.proxy = at("127.0.0.1:1".parse().unwrap(), None);
    let (class, text) = failed(through(proxy, to.clone()).await);
    assert_eq!(class, Class::Proxy);
    assert_eq!(
        text,
        "the proxy 127.0.0.1:1: connection refused by 127.0.0.1:1"
    );
    let url = Url::parse("http://nobody.invalid:3128").unwrap();
    to.proxy = Some(Arc::new(Proxy::new(url, None)));
    let (class, text) = failed(through(proxy, to).await);
    assert_eq!(class, Class::Proxy);
    assert!(
        text.starts_with("the proxy nobody.invalid:3128: "),
        "{text}"
    );
}

/// Who was connected to is the proxy: where its tunnel leads has another name.
#[tokio::test]
async fn who_ends_a_tunnel_is_told_by_name() {
    let authority = authority();
    let acceptor = issued(&authority, |_| {});
    let mute = serve(|_, stream| async move { drop(stream) }).await;
    let curt = serve(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_to_the_end_of_a_head(&mut stream).await;
        }
    })
    .await;
    for (to, words) in [
        (mute, "closed the connection in the TLS handshake"),
        (curt, "closed the connection without an answer"),
    ] {
        let proxy = tunnelling(Heads::default()).await;
        let (_, text) = failed(through(proxy, https(to, &authority.pem)).await);
        let all = format!("127.0.0.1 through the proxy {proxy} {words}");
        assert_eq!(text, all);
    }
}

async fn read_to_the_end_of_a_head(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"}") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn answers_that_a_proxy_marks_are_its_own_and_others_may_be() {
    let to = || webhook("http://inside.invalid/");
    for reply in [
        &b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 500 Unable to connect\r\nServer: tinyproxy/1.11.1\r\n\r\n",
        b"HTTP/1.1 404 No such domain\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Connect failed\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Request blocked by Privoxy\r\nContent-Length: 0\r\n\r\n",
        b"",
    ] {
        let proxy = answering(reply, Heads::default()).await;
        let exchange = through(proxy, to()).await;
        assert_eq!(exchange.status_of_the_endpoint(), None);
        let (class, text) = failed(exchange);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(text.starts_with(&format!("the proxy {proxy}")), "{text}");
    }
    for reply in [
        &b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    ] {
        let proxy = answering(reply, Heads::default()).await;
        let exchange = through(proxy, to()).await;
        let note = exchange.note.clone().unwrap();
        assert_eq!(
            *note,
            *format!("through the proxy {proxy}: may be its own answer")
        );
        assert!(answer(exchange).status >= 400);
    }
}

#[tokio::test]
async fn a_silent_proxy_and_a_silent_endpoint_behind_one_are_told_apart() {
    let silent = serve(|_, mut stream| async move { closed(&mut stream).await }).await;
    let client = hasty();
    let mut to = https(silent, &authority().pem);
    to.proxy = at(silent, None);
    let exchange = send(&client, &client.endpoint(&to).unwrap()).await;
    assert!(exchange.phases.proxy_us > Some(900_000), "{exchange:?}");
    let (class, text) = failed(exchange);
    assert_eq!(class, Class::Proxy, "{text}");
    assert_eq!(
        text,
        format!("the proxy {silent}: no answer to CONNECT within 1 s")
    );
    to.proxy = at(tunnelling(Heads::default()).await, None);
    let (class, text) = failed(send(&client, &client.endpoint(&to).unwrap()).await);
    assert_eq!(class, Class::ConnectTimeout, "{text}");
    assert_eq!(
        text,
        "no TLS handshake with 127.0.0.1 through its proxy within 1 s"
    );
    // A head that drips is bounded, and so is a flood.
    let flood = serve(|_, mut stream| async move {
        while stream
            .write_all(b"HTTP/1.1 102 Processing\r\n\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    to.proxy = at(flood, None);
    let (class, text) = failed(send(&client, &client.endpoint(&to).unwrap()).await);
    assert_eq!(class, Class::Proxy, "{text}");
    assert!(text.contains("more than 64 KiB"), "{text}");
}

#[tokio::test]
async fn the_lists_of_addresses_are_about_the_proxy() {
    let mut to = webhook("http://127.0.0.9/");
    let network = |text| Network::parse(text).unwrap();
    let rule = |deny| AddressRule {
        allow: None,
        deny: [network(deny)].into(),
    };
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let proxy = answering(reply, Heads::default()).await;
    to.addresses = Some(Arc::new(rule("127.0.0.9")));
    assert_eq!(answer(through(proxy, to.clone()).await).status, 200);
    to.addresses = Some(Arc::new(rule("127.0.0.1")));
    let (class, text) = failed(through(proxy, to).await);
    assert_eq!(class, Class::Address, "{text}");
}
