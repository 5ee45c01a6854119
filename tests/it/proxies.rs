//! Proxies: whose fault a failure is, what it does to a batch and to a webhook that pauses itself, and what the log has.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::socket::SECTION;
use crate::support::{
    Answer, Receiver, SOON, World, check, eventually, hook, nap, need, own_address,
};

fn delivery(proxy: &str) -> String {
    format!("[delivery]\nproxy = \"{proxy}\"\nproxy_secret_file = \"proxy.key\"")
}

/// What the log has, but for what differs from run to run.
fn rows(world: &World, columns: &str) -> Vec<Vec<String>> {
    world.log(&format!("SELECT {columns} FROM log ORDER BY id"))
}

#[test]
fn a_proxy_that_refuses_splits_no_batch_and_its_password_is_in_no_row() {
    let refusing = Receiver::start(|_| {
        Answer::with_body(404, "X-Squid-Error: ERR_DNS_FAIL 0\r\n", b"squid's page")
    });
    let proxy = format!("http://127.0.0.1:{}", refusing.port());
    let lift = |name| {
        hook(name, "http://inside.invalid/hook")
            .dialect("openboxes-lift")
            .line("batch = { max_events = 10 }")
    };
    let world = World::new(&[]);
    world.write("proxy.key", "kept:close-by\n");
    let direct = Receiver::ok();
    let hooks = [
        lift("through"),
        hook("direct", direct.url("/")).line("proxy = \"\""),
    ];
    world.configure_with(&delivery(&proxy), &hooks);
    let daemon = world.start();
    let outbox = world.outbox();
    let insert = "INSERT INTO outbox (event, data) VALUES ('e', '{}')";
    outbox
        .execute_batch(&format!("BEGIN; {insert}; {insert}; {insert}; COMMIT"))
        .unwrap();
    direct.wait(3, SOON);
    world.wait_number(
        "SELECT count(*) FROM log WHERE webhook = 'through'",
        3,
        SOON,
    );
    let words = format!(
        "the proxy 127.0.0.1:{} answered 404 itself, for inside.invalid:80",
        refusing.port()
    );
    let columns = "class, coalesce(status, 'NULL'), error, outcome";
    for row in world.log(&format!(
        "SELECT {columns} FROM log WHERE webhook = 'through'"
    )) {
        assert_eq!(row, ["proxy", "NULL", &words, "retry"]);
    }
    let request = &refusing.received()[0];
    assert_eq!(
        request.lines()[0],
        "POST http://inside.invalid/hook HTTP/1.1"
    );
    assert_eq!(
        request.header("Proxy-Authorization"),
        Some("Basic a2VwdDpjbG9zZS1ieQ==")
    );
    daemon.stop();
    let mut told = rows(&world, "request_headers").concat().concat();
    told.push_str(&daemon_text(&world));
    for secret in ["close-by", "a2VwdDpjbG9zZS1ieQ"] {
        assert!(!told.contains(secret), "{told}");
    }
}

fn daemon_text(world: &World) -> String {
    let journal = std::fs::read_to_string(world.path("journal-1")).unwrap();
    let checked = world.command(&["check"]);
    let logs = world.command(&["logs", "-v"]);
    [
        journal,
        checked.stdout,
        checked.stderr,
        logs.stdout,
        logs.stderr,
    ]
    .concat()
}

#[test]
fn a_webhook_does_not_pause_itself_for_its_proxy() {
    let proxy = Receiver::start(|_| Answer::with_body(407, "", b""));
    let world = World::new(&[]);
    let hooks = [
        hook("through", "http://inside.invalid/")
            .line(format!("proxy = \"http://127.0.0.1:{}\"", proxy.port()))
            .line("auto_pause = \"1s\""),
        hook("direct", proxy.url("/")).line("auto_pause = \"1s\""),
    ];
    world.configure(&hooks);
    let daemon = world.start();
    eventually("the one without a proxy pauses itself", SOON, || {
        world.emit("e", "{}");
        let paused = world.number("SELECT count(*) FROM pause WHERE webhook = 'direct'");
        check(paused == 1, || paused.to_string())
    });
    let failures = "SELECT count(*) FROM log WHERE webhook = 'through' AND class = 'proxy'";
    eventually("the other has failed as often", SOON, || {
        let failed = world.number(failures);
        check(failed >= 21, || failed.to_string())
    });
    assert_eq!(
        world.number("SELECT count(*) FROM pause WHERE webhook = 'through'"),
        0
    );
    daemon.stop();
}

#[test]
fn a_reload_brings_a_proxy_and_takes_it_away() {
    let (receiver, proxy) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[]);
    let hooks = [hook("w", receiver.url("/")).line("keep_alive = true")];
    world.configure(&hooks);
    let daemon = world.start();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    let line = format!("[delivery]\nproxy = \"http://127.0.0.1:{}\"", proxy.port());
    world.configure_with(&line, &hooks);
    daemon.reload();
    world.emit("e", "{}");
    proxy.wait(1, SOON);
    world.configure(&hooks);
    daemon.reload();
    world.emit("e", "{}");
    receiver.wait(2, SOON);
    assert_eq!(proxy.count(), 1);
    daemon.stop();
}

/// Opens tunnels, each a while after it was asked to.
fn slow_proxy(by: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = head.next().unwrap().unwrap();
                let there = TcpStream::connect(first.split(' ').nth(1).unwrap()).unwrap();
                for _ in head
                    .by_ref()
                    .take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty()))
                {}
                nap(by);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let (mut back, mut to) = (there.try_clone().unwrap(), stream.try_clone().unwrap());
                std::thread::spawn(move || drop(std::io::copy(&mut back, &mut to)));
                drop(std::io::copy(&mut stream, &mut &there));
                drop(there.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

#[test]
fn the_time_of_a_proxy_is_told_beside_that_of_the_connection() {
    let proxy = slow_proxy(Duration::from_millis(400));
    let authority = crate::support::Authority::new();
    let secure = Receiver::tls(authority.acceptor("127.0.0.1"));
    let plain = Receiver::ok();
    let world = World::new(&[]);
    world.write("ca.pem", authority.pem());
    let through = hook("through", format!("https://127.0.0.1:{}/", secure.port()))
        .line("ca_file = \"ca.pem\"")
        .line(format!("proxy = \"http://{proxy}\""));
    world.configure_with(SECTION, &[through, hook("direct", plain.url("/"))]);
    let daemon = world.start();
    world.emit("e", "{}");
    let sql = "SELECT count(*) FROM log WHERE outcome = 'delivered'";
    world.wait_number(sql, 2, SOON);
    let is_so = "SELECT count(*) FROM log WHERE
         webhook = 'through' AND proxy_ms >= 400 AND connect_ms < 400 AND tls_ms > 0 AND duration_ms > proxy_ms
      OR webhook = 'direct' AND proxy_ms IS NULL AND connect_ms IS NOT NULL";
    let all = "SELECT webhook, connect_ms, proxy_ms, tls_ms, duration_ms FROM log";
    assert_eq!(world.number(is_so), 2, "{:?}", world.log(all));
    let told = world.command(&["logs", "-v", "--webhook", "through"]);
    assert!(told.stdout.contains(", proxy 4"), "{}", told.stdout);
    let told = world.command(&["logs", "--json"]).stdout;
    assert!(
        told.contains("\"proxy_ms\":4") && told.contains("\"proxy_ms\":null"),
        "{told}"
    );
    let told = world.command(&["test", "through"]).expect(0).stdout;
    assert!(told.contains(", proxy 4"), "{told}");
    daemon.stop();
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serving(world: &World, program: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(world.folder());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn wait_for(address: SocketAddr) {
    eventually("the proxy listens", SOON, || {
        let connected = TcpStream::connect(address);
        check(connected.is_ok(), || format!("{connected:?}"))
    });
}

/// An endpoint that answers, and a name that is none, by http and https.
fn trial(world: &World, proxy: SocketAddr) {
    let receiver = Receiver::ok();
    let authority = crate::support::Authority::new();
    let secure = Receiver::tls(authority.acceptor("127.0.0.1"));
    world.write("ca.pem", authority.pem());
    let https = |name, url: &str| hook(name, url).one_attempt().line("ca_file = \"ca.pem\"");
    let hooks = [
        hook("plain", receiver.url("/")).one_attempt(),
        https("secure", &format!("https://127.0.0.1:{}/", secure.port())),
        hook("plain-nowhere", "http://nobody.invalid/").one_attempt(),
        https("secure-nowhere", "https://nobody.invalid/"),
    ];
    world.configure_with(&format!("[delivery]\nproxy = \"http://{proxy}\""), &hooks);
    let daemon = world.start();
    world.emit("e", "{}");
    world.wait_number("SELECT count(*) FROM log", 4, SOON);
    let columns = "webhook, outcome, coalesce(class, 'NULL'), coalesce(status, 'NULL'), coalesce(error, 'NULL')";
    for row in rows(world, columns) {
        println!("{row:?}");
        match &*row[0] {
            "plain" | "secure" => assert_eq!(row[1..4], ["delivered", "NULL", "200"], "{row:?}"),
            _ => {
                assert_eq!(row[1..4], ["failed", "proxy", "NULL"], "{row:?}");
                assert!(row[4].starts_with(&format!("the proxy {proxy}")), "{row:?}");
            }
        }
    }
    daemon.stop();
}

#[test]
fn tinyproxy_is_gone_through() {
    if !need("tinyproxy") {
        return;
    }
    let world = World::new(&[]);
    let proxy = own_address();
    world.write(
        "tinyproxy.conf",
        format!("Port {}\nListen {}\nTimeout 60\n", proxy.port(), proxy.ip()),
    );
    let _proxy = serving(&world, "tinyproxy", &["-d", "-c", "tinyproxy.conf"]);
    wait_for(proxy);
    trial(&world, proxy);
}
