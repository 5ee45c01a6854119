//! Live rows as a browser's `EventSource` asks for them, by plain requests.

use super::{Browser, delivery, one_of_each};
use crate::support::{Receiver, SOON, World, eventually, hook, now};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Streams at a time, as `src/page/live.rs` has it.
const STREAMS: usize = 128;

/// A stream of events that was begun.
struct Events {
    lines: std::io::Lines<BufReader<Box<dyn Read>>>,
    head: String,
}

/// One event: its kind, its id and its data.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Events {
    fn begin(mut stream: impl Read + Write + 'static, path: &str, headers: &[&str]) -> Self {
        let headers = headers.join("\r\n");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n");
        let request = request.replace("\r\n\r\n\r\n", "\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let stream: Box<dyn Read> = Box::new(stream);
        let mut lines = BufReader::new(stream).lines();
        let head = lines.by_ref().map(Result::unwrap);
        let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
        let head = head.join("\n").to_ascii_lowercase();
        Self { lines, head }
    }

    fn of(browser: &Browser, path: &str, more: &[&str]) -> Self {
        let stream = TcpStream::connect(browser.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let cookie = format!("Cookie: {}", browser.cookie);
        Self::begin(stream, path, &[&[&*cookie], more].concat())
    }

    fn is_open(&self) -> bool {
        self.head.starts_with("http/1.1 200")
    }

    /// The next event that says something; the sizes of chunks stand between their lines.
    #[track_caller]
    fn next(&mut self) -> Event {
        let mut event = Event::default();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            match line.split_once(": ") {
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => {
                    data.clone_into(&mut event.data);
                    return event;
                }
                _ => {}
            }
        }
        panic!("the stream has ended");
    }

    /// Whether it ends in time, after whatever is still in it.
    fn ends(mut self) -> bool {
        self.lines.all(|line| line.is_ok())
    }
}

/// So many events, each delivered to `good` before this returns.
fn emit(world: &World, name: &str, count: i64) {
    let sql = "SELECT count(*) FROM log WHERE webhook = 'good'";
    let before = world.number(sql);
    for _ in 0..count {
        world.emit(name, "{}");
    }
    world.wait_number(sql, before + count, SOON);
}

#[test]
fn a_row_comes_as_it_stands_on_the_page_and_a_stream_goes_on_where_it_was() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/log?q=webhook:good");
    assert!(
        page.contains("data-live=\"/live?q=webhook:good\" data-after=\"2\""),
        "{page}"
    );
    let mut events = Events::of(&browser, "/live?q=webhook:good&after=2", &[]);
    assert!(
        events.head.contains("content-type: text/event-stream"),
        "{}",
        events.head
    );
    assert!(
        events.head.contains("cache-control: no-store"),
        "{}",
        events.head
    );
    let begun = now();
    world.emit("story-live", "{}");
    let row = events.next();
    println!("a row by SSE: {:?} after its event", begun.elapsed());
    assert_eq!(row.kind, "row");
    assert!(
        row.data.starts_with("<tr>") && row.data.ends_with("</tr>"),
        "{row:?}"
    );
    assert!(row.data.contains("story-live") && !row.data.contains("webhook:bad"));
    emit(&world, "story-next", 1);
    assert!(
        browser.page("/log?q=webhook:good").contains(&row.data),
        "{row:?}"
    );
    // A browser that comes again says what it had.
    let again = format!("Last-Event-ID: {}", row.id);
    let mut events = Events::of(&browser, "/live?q=webhook:good&after=0", &[&again]);
    let next = events.next();
    assert!(next.data.contains("story-next"), "{next:?}");
    assert!(next.id.parse::<i64>().unwrap() > row.id.parse().unwrap());
    // One that was away for long has the newest of it, and is told.
    emit(&world, "story-away", 60);
    let mut events = Events::of(&browser, "/live?q=webhook:good", &[&again]);
    assert_eq!(events.next().kind, "gap");
    let all: Vec<Event> = (0..50).map(|_| events.next()).collect();
    assert!(all.iter().all(|event| event.data.contains("story-away")));
    assert!(all.is_sorted_by_key(|event| event.id.parse::<i64>().unwrap()));
    daemon.stop();
}

#[test]
fn no_other_page_and_nobody_outside_has_a_stream() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    browser.send("GET", "/live?q=", &[]).expect(403);
    browser
        .ask("/live?q=", &["Host: attacker.example"])
        .expect(403);
    for site in ["cross-site", "same-site"] {
        browser
            .ask("/live?q=", &[&format!("Sec-Fetch-Site: {site}")])
            .expect(403);
    }
    browser.ask("/live?q=nonsense", &[]).expect(400);
    browser.post("/live", "", &[]).expect(404);
    let id = delivery(&world, "good");
    let copy = Browser::start(world.folder(), &["--log", "log.db"]);
    copy.ask("/live?q=", &[]).expect(404);
    assert!(!copy.page("/log").contains("data-live"));
    copy.page(&format!("/deliveries/{id}"));
    daemon.stop();
}

#[test]
fn streams_have_a_limit_and_what_ends_makes_room() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let mut all: Vec<Events> = (0..STREAMS)
        .map(|_| Events::of(&browser, "/live?q=", &[]))
        .collect();
    assert!(all.iter().all(Events::is_open));
    let refused = browser.ask("/live?q=", &[]).expect(503);
    assert!(
        refused.body.contains("too many pages are live"),
        "{}",
        refused.body
    );
    // Pages are there all the same, and every stream has the row.
    emit(&world, "story-all", 1);
    browser.page("/log");
    assert!(
        all.iter_mut()
            .all(|events| events.next().data.contains("story-all"))
    );
    drop(all.split_off(STREAMS / 2));
    eventually("a place is free", SOON, || {
        let events = Events::of(&browser, "/live?q=", &[]);
        events.is_open().then_some(()).ok_or(events.head)
    });
    daemon.stop();
}

#[test]
fn the_daemons_own_streams_end_with_it_and_hold_up_nothing() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(crate::socket::SECTION, &[hook("good", receiver.url("/"))]);
    let daemon = world.start();
    let open = |headers: &[&str]| {
        let stream = UnixStream::connect(world.path("s.sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Events::begin(stream, "/live?q=", headers)
    };
    let mut all: Vec<Events> = (0..8).map(|_| open(&[])).collect();
    assert!(!open(&["Sec-Fetch-Site: cross-site"]).is_open());
    emit(&world, "story-live", 1);
    assert!(
        all.iter_mut()
            .all(|events| events.next().data.contains("story-live"))
    );
    let begun = now();
    daemon.stop();
    let took = begun.elapsed();
    assert!(took.as_secs() < 4, "the stop waited for streams: {took:?}");
    assert!(all.into_iter().all(Events::ends));
}
