//! The page that the daemon serves itself: on a port by the token of a file, and on the socket.

use std::net::{SocketAddr, TcpStream};

use super::browser::{Browser, links};
use super::{delivery, one_with};
use crate::socket::client::{curl, stream};
use crate::socket::http::{Reply, Request, exchange};
use crate::support::{SOON, World, eventually, own_address};

const TOKEN: &str = "marker-token-of-the-page";

/// A socket, and the page as the manual has it, at another address.
fn section(address: SocketAddr, more: &str) -> String {
    let manual = include_str!("../../../packaging/manual/page.md");
    let (_, block) = manual.split_once("```toml\n[page]\n").unwrap();
    let (keys, _) = block.split_once("```").unwrap();
    assert!(keys.contains("\"127.0.0.1:8480\""), "{keys}");
    let keys = keys.replace("127.0.0.1:8480", &address.to_string());
    format!("\n[socket]\npath = \"s.sock\"\n[page]\n{keys}{more}")
}

/// Changes a text of the configuration, and has it taken in.
fn reload(world: &World, from: &str, to: &str) -> i32 {
    let path = world.path("webhooks.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    world.write("webhooks.toml", text.replace(from, to));
    world.command(&["reload"]).code.unwrap()
}

/// Holds that the token is in no file but its own.
#[track_caller]
fn no_file_has_it(world: &World) {
    let mut files = 0;
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("page.token") {
            let bytes = std::fs::read(&path).unwrap();
            let mut windows = bytes.windows(TOKEN.len());
            assert!(
                !windows.any(|window| window == TOKEN.as_bytes()),
                "{path:?}"
            );
            files += 1;
        }
    }
    assert!(files > 2, "{files}");
}

/// Holds that each screen is there for the browser, and for nobody else.
#[track_caller]
fn only_who_was_let_in_sees(browser: &Browser, id: i64) {
    for path in [
        "/",
        "/log",
        "/webhooks/good",
        &*format!("/deliveries/{id}"),
        "/events/1",
    ] {
        let page = browser.page(path);
        assert!(
            page.contains("webhooksd") && !page.contains(TOKEN),
            "{path}"
        );
        let outside = browser.send("GET", path, &[]).expect(403);
        assert!(outside.body.contains("name=\"token\""), "{}", outside.body);
        let wrong = browser
            .send("GET", &format!("{path}?token=x{TOKEN}"), &[])
            .expect(403);
        assert!(!wrong.body.contains(TOKEN) && !wrong.head.contains("set-cookie"));
        let host = [
            "Host: attacker.example",
            &*format!("Cookie: {}", browser.cookie),
        ];
        browser.send("GET", path, &host).expect(403);
    }
}

/// A request of a browser to the socket.
#[track_caller]
fn of_browser(world: &World, method: &str, path: &str, more: &[&str]) -> Reply {
    let own = [
        "Host: localhost:8480",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    ];
    let mut headers = own.to_vec();
    if method == "POST" {
        headers.extend([
            "Origin: http://localhost:8480",
            "Sec-Fetch-Site: same-origin",
        ]);
    }
    headers.retain(|own| {
        !more
            .iter()
            .any(|m| m.split(':').next() == own.split(':').next())
    });
    headers.extend(more);
    let request = Request {
        method,
        path,
        headers,
        body: (method == "POST").then(Vec::new),
    };
    exchange(stream(world), &request).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_daemon_serves_its_page_by_the_token_of_a_file() {
    let address = own_address();
    let (world, daemon, _receivers) = one_with(&section(address, ""), |world| {
        world.write("page.token", format!("{TOKEN}\n"));
    });
    let browser = Browser::at(address, TOKEN);
    assert!(!browser.cookie.contains(TOKEN), "{}", browser.cookie);
    // A search that was kept is asked for after the door, too.
    let kept = "/log?q=webhook%3Agood+%22%3E";
    let shut = browser.send("GET", kept, &[]).expect(403).body;
    for told in [
        "<form action=\"/log\" method=\"get\">",
        "name=\"q\" value=\"webhook:good &quot;&gt;\"",
    ] {
        assert!(shut.contains(told), "{told}: {shut}");
    }
    let entered = browser.send("GET", &format!("{kept}&token={TOKEN}"), &[]);
    let entered = entered.expect(200).body;
    assert!(
        entered.contains(&format!("content=\"0; url={kept}\"")),
        "{entered}"
    );
    let id = delivery(&world, "bad");
    only_who_was_let_in_sees(&browser, id);
    assert!(browser.page("/").contains("The daemon is well."));
    let done = browser
        .post("/webhooks/good/test", "", &[])
        .expect(200)
        .body;
    assert!(done.contains("good: delivered 200"), "{done}");
    let unknown = browser
        .post("/webhooks/nobody/test", "", &[])
        .expect(409)
        .body;
    assert!(unknown.contains("no webhook is called"), "{unknown}");
    let foreign = ["Origin: http://attacker.example"];
    browser
        .post("/webhooks/good/test", "", &foreign)
        .expect(403);
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE origin = 'test'"),
        1
    );
    // The socket's other paths are not there.
    for path in ["/metrics", "/status", "/health", "/replays/1"] {
        assert!(
            browser
                .ask(path, &[])
                .expect(404)
                .body
                .contains("<!DOCTYPE html>")
        );
    }
    let checked = world.command(&["check"]);
    assert_eq!((checked.code, &*checked.stderr), (Some(0), ""));
    let journal = daemon.journal();
    assert!(!journal.contains(TOKEN), "{journal}");
    for path in ["/status", "/metrics", "/health"] {
        assert!(!curl(&world, path, &[]).body.contains(TOKEN), "{path}");
    }
    daemon.stop();
    no_file_has_it(&world);
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn a_reload_moves_the_page_and_lets_out_who_has_an_old_token() {
    let address = own_address();
    let (world, daemon, _receivers) = one_with(&section(address, ""), |world| {
        world.write("page.token", TOKEN);
    });
    let browser = Browser::at(address, TOKEN);
    assert_eq!(reload(&world, "[page]", "[page]\nread_only = true"), 0);
    let page = browser.page("/webhooks/good");
    assert!(!page.contains("method=\"post\""), "{page}");
    browser.post("/reload", "", &[]).expect(405);
    let named = [
        "Host: hooks.example:8480",
        &*format!("Cookie: {}", browser.cookie),
    ];
    browser.send("GET", "/", &named).expect(403);
    assert_eq!(
        reload(&world, "[page]", "[page]\nhosts = [\"Hooks.Example\"]"),
        0
    );
    browser.send("GET", "/", &named).expect(200);
    world.write("page.token", format!("another {TOKEN}"));
    browser.page("/");
    assert_eq!(world.command(&["reload"]).code, Some(0));
    browser.ask("/", &[]).expect(403);
    browser
        .send("GET", &format!("/?token={TOKEN}"), &[])
        .expect(403);
    let anew = Browser::at(address, &format!("another%20{TOKEN}"));
    // Another port, and one that is taken, which changes nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = taken.local_addr().unwrap().to_string();
    assert_eq!(reload(&world, &address.to_string(), &held), 2);
    let refused = world.command(&["reload"]).stderr;
    assert!(
        refused.contains(&format!("error: listen on {held}")),
        "{refused}"
    );
    assert!(refused.contains("webhooks.toml:"), "{refused}");
    let checked = world.command(&["check"]).expect(2).stderr;
    assert!(
        checked.contains(&format!("error: listen on {held}")),
        "{checked}"
    );
    anew.page("/");
    let moved = own_address();
    assert_eq!(reload(&world, &held, &moved.to_string()), 0);
    eventually("the old port is closed", SOON, || {
        TcpStream::connect(address)
            .is_err()
            .then_some(())
            .ok_or_else(|| "open".to_owned())
    });
    let mut there = anew;
    there.address = moved;
    there.page("/");
    let gone = world.path("webhooks.toml");
    let text = std::fs::read_to_string(gone).unwrap();
    world.write("webhooks.toml", text.split("[page]").next().unwrap());
    assert_eq!(world.command(&["reload"]).code, Some(0));
    eventually("the port is closed", SOON, || {
        TcpStream::connect(moved)
            .is_err()
            .then_some(())
            .ok_or_else(|| "open".to_owned())
    });
    daemon.stop();
}

#[test]
fn the_socket_has_the_page_beside_its_paths() {
    let (world, daemon, _receivers) = super::one_of_each();
    let id = delivery(&world, "bad");
    for path in [
        "/",
        "/log?q=webhook:good",
        "/webhooks/good",
        &*format!("/deliveries/{id}"),
        "/events/1",
        "/page.css",
    ] {
        for page in [
            of_browser(&world, "GET", path, &[]),
            curl(&world, path, &[]),
        ] {
            let page = page.expect(200);
            assert_eq!(page.header("cache-control"), Some("no-store"));
            assert!(page.header("content-security-policy").is_some(), "{path}");
        }
        of_browser(&world, "GET", path, &["Host: attacker.example"]).expect(403);
    }
    let overview = of_browser(&world, "GET", "/", &[]).body;
    assert!(overview.contains("The daemon is well."), "{overview}");
    assert!(links(&overview, "/webhooks/").contains(&"/webhooks/good".to_owned()));
    // What was there before answers as it did, to a browser too.
    for path in ["/status", "/health", "/metrics"] {
        let reply = of_browser(&world, "GET", path, &[]).expect(200);
        assert!(!reply.body.contains("<html"), "{path}");
    }
    curl(&world, "/nowhere", &[]).expect(404).error();
    curl(&world, "/reload", &[]).expect(405).error();
    curl(&world, "/webhooks/good/pause", &["-d", ""])
        .expect(404)
        .error();
    let nowhere = of_browser(&world, "GET", "/nowhere", &[]).expect(404);
    assert!(nowhere.body.contains("<html"), "{}", nowhere.body);
    // A browser reads what programs only order, and comes from the page to a replay's progress.
    let counted = of_browser(&world, "GET", "/redeliver?q=webhook:bad", &[]).expect(200);
    assert!(counted.body.contains("<html"), "{}", counted.body);
    curl(&world, "/redeliver?q=webhook:bad", &[])
        .expect(405)
        .error();
    of_browser(&world, "GET", "/replays/9", &[])
        .expect(404)
        .error();
    let from_page = ["Referer: http://localhost:8480/log"];
    let replay = of_browser(&world, "GET", "/replays/9", &from_page).expect(404);
    assert!(replay.body.contains("<html"), "{}", replay.body);
    daemon.stop();
}

#[test]
fn a_form_of_the_page_is_the_pages_and_a_programs_order_the_sockets() {
    let (world, daemon, _receivers) = super::one_of_each();
    let test = curl(&world, "/webhooks/good/test", &["-d", ""]).expect(200);
    assert!(
        test.body.contains("\"outcome\":\"delivered\""),
        "{}",
        test.body
    );
    let test = of_browser(&world, "POST", "/webhooks/good/test", &[]).expect(200);
    assert!(test.body.contains("good: delivered 200"), "{}", test.body);
    for foreign in [
        "Origin: http://localhost:1",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Host: attacker.example",
    ] {
        of_browser(&world, "POST", "/webhooks/good/test", &[foreign]).expect(403);
    }
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE origin = 'test'"),
        2
    );
    let config = world.path("webhooks.toml");
    let text = std::fs::read_to_string(config).unwrap();
    world.write(
        "webhooks.toml",
        format!("{text}\n[page]\nread_only = true\n"),
    );
    let done = of_browser(&world, "POST", "/reload", &[]).expect(200).body;
    assert!(done.contains("2 webhooks"), "{done}");
    of_browser(&world, "POST", "/webhooks/good/test", &[]).expect(405);
    let page = of_browser(&world, "GET", "/webhooks/good", &[]).body;
    assert!(!page.contains("method=\"post\""), "{page}");
    curl(&world, "/webhooks/good/test", &["-d", ""]).expect(200);
    daemon.stop();
}
