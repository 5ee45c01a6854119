//! Requests that a foreign page has a browser make: refused on every route, with the reason.
//!
//! The routes are read from the router's own source, so that a new one is tried as well.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::client::stream;
use super::http::{Reply, Request, exchange};
use super::{SECTION, started, world};
use crate::support::{SOON, World, hook, own_address};

const ROUTER: &str = include_str!("../../../src/api/route.rs");

/// A path of the router, and whether it acts.
struct Route {
    path: String,
    acts: bool,
}

/// Every arm of the router's match, with 1 for what is named in it.
fn routes() -> Vec<Route> {
    let arms = ROUTER.split("\n            [").skip(1);
    let routes: Vec<Route> = arms
        .map(|arm| {
            let (parts, code) = arm.split_once("] => {").expect("an arm of the router");
            let parts = parts.split(", ").map(|part| {
                let literal = part.strip_prefix('"').and_then(|p| p.strip_suffix('"'));
                literal.unwrap_or("1")
            });
            Route {
                path: format!("/{}", parts.collect::<Vec<_>>().join("/")),
                acts: !code.trim_start().starts_with("reads("),
            }
        })
        .collect();
    let arms = ROUTER.matches("] => {").count();
    assert_eq!(routes.len(), arms, "an arm that is laid out otherwise");
    routes
}

#[track_caller]
fn ask(world: &World, route: &Route, headers: &[&str]) -> Reply {
    let request = Request {
        method: if route.acts { "POST" } else { "GET" },
        path: &route.path,
        headers: headers.to_vec(),
        body: route.acts.then(|| b"[]".to_vec()),
    };
    exchange(stream(world), &request).unwrap_or_else(|e| panic!("{}: {e}", route.path))
}

#[test]
fn no_route_answers_a_foreign_page() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let routes = routes();
    let known = |path| routes.iter().any(|route| route.path == path && route.acts);
    assert!(known("/events") && known("/reload") && known("/webhooks/1/test"));
    assert!(routes.iter().filter(|route| !route.acts).count() >= 4);
    for route in &routes {
        let path = &route.path;
        for host in [
            "Host: attacker.example",
            "Host: 127.attacker.example",
            "Host: localhost.attacker.example:80",
            "Host: 10.0.0.1",
            "Host: webhooksd",
        ] {
            let error = ask(&world, route, &[host]).expect(403).error();
            assert!(error.contains("is not of this machine"), "{path}: {error}");
            assert!(error.contains("localhost"), "{path}: {error}");
        }
        let twice = ["Host: localhost", "Host: attacker.example"];
        ask(&world, route, &twice).expect(400).error();
        for (site, other) in [
            ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"),
            ("Origin: http://attacker.example", "Origin: null"),
            ("Origin: http://localhost:8480", "Origin: http://127.0.0.1"),
        ] {
            for said in [site, other] {
                let reply = ask(&world, route, &[said]);
                if route.acts {
                    let error = reply.expect(403).error();
                    assert!(error.contains("another page asks"), "{path}: {error}");
                } else {
                    assert_ne!(reply.status, 403, "{path} {said}: it only reads");
                }
            }
        }
        for own in [
            &[
                "Host: localhost:8480",
                "Origin: http://localhost:8480",
                "Sec-Fetch-Site: same-origin",
            ][..],
            &["Host: [::1]:8480", "Origin: http://[::1]:8480"],
            &["Host: 127.0.0.1", "Sec-Fetch-Site: none"],
        ] {
            let status = ask(&world, route, own).status;
            assert_ne!(status, 403, "{path} {own:?}");
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM log"), 0);
    daemon.stop();
}

#[test]
fn a_path_that_is_not_there_is_refused_first() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let nowhere = Route {
        path: "/nowhere".to_owned(),
        acts: true,
    };
    ask(&world, &nowhere, &["Host: attacker.example"]).expect(403);
    ask(&world, &nowhere, &[]).expect(404);
    daemon.stop();
}

/// The first line of the answer to a request as it is.
fn said(world: &World, request: &str) -> String {
    let mut stream = stream(world);
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_host_is_wanted_where_browsers_send_one() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let status = |request| said(&world, request).split(' ').nth(1).map(str::to_owned);
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(status("GET /health HTTP/1.0\r\n\r\n"), is("200"));
    assert_eq!(status("GET /health HTTP/1.1\r\n\r\n"), is("400"));
    let foreign = "GET http://attacker.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(foreign), is("403"));
    let named = "POST /reload HTTP/1.0\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        status(named),
        is("403"),
        "nothing that it could be the origin of"
    );
    daemon.stop();
}

#[test]
fn metrics_on_loopback_have_its_names_alone() {
    let address = own_address();
    let world = world("http://127.0.0.1:9/");
    let section = format!("{SECTION}\n[metrics]\nlisten = \"{address}\"");
    world.configure_with(&section, &[hook("w", "http://127.0.0.1:9/")]);
    let daemon = world.start();
    let ask = |host: &str| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let host = format!("Host: {host}");
        let request = Request {
            method: "GET",
            path: "/metrics",
            headers: vec![&host],
            body: None,
        };
        exchange(stream, &request).unwrap()
    };
    ask(&address.to_string()).expect(200);
    ask("localhost:1").expect(200);
    ask("attacker.example").expect(403);
    daemon.stop();
}
