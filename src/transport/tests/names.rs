//! The resolver, with a scripted system behind it.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use super::super::failure::AttemptError;
use super::super::look_up::LookUpError;
use super::super::resolve::Resolver;
use super::*;

/// The system itself.
#[tokio::test]
async fn an_interface_that_is_not_there_is_named() {
    let client = client();
    let to = client
        .endpoint(&webhook("http://[fe80::1%25no-such-nic]/"))
        .unwrap();
    let (class, text) = failed(send(&client, &to).await);
    let words = "this machine has no interface \"no-such-nic\" to reach fe80::1 by";
    assert_eq!((class, text.as_str()), (Class::Name, words));
}

const HOME: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A system whose look-ups of names that start with `slow` hang until the gate opens.
#[derive(Default)]
struct System {
    asked: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
    down: AtomicBool,
    gate: Mutex<bool>,
    opened: Condvar,
}

impl System {
    fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, LookUpError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if name.starts_with("slow") {
            let mut gate = self.gate.lock();
            self.opened.wait_while(&mut gate, |open| !*open);
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        assert!(!name.starts_with("panic"), "on purpose");
        if self.down.load(Ordering::SeqCst) {
            return Err(io::Error::other("the server is down").into());
        }
        Ok(vec![HOME])
    }

    fn open(&self) {
        *self.gate.lock() = true;
        self.opened.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A resolver whose clock is moved by hand, for nothing in it but `PATIENCE` waits for a timer.
fn resolver() -> (Arc<System>, Arc<Resolver>) {
    let system = Arc::new(System::default());
    let asked = Arc::clone(&system);
    let look_up = Box::new(move |name: &str| asked.look_up(name));
    (system, Arc::new(Resolver::new(Clock::system(), look_up)))
}

/// Waits for a look-up's thread. Bounded by turns, for a paused clock bounds nothing.
async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..5_000_000 {
        if condition() {
            return;
        }
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
    panic!("it never came true");
}

#[tokio::test]
async fn one_look_up_serves_all_who_ask_and_those_who_come_later() {
    let (system, resolver) = resolver();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let resolver = Arc::clone(&resolver);
        all.spawn(async move { resolver.resolve("slow.example").await.unwrap()[0] });
    }
    wait_for(|| system.asked() == 1).await;
    system.open();
    while let Some(address) = all.join_next().await {
        assert_eq!(address.unwrap(), HOME);
    }
    resolver.resolve("slow.example").await.unwrap();
    assert_eq!(system.asked(), 1);
}

#[tokio::test]
async fn hanging_look_ups_are_bounded_and_hold_up_no_cached_name() {
    let (system, resolver) = resolver();
    resolver.resolve("known").await.unwrap();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..40 {
        let resolver = Arc::clone(&resolver);
        all.spawn(async move { resolver.resolve(&format!("slow{n}")).await.unwrap().len() });
    }
    wait_for(|| system.under_way.load(Ordering::SeqCst) == 16).await;
    resolver.resolve("known").await.unwrap();
    assert_eq!(system.asked(), 17);
    system.open();
    while all.join_next().await.is_some() {}
    assert_eq!(system.most.load(Ordering::SeqCst), 16);
    assert_eq!(system.asked(), 41);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_looked_up() {
    let (system, resolver) = resolver();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..20 {
        let resolver = Arc::clone(&resolver);
        all.spawn(async move { resolver.resolve(&format!("slow{n}")).await.map(drop) });
    }
    wait_for(|| system.under_way.load(Ordering::SeqCst) == 16 && resolver.names() == 20).await;
    all.shutdown().await;
    system.open();
    wait_for(|| system.under_way.load(Ordering::SeqCst) == 0 && resolver.names() == 16).await;
    assert_eq!(system.asked(), 16);
}

#[tokio::test]
async fn a_failure_is_not_kept_and_says_why() {
    let (system, resolver) = resolver();
    system.down.store(true, Ordering::SeqCst);
    let Err(AttemptError::Endpoint(failure)) = resolver.resolve("h.example").await else {
        panic!("resolved");
    };
    assert_eq!(failure.class, Class::Name);
    assert_eq!(
        failure.text,
        "the name \"h.example\" does not resolve: the server is down"
    );
    system.down.store(false, Ordering::SeqCst);
    resolver.resolve("h.example").await.unwrap();
    assert_eq!(system.asked(), 2);
}

#[tokio::test]
async fn a_look_up_that_panics_is_a_fault_and_costs_no_thread() {
    let (system, resolver) = resolver();
    // More than there are threads.
    for n in 0..20 {
        let asked = resolver.resolve("panic.example");
        let Ok(answer) = tokio::time::timeout(Duration::from_secs(10), asked).await else {
            panic!("nobody asks any more, after {n}");
        };
        let Err(AttemptError::Local(Fault(text))) = answer else {
            panic!("resolved");
        };
        assert!(text.contains("panicked"), "{text}");
    }
    resolver.resolve("h.example").await.unwrap();
    assert_eq!(system.asked(), 21);
    assert_eq!(resolver.names(), 1);
}

/// Time is paused here: there is no socket, and the look-ups of these names take none.
#[tokio::test(start_paused = true)]
async fn an_old_answer_serves_where_asking_again_fails() {
    let (system, resolver) = resolver();
    resolver.resolve("h.example").await.unwrap();
    tokio::time::advance(Duration::from_secs(29)).await;
    resolver.resolve("h.example").await.unwrap();
    assert_eq!(system.asked(), 1, "it was fresh");
    system.down.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(resolver.resolve("h.example").await.unwrap()[0], HOME);
    wait_for(|| system.asked() == 2).await;
    tokio::time::advance(Duration::from_secs(25 * 60 * 60)).await;
    assert!(
        resolver.resolve("h.example").await.is_err(),
        "it was too old"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_serves_where_asking_again_hangs() {
    let (system, resolver) = resolver();
    system.open();
    resolver.resolve("slow.example").await.unwrap();
    *system.gate.lock() = false;
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        let begun = tokio::time::Instant::now();
        assert_eq!(resolver.resolve("slow.example").await.unwrap()[0], HOME);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    wait_for(|| system.under_way.load(Ordering::SeqCst) == 1).await;
    assert_eq!(system.asked(), 2, "it still hangs");
    system.open();
}

#[tokio::test]
async fn the_names_that_are_kept_are_bounded() {
    let (_, resolver) = resolver();
    for n in 0..1100 {
        resolver.resolve(&format!("h{n}")).await.unwrap();
    }
    assert_eq!(resolver.names(), 1024);
}

#[tokio::test]
async fn a_name_is_resolved_once_for_many_requests() {
    let (system, _) = resolver();
    let asked = Arc::clone(&system);
    let look_up = Box::new(move |name: &str| asked.look_up(name));
    let client = client().with_resolver(Resolver::new(Clock::system(), look_up));
    let address = says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let url = format!("http://h.example:{}/", address.port());
    let to = client.endpoint(&webhook(&url)).unwrap();
    let mut peers = HashSet::new();
    for _ in 0..3 {
        let exchange = send(&client, &to).await;
        assert!(exchange.phases.name_us.is_some());
        peers.insert(exchange.peer.unwrap());
        answer(exchange);
    }
    assert_eq!(system.asked(), 1);
    assert_eq!(peers, HashSet::from([address]));
}
