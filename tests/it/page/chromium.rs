//! The page in a real browser: with and without scripts, at a phone's width, in the dark; each action to its row in the
//! log, live rows and keys.
//!
//! Accessibility is judged by axe-core where `WEBHOOKSD_TEST_AXE` names its file, `axe.min.js`.

use super::driver::{Driver, Kind, USUAL};
use super::{Browser, delivery, one_of_each};
use crate::support::{SOON, World, eventually, now};

/// The overview while the file is one that was refused.
const REFUSED: &str = "/?refused";

/// Names axe-core's file.
const AXE: &str = "WEBHOOKSD_TEST_AXE";

/// Every screen, for the event 1 of [`one_of_each`].
fn screens(world: &World) -> Vec<String> {
    let (good, bad) = (delivery(world, "good"), delivery(world, "bad"));
    vec![
        "/".to_owned(),
        "/log".to_owned(),
        "/log?q=webhook:bad".to_owned(),
        "/log?q=nonsense".to_owned(),
        "/webhooks/good".to_owned(),
        "/webhooks/bad".to_owned(),
        "/webhooks/good/match".to_owned(),
        "/new".to_owned(),
        "/new?name=good&url=ftp://h&events=&secret_file=x.key".to_owned(),
        "/new?name=third&url=https://h.example/in&events=story-*".to_owned(),
        "/redeliver?q=webhook:bad".to_owned(),
        "/cancel?webhook=good".to_owned(),
        "/replay?event=1".to_owned(),
        "/?from=99".to_owned(),
        format!("/deliveries/{good}"),
        format!("/deliveries/{bad}/difference"),
        format!("/deliveries/{bad}"),
        "/events/1".to_owned(),
        "/nowhere".to_owned(),
    ]
}

/// A browser that was let in by the address that is printed.
fn let_in(page: &Browser, kind: Kind) -> Option<Driver> {
    let driver = Driver::start(kind)?;
    driver.go(&format!("http://{}/?token={}", page.address, page.token));
    eventually("the token has left the address", SOON, || {
        let url = driver.url();
        (url == format!("http://{}/", page.address))
            .then_some(())
            .ok_or(url)
    });
    Some(driver)
}

/// Waits until a selector finds so many.
#[track_caller]
fn wait(driver: &Driver, selector: &str, count: usize) {
    eventually(selector, SOON, || {
        let found = driver.count(selector);
        (found == count)
            .then_some(())
            .ok_or_else(|| found.to_string())
    });
}

/// Acts with a form: what it is about, to its row in the log.
fn act(driver: &Driver, world: &World, page: &Browser) {
    let at = |path: &str| driver.go(&format!("http://{}{path}", page.address));
    at("/webhooks/good");
    driver.click("form[action='/webhooks/good/test'] button");
    wait(driver, "[role=status]", 1);
    assert!(driver.text("main").contains("good: delivered 200"));
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE origin = 'test'"),
        1
    );
    at("/webhooks/bad");
    driver.enter("form[action='/webhooks/bad/pause'] input", "2h");
    driver.click("form[action='/webhooks/bad/pause'] button");
    wait(driver, "[role=status]", 1);
    assert_eq!(world.number("SELECT count(*) FROM pause"), 1);
    at("/webhooks/bad");
    driver.click("form[action='/webhooks/bad/resume'] button");
    wait(driver, "[role=status]", 1);
    assert_eq!(world.number("SELECT count(*) FROM pause"), 0);
    let id = delivery(world, "bad");
    at(&format!("/deliveries/{id}"));
    driver.click(&format!("form[action='/deliveries/{id}/redeliver'] button"));
    wait(driver, "[role=status]", 1);
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'bad'", 2, SOON);
    at("/");
    driver.click("form[action='/reload'] button");
    wait(driver, "[role=status]", 1);
    assert!(driver.text("main").contains("2 webhooks"));
    at("/log");
    driver.enter("input[type=search]", "webhook:bad\u{e007}");
    wait(driver, "tbody tr", 2);
    assert!(
        driver.url().ends_with("/log?q=webhook%3Abad"),
        "{}",
        driver.url()
    );
}

#[test]
fn each_action_reaches_its_row_in_the_log() {
    for scripts in [true, false] {
        let (world, daemon, _receivers) = one_of_each();
        let page = Browser::start(world.folder(), &[]);
        let kind = Kind { scripts, ..USUAL };
        let Some(driver) = let_in(&page, kind) else {
            return;
        };
        for path in screens(&world) {
            driver.go(&format!("http://{}{path}", page.address));
            assert_eq!(driver.count("main h1"), 1, "{path}");
            let enhanced = driver.count(".live button, button.copy");
            let wanted = scripts && driver.count("pre, table[data-live]") > 0;
            assert_eq!(enhanced > 0, wanted, "{path}");
        }
        act(&driver, &world, &page);
        let complaints = driver.complaints();
        // A status that is no success is told there too, and is the page's own.
        let odd = complaints
            .iter()
            .find(|c| !c.contains("Failed to load resource"));
        assert_eq!(odd, None);
        drop(driver);
        daemon.stop();
    }
}

#[test]
fn rows_come_live_are_paused_and_go_on() {
    let (world, daemon, _receivers) = one_of_each();
    let page = Browser::start(world.folder(), &[]);
    let Some(driver) = let_in(&page, USUAL) else {
        return;
    };
    driver.go(&format!("http://{}/log?q=webhook:good", page.address));
    eventually("live", SOON, || {
        let told = driver.text(".live [role=status]");
        told.starts_with("Live").then_some(()).ok_or(told)
    });
    wait(&driver, "tbody tr", 1);
    let begun = now();
    world.emit("story-live", "{}");
    wait(&driver, "tbody tr", 2);
    println!(
        "a row by SSE in a browser: {:?} after the event",
        begun.elapsed()
    );
    assert!(driver.text("tbody tr").contains("story-live"));
    driver.click(".live button");
    world.emit("story-paused", "{}");
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'good'", 3, SOON);
    assert_eq!(driver.count("tbody tr"), 2);
    driver.click(".live button");
    wait(&driver, "tbody tr", 3);
    // A page that is left has no stream, and has one again where it is gone back to.
    driver.run("window.kept = 1; location.assign('/')");
    eventually("the overview", SOON, || {
        let url = driver.url();
        url.ends_with("/").then_some(()).ok_or(url)
    });
    world.emit("story-away", "{}");
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'good'", 4, SOON);
    driver.run("history.back()");
    wait(&driver, "tbody tr", 4);
    drop(driver);
    daemon.stop();
}

#[test]
fn keys_lead_through_the_log() {
    let (world, daemon, _receivers) = one_of_each();
    let page = Browser::start(world.folder(), &[]);
    let Some(driver) = let_in(&page, USUAL) else {
        return;
    };
    driver.go(&format!("http://{}/log", page.address));
    wait(&driver, "tbody tr", 2);
    let focused = || {
        let script =
            "return document.activeElement.getAttribute('href') || document.activeElement.name";
        driver.run(script).as_str().unwrap_or_default().to_owned()
    };
    let [newer, older] = ["SELECT max(id) FROM log", "SELECT min(id) FROM log"].map(|sql| {
        let id = world.number(&format!("SELECT delivery_id FROM log WHERE id = ({sql})"));
        format!("/deliveries/{id}")
    });
    driver.press("j");
    assert_eq!(focused(), newer);
    driver.press("j");
    assert_eq!(focused(), older);
    driver.press("j");
    assert_eq!(focused(), older);
    driver.press("k");
    assert_eq!(focused(), newer);
    driver.press("?");
    wait(&driver, "dialog[open]", 1);
    assert!(driver.text("dialog").contains("the next row"));
    driver.press("\u{e00c}");
    wait(&driver, "dialog[open]", 0);
    driver.press("/");
    assert_eq!(focused(), "q");
    driver.press("jk?");
    assert_eq!(driver.run("return document.activeElement.value"), "jk?");
    driver.go(&format!("http://{}/log", page.address));
    driver.press("j\u{e007}");
    eventually("the delivery is open", SOON, || {
        let url = driver.url();
        url.ends_with(&newer).then_some(()).ok_or(url)
    });
    drop(driver);
    daemon.stop();
}

/// What is shown is no wider than its window, in the colours that were asked for, and without findings of axe-core.
fn is_read(driver: &Driver, path: &str, kind: Kind, axe: Option<&str>) {
    let Kind { dark, wide, .. } = kind;
    let over = driver
        .run("const page = document.documentElement; return page.scrollWidth - page.clientWidth");
    assert_eq!(over, 0, "{path} at {wide} is wider than its window");
    let paper = driver.run("return getComputedStyle(document.body).backgroundColor");
    let wanted = if dark {
        "rgb(20, 23, 28)"
    } else {
        "rgb(255, 255, 255)"
    };
    assert_eq!(paper, wanted, "{path}");
    let Some(axe) = axe else { return };
    driver.run(axe);
    let found = driver.run_async(
        "const done = arguments[0];
         axe.run().then((found) => done(found.violations.map((v) =>
           [v.impact, v.id, v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')].join(' '))))
           .catch((error) => done(['error ' + error]));",
    );
    let found = found.as_array().unwrap();
    let how = if dark { "dark" } else { "light" };
    println!("axe-core | {path} | {how} {wide} px | {} |", found.len());
    assert!(found.is_empty(), "{path} dark {dark} {wide}: {found:#?}");
}

/// The program that judges, where it is named.
fn axe() -> Option<String> {
    let axe = std::env::var_os(AXE).map(|file| std::fs::read_to_string(file).unwrap());
    if axe.is_none() {
        println!("SKIPPED: {AXE} names no axe.min.js, so axe-core judges nothing");
    }
    axe
}

/// Light and dark, wide and narrow.
const WAYS: [(bool, u32); 4] = [(false, 1280), (true, 1280), (false, 500), (true, 500)];

#[test]
fn it_is_read_on_a_phone_in_the_dark_and_by_who_does_not_see() {
    let (world, daemon, _receivers) = one_of_each();
    let page = Browser::start(world.folder(), &[]);
    let axe = axe();
    for (dark, wide) in WAYS {
        let kind = Kind {
            dark,
            wide,
            ..USUAL
        };
        let Some(driver) = let_in(&page, kind) else {
            return;
        };
        for path in screens(&world).into_iter().chain([REFUSED.to_owned()]) {
            let file = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
            if path == REFUSED {
                let line = "a line that is wider than a telephone ".repeat(9);
                world.write("webhooks.toml", format!("[outbox]\npath = 7 # {line}\n"));
                world.command(&["reload"]).expect(2);
            }
            driver.go(&format!("http://{}{path}", page.address));
            world.write("webhooks.toml", file);
            is_read(&driver, &path, kind, axe.as_deref());
        }
    }
    daemon.stop();
}

#[test]
fn nodes_are_read_on_a_phone_in_the_dark_too() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = crate::support::Receiver::ok();
    let world = super::nodes::shared(&database, &receiver);
    let one = world.start_with(&["--node", "one"]);
    let two = super::nodes::second(&world);
    super::nodes::shared_out(&database);
    let page = Browser::start(world.folder(), &[]);
    let axe = axe();
    for (dark, wide) in WAYS {
        let kind = Kind {
            dark,
            wide,
            ..USUAL
        };
        let Some(driver) = let_in(&page, kind) else {
            return;
        };
        for path in ["/?nodes", "/webhooks/good?nodes"] {
            driver.go(&format!("http://{}{path}", page.address));
            is_read(&driver, path, kind, axe.as_deref());
        }
    }
    two.stop();
    one.stop();
}
