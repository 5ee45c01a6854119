//! Crowds and bad manners: none of them costs a client at work more than noise.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::client::{Connection, stream};
use super::started;
use crate::support::{Answer, Receiver, World, nap, now};

/// Requests of the client at work.
const REQUESTS: usize = 300;

/// What a client at work may wait at the 99th percentile on a very busy machine. Without the limits it
/// waits for ever, or for the 10 s of a time-out.
const P99: Duration = Duration::from_secs(4);

/// The 99th percentile of single events on a connection each, as a short-lived program has it.
#[track_caller]
fn p99(world: &World) -> Duration {
    let mut spans: Vec<Duration> = (0..REQUESTS)
        .map(|n| {
            let begun = now();
            let event = format!(r#"{{"event":"worker","data":{{"n":{n}}}}}"#);
            assert!(
                Connection::new(world).event(&event).is_some(),
                "request {n}"
            );
            begun.elapsed()
        })
        .collect();
    spans.sort_unstable();
    spans[REQUESTS * 99 / 100]
}

#[test]
fn ten_thousand_idle_connections_cost_a_client_at_work_nothing() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let many = limit
        .current
        .map_or(10_000, |most| most.saturating_sub(500).min(10_000));
    let (world, daemon) = started("http://127.0.0.1:9/");
    let alone = p99(&world);
    let path = world.path("s.sock");
    let crowd = std::thread::spawn(move || {
        let connect = |_| UnixStream::connect(&path).unwrap();
        (0..many).map(connect).collect::<Vec<_>>()
    });
    let meanwhile = p99(&world);
    let crowd = crowd.join().unwrap();
    let among = p99(&world);
    println!("p99 alone {alone:?}, while {many} connect {meanwhile:?}, among them {among:?}");
    assert!(meanwhile < P99 && among < P99, "{meanwhile:?} {among:?}");
    drop(crowd);
    daemon.stop();
}

#[test]
fn a_client_of_a_byte_a_second_is_let_go_and_costs_nobody_anything() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let starts = [
        b"POST /events HTTP/1.1\r\nX-Slow: ".to_vec(),
        b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".to_vec(),
        b"{\"event\":\"".to_vec(),
    ];
    let slow: Vec<_> = starts
        .into_iter()
        .map(|start| {
            // Before it is accepted, from when it has its time.
            let begun = now();
            let mut stream = stream(&world);
            std::thread::spawn(move || {
                stream.write_all(&start).unwrap();
                while stream.write_all(b"a").is_ok() {
                    assert!(begun.elapsed() < Duration::from_secs(30), "still there");
                    nap(Duration::from_secs(1));
                }
                begun.elapsed()
            })
        })
        .collect();
    let meanwhile = p99(&world);
    assert!(meanwhile < P99, "{meanwhile:?}");
    for slow in slow {
        let lasted = slow.join().unwrap();
        assert!(lasted >= Duration::from_secs(9), "too hasty: {lasted:?}");
    }
    daemon.stop();
}

#[test]
fn nonsense_by_the_megabyte_costs_a_client_at_work_nothing() {
    const LENGTH: usize = 64 << 20;
    let (world, daemon) = started("http://127.0.0.1:9/");
    let head =
        format!("POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LENGTH}\r\n\r\n");
    // Raw bytes; one endless line; a body of nonsense; a body of brackets; an endless head.
    let starts = ["\u{1}", "{", &head, &head, "GET / HTTP/1.1\r\nX: "];
    let fills = [0x9b, b'x', 0xff, b'[', b'y'];
    let fools: Vec<_> = starts
        .iter()
        .zip(fills)
        .map(|(start, fill)| {
            let (mut stream, start) = (stream(&world), start.as_bytes().to_vec());
            std::thread::spawn(move || {
                let chunk = vec![fill; 1 << 20];
                let mut sent = stream.write_all(&start).is_ok();
                for _ in 0..LENGTH >> 20 {
                    sent = sent && stream.write_all(&chunk).is_ok();
                }
                drop(stream.shutdown(std::net::Shutdown::Write));
                let mut answer = Vec::new();
                drop(stream.read_to_end(&mut answer));
                String::from_utf8_lossy(&answer).into_owned()
            })
        })
        .collect();
    let meanwhile = p99(&world);
    println!("p99 beside five times 64 MiB of nonsense: {meanwhile:?}");
    let answers: Vec<String> = fools.into_iter().map(|fool| fool.join().unwrap()).collect();
    for body in &answers[2..4] {
        assert!(body.starts_with("HTTP/1.1 400"), "{answers:?}");
    }
    assert!(meanwhile < P99, "{meanwhile:?}");
    let peak_kib = daemon.memory_kib("VmHWM");
    println!("peak memory {} MiB", peak_kib >> 10);
    assert!(peak_kib < 700 << 10, "{peak_kib} KiB");
    daemon.stop();
}

#[test]
fn orders_that_take_long_leave_room_for_events() {
    let receiver = Receiver::start(|_| Answer::Silence);
    let (world, daemon) = started(&receiver.url("/"));
    let order = b"POST /webhooks/w/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut clients: Vec<_> = (0..600).map(|_| stream(&world)).collect();
    for client in &mut clients {
        drop(client.write_all(order));
    }
    let meanwhile = p99(&world);
    println!("p99 beside 600 orders that take long: {meanwhile:?}");
    assert!(meanwhile < P99, "{meanwhile:?}");
    let mut refused = 0;
    for client in &mut clients {
        client.set_nonblocking(true).unwrap();
        let mut answer = [0; 12];
        if client.read(&mut answer).is_ok() && answer.ends_with(b"503") {
            refused += 1;
        }
    }
    assert!(refused > 0, "none was told to come again");
    daemon.kill();
}
