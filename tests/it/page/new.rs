//! A webhook that is to be: its part of the file, checked, and what it would have got.

use super::browser::{Browser, links};
use super::one_of_each;

#[test]
fn a_form_answers_with_the_part_of_the_file_and_what_it_would_get() {
    let (world, daemon, _receivers) = one_of_each();
    world.emit("story-delete", r#"{"id":8,"kind":"<b>"}"#);
    world.wait_number("SELECT count(*) FROM log", 4, crate::support::SOON);
    let browser = Browser::start(world.folder(), &[]);
    let before = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let page = browser.page("/new");
    for told in [
        "story-approve</code> (1)",
        "story-delete</code> (1)",
        "&lt;b&gt;",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let page = browser.page(
        "/new?name=third&url=https://h.example/in&events=story-*&dialect=bold-factory&secret_file=&path=$.id&word=gt&value=7",
    );
    let (_, stanza) = page.split_once("[[webhook]]").unwrap();
    let stanza = format!("[[webhook]]{}", stanza.split("</pre>").next().unwrap());
    let stanza = stanza.replace("&quot;", "\"").replace("&gt;", ">");
    assert!(page.contains("The check has no errors."), "{page}");
    assert!(
        page.contains("Of the last 2 events it would get <strong>1</strong>"),
        "{page}"
    );
    assert!(page.contains("do not pass rule 1, $.id gt 7"), "{page}");
    assert_eq!(
        std::fs::read_to_string(world.path("webhooks.toml")).unwrap(),
        before
    );
    world.write("webhooks.toml", format!("{before}\n{stanza}"));
    world.command(&["check"]).expect(0);
    // Of a webhook that is in the file.
    let path = links(&browser.page("/webhooks/good"), "/webhooks/good/match");
    let page = browser.page(&path[0]);
    assert!(
        page.contains("Of the last 2 events it would get <strong>2</strong>"),
        "{page}"
    );
    let page = browser.page("/webhooks/third/match");
    assert!(page.contains("match, and were not sent"), "{page}");
    browser.ask("/webhooks/nobody/match", &[]).expect(404);
    daemon.stop();
}

#[test]
fn an_edit_of_the_file_is_seen_at_once_also_one_of_the_same_length_and_time() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let path = world.path("webhooks.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, bad) = text.split_once("name = \"bad\"").unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let would_get = |count: i64| format!("it would get <strong>{count}</strong>");
    for count in [1, 0, 1] {
        let events = if count == 1 { "[\"*\"]" } else { "[\"x\"]" };
        world.write(
            "webhooks.toml",
            format!("{}name = \"bad\"{bad}", before.replace("[\"*\"]", events)),
        );
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        for _ in 0..2 {
            let page = browser.page("/webhooks/good/match");
            assert!(page.contains(&would_get(count)), "{page}");
        }
    }
    world.write("webhooks.toml", format!("{text}\nx = "));
    for _ in 0..2 {
        let wrong = browser.ask("/webhooks/good/match", &[]).expect(503).body;
        assert!(wrong.contains("webhooks.toml:"), "{wrong}");
    }
    daemon.stop();
}

#[test]
fn no_more_events_are_judged_than_it_says_whatever_time_they_carry() {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    let mut outbox = world.outbox();
    let all = outbox.transaction().unwrap();
    // The last 10,000 begin with one of long ago.
    for n in 1..=10_100 {
        let sql = if n == 101 {
            "INSERT INTO outbox (event, data, time) VALUES ('e', '{}', 1000)"
        } else {
            "INSERT INTO outbox (event, data) VALUES ('e', '{}')"
        };
        all.execute(sql, []).unwrap();
    }
    all.commit().unwrap();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/webhooks/good/match");
    assert!(page.contains("Of the last 10000 events"), "{page}");
}

#[test]
fn nobody_learns_which_files_there_are() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    world.write("empty.key", "");
    world.write("good.key", "a key of a length");
    let answer = |file: &str| {
        let page = browser.page(&format!(
            "/new?name=third&url=https://h.example/&events=*&secret_file={file}"
        ));
        assert!(page.contains("The check has no errors."), "{page}");
        page.replace(file, "FILE")
    };
    let first = answer("gone.key");
    for file in ["empty.key", "good.key", "/etc/hostname", "/etc", "../x/y"] {
        assert_eq!(answer(file), first, "{file}");
    }
    daemon.stop();
}

#[test]
fn errors_stand_beside_what_was_typed_and_nothing_of_it_is_obeyed() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let lines = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let first = lines.matches('\n').count() + 3;
    let page = browser.page("/new?name=good&url=ftp://h&events=&secret_file=gone.key");
    for told in [
        &*format!("webhooks.toml:{}:", first + 1),
        &*format!("webhooks.toml:{}:", first + 2),
        "url = ",
        "gone.key",
        "Not looked at were the files with secrets, databases and ports",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("The check has no errors."), "{page}");
    let page = browser.page(
        "/new?name=%3Cscript%3E%22%0A%5Bsocket%5D&url=%E2%80%AE%1B&path=%3C/pre%3E&value=%3Cimg",
    );
    let page = page.replacen("<script src=\"/page.js\" defer></script>", "", 1);
    for raw in ["<script", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(raw), "{raw}: {page}");
    }
    assert!(
        page.contains("name = &quot;&lt;script&gt;\\&quot;"),
        "{page}"
    );
    // What the file has against itself is told, and not whose fault it is.
    world.write(
        "webhooks.toml",
        lines.replace("[log]", "[log]\nkep_days = 7"),
    );
    let page = browser.page("/new?name=third&url=https://h.example/&events=*");
    assert!(page.contains("The file itself has errors (1)"), "{page}");
    daemon.stop();
    let copy = Browser::start(world.folder(), &["--log", "log.db"]);
    copy.ask("/new", &[]).expect(404);
    copy.ask("/webhooks/good/match", &[]).expect(404);
}
