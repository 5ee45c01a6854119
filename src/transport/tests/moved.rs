//! Names that move, vanish or have several addresses, with a scripted system behind them.

use std::io;

use parking_lot::Mutex;
use tokio::net::TcpSocket;

use super::super::failure::AttemptError;
use super::super::look_up::LookUpError;
use super::super::resolve::{Current, Resolver};
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What the system says of every name.
#[derive(Clone)]
enum Says {
    Addresses(Vec<SocketAddr>),
    NoSuchName,
    Down,
}

fn at(hosts: &[&str]) -> Says {
    Says::Addresses(hosts.iter().map(|host| address(host, 0)).collect())
}

fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

/// The system, and how often it was asked.
#[derive(Clone)]
struct System(Arc<Mutex<(Says, usize)>>);

impl System {
    fn new(says: Says) -> Self {
        Self(Arc::new(Mutex::new((says, 0))))
    }

    fn now_says(&self, says: Says) {
        self.0.lock().0 = says;
    }

    fn resolver(&self) -> Resolver {
        let system = Arc::clone(&self.0);
        let look_up = move |_: &str| {
            let mut system = system.lock();
            system.1 += 1;
            match system.0.clone() {
                Says::Addresses(addresses) => Ok(addresses),
                Says::NoSuchName => Err(LookUpError {
                    error: io::Error::other("no such name"),
                    no_such_name: true,
                }),
                Says::Down => Err(io::Error::other("the server is down").into()),
            }
        };
        Resolver::new(Clock::system(), Box::new(look_up))
    }
}

/// Lets that time pass, while nothing is done. The resolver's threads don't hear of it: what they find
/// is old at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Waits until what is known of the name is as it should be.
async fn known(resolver: &Resolver, name: &str, right: impl Fn(&Current) -> bool) {
    let wait = async {
        while !right(&resolver.current(name)) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(SOON, wait).await;
    assert!(waited.is_ok(), "{:?}", resolver.current(name));
}

fn is(host: &'static str) -> impl Fn(&Current) -> bool {
    move |current| matches!(current, Current::Addresses(all) if all[..] == [address(host, 0)])
}

#[tokio::test]
async fn what_is_known_is_said_at_once_and_renewed_meanwhile() {
    let system = System::new(at(&["127.0.0.1"]));
    let resolver = system.resolver();
    assert_eq!(resolver.current("h"), Current::Unknown);
    assert_eq!(system.0.lock().1, 0, "nobody wants to connect");
    resolver.resolve("h").await.unwrap();
    system.now_says(at(&["127.0.0.2"]));
    pass(Duration::from_secs(31)).await;
    assert!(is("127.0.0.1")(&resolver.current("h")));
    known(&resolver, "h", is("127.0.0.2")).await;
}

#[tokio::test]
async fn only_a_failure_falls_back_on_an_old_address() {
    let system = System::new(at(&["127.0.0.1"]));
    let resolver = system.resolver();
    resolver.resolve("h").await.unwrap();
    pass(Duration::from_secs(31)).await;
    system.now_says(Says::Down);
    assert_eq!(
        resolver.resolve("h").await.unwrap()[..],
        [address("127.0.0.1", 0)]
    );
    for gone in [Says::NoSuchName, at(&[])] {
        system.now_says(gone);
        pass(Duration::from_secs(31)).await;
        // Who asks while the system is slow to answer still gets the old one.
        drop(resolver.resolve("h").await);
        known(&resolver, "h", |now| *now == Current::NoSuchName).await;
        let Err(AttemptError::Endpoint(failure)) = resolver.resolve("h").await else {
            panic!("the old address was used");
        };
        assert_eq!(failure.class, Class::Name);
        assert_eq!(resolver.current("h"), Current::NoSuchName);
        // A failure afterwards does not bring it back.
        system.now_says(Says::Down);
        assert!(resolver.resolve("h").await.is_err());
        system.now_says(at(&["127.0.0.1"]));
        resolver.resolve("h").await.unwrap();
    }
}

/// Sockets that are bound to these addresses at one port, which is free at all of them.
fn bound<const N: usize>(hosts: [&str; N]) -> [TcpSocket; N] {
    for _ in 0..100 {
        let any = std::net::TcpListener::bind(address("127.0.0.9", 0)).unwrap();
        let port = any.local_addr().unwrap().port();
        let sockets = hosts.map(|host| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(address(host, port)).ok()?;
            Some(socket)
        });
        if sockets.iter().all(Option::is_some) {
            return sockets.map(Option::unwrap);
        }
    }
    panic!("no port is free");
}

/// An endpoint that answers all.
fn listen(socket: TcpSocket) -> SocketAddr {
    let listener = socket.listen(16).unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while !read_request(&mut stream).await.is_empty() {
                    stream.write_all(OK).await.unwrap();
                }
            });
        }
    });
    at
}

/// A client, and an endpoint that keeps its connections to a name.
fn named(client: &Client, port: u16) -> Endpoint {
    let mut webhook = webhook(&format!("http://moving.example:{port}/"));
    webhook.keep_alive = true;
    client.endpoint(&webhook).unwrap()
}

#[tokio::test]
async fn a_kept_connection_is_left_where_the_name_has_moved() {
    for swept in [false, true] {
        let [old, new] = bound(["127.0.0.1", "127.0.0.2"]).map(listen);
        let system = System::new(at(&["127.0.0.1"]));
        let resolver = system.resolver();
        let client = client().with_resolver(resolver.clone());
        let to = named(&client, old.port());
        assert_eq!(send(&client, &to).await.peer, Some(old));
        assert_eq!(to.sweep_idle(), 1);
        system.now_says(at(&["127.0.0.2"]));
        pass(Duration::from_secs(31)).await;
        // The first to look has it asked for, and waits for nothing.
        if swept {
            assert_eq!(to.sweep_idle(), 1);
        } else {
            assert_eq!(send(&client, &to).await.peer, Some(old));
        }
        known(&resolver, "moving.example", is("127.0.0.2")).await;
        pass(Duration::from_millis(1_100)).await;
        if swept {
            assert_eq!(to.sweep_idle(), 0);
        }
        let exchange = send(&client, &to).await;
        assert_eq!((exchange.peer, exchange.note), (Some(new), None));
        assert_eq!(to.sweep_idle(), 1, "the new one is kept");
    }
}

#[tokio::test]
async fn a_kept_connection_is_left_where_there_is_no_such_name_and_not_where_nobody_says() {
    let [old] = bound(["127.0.0.1"]).map(listen);
    let system = System::new(at(&["127.0.0.1"]));
    let resolver = system.resolver();
    let client = client().with_resolver(resolver.clone());
    let to = named(&client, old.port());
    answer(send(&client, &to).await);
    for (says, is_kept) in [(Says::Down, true), (Says::NoSuchName, false)] {
        system.now_says(says);
        let asked = system.0.lock().1;
        pass(Duration::from_secs(31)).await;
        to.sweep_idle();
        let wait = async {
            while system.0.lock().1 == asked {
                // One that was under way may have been asked for before.
                resolver.current("moving.example");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap();
        if !is_kept {
            let is_gone = |now: &Current| *now == Current::NoSuchName;
            known(&resolver, "moving.example", is_gone).await;
        }
        pass(Duration::from_millis(1_100)).await;
        assert_eq!(to.sweep_idle(), usize::from(is_kept));
        if is_kept {
            assert_eq!(send(&client, &to).await.phases.connect_us, None);
        }
    }
    assert_eq!(failed(send(&client, &to).await).0, Class::Name);
}

#[tokio::test]
async fn the_address_that_answered_is_tried_first() {
    let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    // The first refuses connections; the second takes them and says nothing.
    let [refusing, silent, good] = bound(hosts);
    let (silent, good) = (silent.listen(16).unwrap(), listen(good));
    let system = System::new(at(&hosts));
    let resolver = system.resolver();
    let client = hasty().with_resolver(resolver.clone());
    let url = format!("http://many.example:{}/", good.port());
    let to = client.endpoint(&webhook(&url)).unwrap();
    let order = async || {
        let all = resolver.resolve("many.example").await.unwrap();
        all.iter()
            .map(|one| one.ip().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(order().await, hosts);
    assert_eq!(failed(send(&client, &to).await).0, Class::ResponseTimeout);
    assert_eq!(order().await, ["127.0.0.1", "127.0.0.3", "127.0.0.2"]);
    assert_eq!(send(&client, &to).await.peer, Some(good));
    assert_eq!(order().await, ["127.0.0.3", "127.0.0.1", "127.0.0.2"]);
    // Also where the name is looked up anew.
    pass(Duration::from_secs(31)).await;
    assert_eq!(order().await, ["127.0.0.3", "127.0.0.1", "127.0.0.2"]);
    let anew = async {
        while system.0.lock().1 < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, anew).await.unwrap();
    assert_eq!(order().await, ["127.0.0.3", "127.0.0.1", "127.0.0.2"]);
    drop((refusing, silent));
}
