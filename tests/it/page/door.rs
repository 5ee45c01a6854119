//! Who is let in, and what no foreign page gets.

use std::net::TcpStream;
use std::time::Duration;

use super::{Browser, delivery, one_of_each};
use crate::support::{World, now};

/// Every path that shows something.
fn paths(world: &World) -> Vec<String> {
    let id = delivery(world, "good");
    vec![
        "/".to_owned(),
        "/log".to_owned(),
        "/log?q=webhook:good".to_owned(),
        format!("/deliveries/{id}"),
        "/events/1".to_owned(),
        "/attempts/1/body".to_owned(),
    ]
}

#[test]
fn only_who_has_the_address_is_let_in() {
    let (world, daemon, _receivers) = one_of_each();
    let inside = Browser::start(world.folder(), &[]);
    let other = Browser::start(world.folder(), &[]);
    assert_ne!(inside.token, other.token);
    for path in &paths(&world) {
        inside.ask(path, &[]).expect(200);
        for cookie in [
            "Cookie: a=b".to_owned(),
            format!("Cookie: {}", other.cookie),
            format!("Cookie: {}x", inside.cookie),
            format!("Cookie: webhooksd={}", inside.token),
        ] {
            let shut = inside.send("GET", path, &[&cookie]).expect(403);
            assert!(shut.body.contains("has not been let in"), "{}", shut.body);
            assert!(!shut.body.contains("story-approve"), "{}", shut.body);
        }
    }
    let wrong = inside.send("GET", &format!("/?token={}", other.token), &[]);
    let wrong = wrong.expect(403);
    assert!(wrong.body.contains("of another run"), "{}", wrong.body);
    assert!(!wrong.head.contains("set-cookie"), "{}", wrong.head);
    daemon.stop();
}

#[test]
fn the_token_becomes_a_cookie_and_leaves_the_address() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::outside(world.folder(), &[]);
    let opened = browser.send("GET", &format!("/?token={}", browser.token), &[]);
    let opened = opened.expect(200);
    let cookie = opened.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; httponly; samesite=strict; path=/"),
        "{cookie}"
    );
    assert!(!cookie.contains(&browser.token), "{cookie}");
    assert!(cookie.starts_with("webhooksd-"), "{cookie}");
    assert_eq!(opened.header("referrer-policy"), Some("no-referrer"));
    assert!(
        opened.body.contains("content=\"0; url=/\"") && opened.body.contains("<a href=\"/\">"),
        "{}",
        opened.body
    );
    assert!(!opened.body.contains(&browser.token), "{}", opened.body);
    daemon.stop();
}

#[test]
fn no_other_page_has_it_read_through_many_rows() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let costly = [
        "/new",
        "/new?name=a%22%3E&url=b",
        "/webhooks/good/match",
        "/redeliver?q=webhook:bad",
        "/cancel?webhook=good",
        "/replay?event=1",
    ];
    for path in costly {
        for site in ["cross-site", "same-site"] {
            let said = format!("Sec-Fetch-Site: {site}");
            let refused = browser.ask(path, &[&said]).expect(403).body;
            assert!(refused.contains("another page asks"), "{path}: {refused}");
            let on = super::browser::links(&refused, path.split('?').next().unwrap());
            assert_eq!(on.len(), 1, "{path}: {refused}");
            browser
                .ask(&on[0], &["Sec-Fetch-Site: same-origin"])
                .expect(200);
        }
        browser.ask(path, &["Sec-Fetch-Site: none"]).expect(200);
        browser.ask(path, &[]).expect(200);
    }
    for path in &paths(&world) {
        browser
            .ask(path, &["Sec-Fetch-Site: cross-site"])
            .expect(200);
    }
    daemon.stop();
}

#[test]
fn a_foreign_page_gets_nothing_whatever_it_has() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let cookie = format!("Cookie: {}", browser.cookie);
    let mut all = paths(&world);
    all.extend(["/page.css".to_owned(), "/nowhere".to_owned()]);
    all.push(format!("/?token={}", browser.token));
    for path in &all {
        for host in [
            "Host: attacker.example",
            "Host: 127.attacker.example",
            "Host: localhost.attacker.example",
            "Host: 192.168.0.1",
        ] {
            let refused = browser.send("GET", path, &[host, &cookie]).expect(403);
            assert!(refused.body.contains("is not of this machine"), "{path}");
            assert!(!refused.head.contains("set-cookie"), "{path}");
        }
        let twice = ["Host: localhost", "Host: 127.0.0.1", &cookie];
        browser.send("GET", path, &twice).expect(400);
        for method in ["PUT", "DELETE", "PATCH"] {
            let refused = browser.send(method, path, &[&cookie]).expect(405);
            assert_eq!(refused.header("allow"), Some("get, head, post"));
        }
        let foreign = ["Sec-Fetch-Site: cross-site", &cookie];
        browser.send("POST", path, &foreign).expect(403);
    }
    daemon.stop();
}

#[test]
fn every_answer_keeps_the_browser_from_doing_more_than_showing_it() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let mut all = paths(&world);
    all.extend(
        [
            "/page.css",
            "/page.js",
            "/nowhere",
            "/deliveries/99",
            "/log?q=x",
        ]
        .map(str::to_owned),
    );
    for path in &all {
        let reply = browser.ask(path, &[]);
        let policy = reply.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && policy.contains("script-src 'self';"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert!(!reply.body.contains(" style="), "{path}");
        assert!(!reply.body.contains("<style"), "{path}");
        let head = browser.send("HEAD", path, &[&format!("Cookie: {}", browser.cookie)]);
        assert_eq!(head.status, reply.status, "{path}");
    }
    daemon.stop();
}

#[test]
fn connections_that_ask_nothing_keep_nobody_out() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    // More than there are places for; each is closed by itself after 15 s.
    let silent: Vec<_> = (0..250)
        .map(|_| TcpStream::connect(browser.address).unwrap())
        .collect();
    let begun = now();
    browser.ask("/", &[]).expect(200);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    drop(silent);
    daemon.stop();
}
