//! The bytes on the wire: heads, bodies and signatures of each dialect, to the byte.
//!
//! The vendors' documents are the source of what is expected here, not the product's code. The
//! signatures are made with `openssl`. Policy (when, how often) is in `policy.rs`.

use std::time::Duration;

use crate::support::{
    Answer, Authority, Received, Receiver, SOON, World, hmac_hex, hook, now_ms, openssl_hmac_hex,
    stays,
};

const SECRET: &str = "kept between you & me, 1024 times";

/// The head that every dialect shares in Bold CMS's order, with `more` lines behind it. `close`: as that
/// one's sample has it; the others ask for the connection to be kept.
fn head(receiver: &Receiver, target: &str, close: bool, body: &[u8], more: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: {}\r\nAccept-Encoding: gzip, deflate\r\n\
         Content-Length: {}\r\nContent-Type: application/json\r\nUser-Agent: webhooksd/{}\r\n{more}\r\n",
        receiver.port(),
        if close { "close" } else { "keep-alive" },
        body.len(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Commits an event at a known time; its id.
fn emit_at(world: &World, event: &str, data: &str, time_ms: i64) -> i64 {
    let outbox = world.outbox();
    outbox
        .execute(
            "INSERT INTO outbox (event, data, time) VALUES (?1, ?2, ?3)",
            (event, data, time_ms),
        )
        .unwrap();
    outbox.last_insert_rowid()
}

/// UNIX milliseconds of some minutes ago, so that a new log takes the event without a question.
fn recently() -> i64 {
    now_ms() - 600_000 + 17
}

/// `2024-11-14T09:32:17Z` of UNIX milliseconds, by SQLite.
fn stamp(world: &World, time_ms: i64) -> String {
    let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch')";
    let seconds = time_ms.div_euclid(1000);
    world
        .outbox()
        .query_row(sql, [seconds], |row| row.get(0))
        .unwrap()
}

#[test]
fn bold_cms_signed_is_the_documented_request() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("cms", receiver.url("/story-submit?a=%20b")).secret(SECRET)]);
    let _daemon = world.start();
    let time = recently();
    let id = emit_at(
        &world,
        "story-submit",
        r#"{ "headline":"Ünïcode \u00fc" }"#,
        time,
    );
    let request = &receiver.wait(1, SOON)[0];
    let body = format!(
        r#"{{"v1":{{"event":{{"id":{id},"name":"story-submit","time":{time}}},"data":{{ "headline":"Ünïcode \u00fc" }}}}}}"#
    );
    assert_eq!(request.text(), body);
    let signature = openssl_hmac_hex(SECRET, body.as_bytes());
    assert_eq!(signature.len(), 64);
    let line = format!("X-Qt-Signature: {signature}\r\n");
    let expected = head(
        &receiver,
        "/story-submit?a=%20b",
        true,
        body.as_bytes(),
        &line,
    );
    assert_eq!(request.head_text(), expected);
}

#[test]
fn bold_cms_unsigned_sends_the_signature_header_blank() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("cms", receiver.url("/"))]);
    let _daemon = world.start();
    world.emit("story-submit", "null");
    let request = &receiver.wait(1, SOON)[0];
    let expected = head(&receiver, "/", true, &request.body, "X-Qt-Signature: \r\n");
    assert_eq!(request.head_text(), expected);
    assert!(request.text().ends_with(r#","data":null}}"#));
}

#[test]
fn bold_factory_signed_and_unsigned() {
    let (signed, unsigned) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[
        hook("signed", signed.url("/f"))
            .dialect("bold-factory")
            .secret(SECRET),
        hook("unsigned", unsigned.url("/f")).dialect("bold-factory"),
    ]);
    let _daemon = world.start();
    let time = recently();
    emit_at(&world, "production.order.completed", r#"{"n":1}"#, time);
    let request = &signed.wait(1, SOON)[0];
    let json = request.json();
    let id = json["id"].as_str().unwrap();
    assert_ulid(id.strip_prefix("evt_").unwrap());
    let stamp = stamp(&world, time);
    let body = format!(
        r#"{{"id":"{id}","event":"production.order.completed","timestamp":"{stamp}","version":"1","data":{{"n":1}}}}"#
    );
    assert_eq!(request.text(), body);
    let signature = openssl_hmac_hex(SECRET, body.as_bytes());
    let line = format!("X-Bold-Signature: {signature}\r\n");
    assert_eq!(
        request.head_text(),
        head(&signed, "/f", false, body.as_bytes(), &line)
    );
    let request = &unsigned.wait(1, SOON)[0];
    assert_eq!(request.text(), body, "one event has one id and one body");
    assert_eq!(
        request.head_text(),
        head(&unsigned, "/f", false, body.as_bytes(), "")
    );
}

#[test]
fn openboxes_lift_signed_and_unsigned() {
    let (signed, unsigned) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[
        hook("signed", signed.url("/l"))
            .dialect("openboxes-lift")
            .secret(SECRET),
        hook("unsigned", unsigned.url("/l")).dialect("openboxes-lift"),
    ]);
    let _daemon = world.start();
    let time = recently();
    emit_at(&world, "stockMovement.shipped", r#"[1, 2]"#, time);
    let request = &signed.wait(1, SOON)[0];
    let json = request.json();
    let id = json["id"].as_str().unwrap();
    assert_ulid(id.strip_prefix("evt-").unwrap());
    let stamp = stamp(&world, time);
    let body = format!(
        r#"{{"id":"{id}","type":"stockMovement.shipped","timestamp":"{stamp}","tenantId":"acme","data":[1, 2]}}"#
    );
    assert_eq!(request.text(), body);
    let signature = openssl_hmac_hex(SECRET, body.as_bytes());
    let line = format!("X-Webhook-Signature: sha256={signature}\r\n");
    assert_eq!(
        request.head_text(),
        head(&signed, "/l", false, body.as_bytes(), &line)
    );
    let request = &unsigned.wait(1, SOON)[0];
    assert_eq!(
        request.head_text(),
        head(&unsigned, "/l", false, body.as_bytes(), "")
    );
}

#[track_caller]
fn assert_ulid(id: &str) {
    let crockford = |b: u8| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b));
    assert!(id.len() == 26 && id.bytes().all(crockford), "{id}");
}

#[test]
fn connections_are_closed_or_reused_as_the_dialect_and_the_setting_say() {
    let names = ["cms", "cms-reused", "factory", "lift", "factory-closed"];
    let receivers: Vec<Receiver> = names.iter().map(|_| Receiver::ok()).collect();
    let url = |at: usize| receivers[at].url("/");
    let world = World::new(&[
        hook(names[0], url(0)),
        hook(names[1], url(1)).line("keep_alive = true"),
        hook(names[2], url(2)).dialect("bold-factory"),
        hook(names[3], url(3)).dialect("openboxes-lift"),
        hook(names[4], url(4))
            .dialect("bold-factory")
            .line("keep_alive = false"),
    ]);
    let _daemon = world.start();
    for count in 1..=5 {
        world.emit("e", "{}");
        for receiver in &receivers {
            receiver.wait(count, SOON);
        }
        let delivered = "SELECT count(*) FROM log WHERE outcome = 'delivered'";
        let expected = i64::try_from(count * receivers.len()).unwrap();
        world.wait_number(delivered, expected, SOON);
    }
    for (name, receiver) in names.iter().zip(&receivers) {
        let closes = ["cms", "factory-closed"].contains(name);
        let connections = if closes { 5 } else { 1 };
        assert_eq!(receiver.connections(), connections, "{name}");
        for request in receiver.received() {
            // Bold CMS documents its headers one by one: none is added where that one is taken away.
            let expected = match *name {
                _ if closes => Some("close"),
                "cms-reused" => None,
                _ => Some("keep-alive"),
            };
            assert_eq!(request.header("Connection"), expected, "{name}");
        }
    }
}

#[test]
fn headers_of_the_users_own_go_out_as_typed_and_into_the_log_redacted() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("own", receiver.url("/"))
        .line(r#"headers = { x-TEAM = "web", Authorization = "Bearer marker-token" }"#)]);
    let _daemon = world.start();
    world.emit("e", "{}");
    let request = &receiver.wait(1, SOON)[0];
    let names = request.names();
    assert_eq!(names[names.len() - 2..], ["x-TEAM", "Authorization"]);
    assert_eq!(request.header("x-TEAM"), Some("web"));
    assert_eq!(request.header("Authorization"), Some("Bearer marker-token"));
    let headers = world.attempts("request_headers", 1, SOON)[0][0].clone();
    let logged: Vec<&str> = headers.lines().collect();
    let sent = request.lines();
    let own = sent.len() - 3;
    assert_eq!(
        logged[..own],
        sent[1..=own],
        "the dialect's own are as sent"
    );
    assert_eq!(
        logged[own..],
        ["x-TEAM: [redacted]", "Authorization: [redacted]"]
    );
}

#[test]
fn data_goes_out_with_the_very_text_the_application_wrote() {
    let dialects = [
        "bold-cms",
        "bold-factory",
        "openboxes-lift",
        "standard-webhooks",
    ];
    let receivers = dialects.map(|_| Receiver::ok());
    let hooks: Vec<_> = dialects
        .iter()
        .zip(&receivers)
        .map(|(dialect, receiver)| {
            hook(dialect, receiver.url("/"))
                .dialect(dialect)
                .secret(SECRET)
        })
        .collect();
    let world = World::new(&hooks);
    let _daemon = world.start();
    let texts = [
        "{ \"z\" : 1 ,\t\"a\":\r\n [ ] , \"z\":2}",
        "123456789012345678901234567890.10e+0400",
        "-0.0",
        r#""\u00e9 é \ud83d\ude00 😀 \/ <script>&amp; \u2028""#,
        " \n[1.0,1.00,1E5]\n ",
        "\"\u{7f}\u{feff}\u{10ffff}\"",
    ];
    for (at, data) in texts.iter().enumerate() {
        world.emit("e", data);
        for receiver in &receivers {
            let request = receiver.wait(at + 1, SOON)[at].clone();
            let body = request.text();
            let end = if body.starts_with("{\"v1\"") {
                "}}"
            } else {
                "}"
            };
            let expected = format!("\"data\":{data}{end}");
            assert!(body.ends_with(&expected), "{body:?} for {data:?}");
        }
    }
}

#[test]
fn a_retry_and_a_redelivery_have_the_same_id_and_the_same_bytes() {
    let fail_first = |request: &Received| {
        Answer::status(if request.header("X-Bold-Signature").is_some() {
            503
        } else {
            200
        })
    };
    let factory = Receiver::start(fail_first);
    let cms = Receiver::start(|_| Answer::status(503));
    let world = World::new(&[
        hook("factory", factory.url("/"))
            .one_attempt()
            .secret(SECRET),
        hook("cms", cms.url("/")),
    ]);
    let _daemon = world.start();
    world.emit("e", r#"{"n": 1.10}"#);
    world.wait_number("SELECT count(*) FROM failed", 1, SOON);
    let changed =
        world.change_log("INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed");
    assert_eq!(changed.unwrap(), 1);
    let sent = factory.wait(2, SOON);
    assert_eq!(sent[0].body, sent[1].body);
    assert_eq!(sent[0].head_text(), sent[1].head_text());
    let sent = cms.wait(2, SOON);
    assert_eq!(sent[0].body, sent[1].body);
    assert_eq!(sent[0].head_text(), sent[1].head_text());
    let bodies = world.attempts("CAST(request_body AS TEXT), webhook", 4, SOON);
    for row in bodies {
        let sent = if row[1] == "cms" { &cms } else { &factory };
        assert_eq!(row[0], sent.received()[0].text());
    }
}

#[test]
fn every_request_of_many_is_signed_over_its_own_bytes() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("cms", receiver.url("/")).secret(SECRET)]);
    let _daemon = world.start();
    for n in 0..100 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    for request in receiver.wait(100, SOON) {
        let signature = hmac_hex(SECRET, &request.body);
        assert_eq!(request.header("X-Qt-Signature"), Some(signature.as_str()));
    }
}

#[test]
fn tls_is_trusted_by_ca_file_only_and_only_for_its_name() {
    let authority = Authority::new();
    let good = Receiver::tls(authority.acceptor("localhost"));
    let unknown = Receiver::tls(Authority::new().acceptor("localhost"));
    let misnamed = Receiver::tls(authority.acceptor("elsewhere.example"));
    let url = |receiver: &Receiver| format!("https://localhost:{}/tls", receiver.port());
    let tls = |name, receiver| {
        hook(name, url(receiver))
            .one_attempt()
            .secret(SECRET)
            .line("ca_file = \"ca.pem\"")
    };
    let world = World::bare(&[
        tls("good", &good),
        tls("unknown", &unknown),
        tls("misnamed", &misnamed),
        hook("untold", url(&good)).one_attempt(),
    ]);
    world.write("ca.pem", authority.pem());
    world.make_outbox("WAL");
    let _daemon = world.start();
    world.emit("e", "{}");
    let request = &good.wait(1, SOON)[0];
    assert_eq!(request.lines()[0], "POST /tls HTTP/1.1");
    let host = format!("localhost:{}", good.port());
    assert_eq!(request.header("Host"), Some(host.as_str()));
    let signature = openssl_hmac_hex(SECRET, &request.body);
    assert_eq!(request.header("X-Bold-Signature"), Some(signature.as_str()));
    let rows = world.attempts("webhook, outcome, status, error", 4, SOON);
    for row in rows {
        if row[0] == "good" {
            assert_eq!(row[1..], ["delivered", "200", "NULL"]);
        } else {
            assert_eq!(row[1..3], ["failed", "NULL"], "{row:?}");
            assert!(row[3].contains("certificate"), "{row:?}");
        }
    }
    let refused = [unknown.count(), misnamed.count()];
    assert_eq!(refused, [0, 0], "nothing was sent to those");
    stays("untold sends nothing", Duration::from_millis(200), || {
        let count = good.count();
        crate::support::check(count == 1, || count.to_string())
    });
}

#[test]
fn a_server_of_an_older_tls_than_min_tls_asks_for_gets_nothing_and_a_reload_changes_that() {
    let authority = Authority::new();
    let (new, old) = (
        Receiver::tls(authority.acceptor("localhost")),
        Receiver::tls(authority.old_acceptor("localhost")),
    );
    let hooks = |min_tls: &str| {
        let tls = |name, receiver: &Receiver| {
            hook(name, format!("https://localhost:{}/", receiver.port()))
                .one_attempt()
                .line("ca_file = \"ca.pem\"")
                .line(min_tls)
        };
        [tls("new", &new), tls("old", &old)]
    };
    let world = World::bare(&hooks("min_tls = \"1.3\""));
    world.write("ca.pem", authority.pem());
    world.make_outbox("WAL");
    let daemon = world.start();
    world.emit("e", "{}");
    new.wait(1, SOON);
    let rows = world.attempts("webhook, outcome, class, error", 2, SOON);
    let row = rows.iter().find(|row| row[0] == "old").unwrap();
    assert_eq!(row[1..3], ["failed", "tls"], "{row:?}");
    assert!(row[3].contains("localhost refused TLS"), "{row:?}");
    assert!(
        row[3].ends_with("min_tls allows none before 1.3"),
        "{row:?}"
    );
    assert_eq!(old.count(), 0);
    world.configure(&hooks("min_tls = \"1.2\""));
    daemon.reload();
    world.emit("e", "{}");
    old.wait(1, SOON);
    daemon.stop();
}
