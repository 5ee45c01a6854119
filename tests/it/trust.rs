//! Whom the daemon trusts: certificates as they are, and the system's, which change while it runs.

use crate::support::{Acceptor, Authority, Receiver, SOON, World, hook};

const CA: &str = "ca_file = \"authority.pem\"";

fn https(receiver: &Receiver) -> String {
    format!("https://127.0.0.1:{}/", receiver.port())
}

/// Nothing in a text is a name or a value as Rust writes it.
fn is_for_people(text: &str) -> bool {
    let camel = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    !text.as_bytes().windows(2).any(camel) && !text.contains(['(', '{', '['])
}

#[test]
fn a_server_that_signed_its_own_certificate_is_trusted_where_ca_file_has_it() {
    let (acceptor, pem) = Acceptor::like_openssl("127.0.0.1");
    let receiver = Receiver::tls(acceptor);
    let (stranger, _) = Acceptor::like_openssl("127.0.0.1");
    let (elsewhere, other) = Acceptor::like_openssl("other.example");
    let (stranger, elsewhere) = (Receiver::tls(stranger), Receiver::tls(elsewhere));
    let world = World::new(&[
        hook("itself", https(&receiver)).line(CA),
        hook("stranger", https(&stranger)).line(CA),
        hook("elsewhere", https(&elsewhere)).line(CA),
    ]);
    world.write("authority.pem", pem + &other);
    let daemon = world.start();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    let attempts = world.attempts("webhook, outcome, error", 3, SOON);
    for [webhook, outcome, error] in attempts
        .into_iter()
        .map(|a| <[String; 3]>::try_from(a).unwrap())
    {
        let expected = match &*webhook {
            "itself" => ("delivered", "NULL"),
            "stranger" => (
                "retry",
                "certificate of 127.0.0.1: an authority's and not a server's",
            ),
            _ => (
                "retry",
                "certificate of 127.0.0.1: made for other names: other.example",
            ),
        };
        assert_eq!(outcome, expected.0, "{webhook}: {error}");
        assert!(
            error.starts_with(expected.1) && is_for_people(&error),
            "{webhook}: {error}"
        );
    }
    daemon.stop();
}

#[test]
fn a_reload_reads_the_certificates_of_the_system_again() {
    let (before, after) = (Authority::new(), Authority::new());
    let (itself, pem) = Acceptor::like_openssl("127.0.0.1");
    let receivers = [
        Receiver::tls(before.acceptor("127.0.0.1")),
        Receiver::tls(after.acceptor("127.0.0.1")),
        Receiver::tls(itself),
    ];
    let hooks: Vec<_> = receivers
        .iter()
        .enumerate()
        .map(|(n, receiver)| {
            hook(&format!("w{n}"), https(receiver))
                .events(&format!("e{n}"))
                .line("keep_alive = true")
        })
        .collect();
    let world = World::new(&hooks);
    let roots = world.path("roots.pem");
    world.write("roots.pem", before.pem());
    let daemon = world.start_in(&[
        ("SSL_CERT_FILE", roots.as_os_str()),
        ("SSL_CERT_DIR", "".as_ref()),
    ]);
    let outcome = |event: &str| {
        let id = world.emit(event, "{}");
        let sql = format!("SELECT count(*) FROM log WHERE event_id = {id}");
        world.wait_number(&sql, 1, SOON);
        world
            .log(&format!("SELECT outcome FROM log WHERE event_id = {id}"))
            .remove(0)
            .remove(0)
    };
    let outcomes = || ["e0", "e1", "e2"].map(outcome);
    assert_eq!(outcomes(), ["delivered", "retry", "retry"]);
    world.write("roots.pem", after.pem() + &pem);
    assert_eq!(
        outcomes(),
        ["delivered", "retry", "retry"],
        "not before the reload"
    );
    daemon.reload();
    assert_eq!(outcomes(), ["retry", "delivered", "delivered"]);
    // Who is trusted no longer is not so by a session from before, either.
    world.write("roots.pem", before.pem() + &after.pem());
    daemon.reload();
    assert_eq!(outcomes(), ["delivered", "delivered", "retry"]);
    // Without any the reload is refused, in words, and the running configuration stays.
    world.write("roots.pem", "no certificate");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_journal("this system trusts no certificates at all");
    assert_eq!(outcomes(), ["delivered", "delivered", "retry"]);
    daemon.stop();
}
