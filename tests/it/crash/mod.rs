//! Kill -9 at random moments under load: nothing committed is lost, duplicates are what was in flight.
//!
//! The promise is at least once, with the same bytes. Beyond that: an event that was answered with
//! success is sent again only where a kill lies between, and never once the log has it as delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Answer, Chance, Received, Receiver, World, hook, insert, nap, now};

const KILLS: usize = 24;

/// When a test first saw that the log of a dead daemon has an event as delivered to a webhook.
type Recorded = BTreeMap<(String, i64), Instant>;

/// The daemon was just killed: notes what its log has as delivered. Events are numbered by ids.
fn note(world: &World, recorded: &mut Recorded) {
    let at = now();
    for row in world.log("SELECT webhook, event_id FROM delivery WHERE state = 'delivered'") {
        let n = row[1].parse::<i64>().unwrap() - 1;
        recorded.entry((row[0].clone(), n)).or_insert(at);
    }
}

/// Inserts events in transactions of a few until told to stop; the names by their `n`.
fn load(world: &World, stop: &Arc<AtomicBool>, mut chance: Chance) -> Load {
    let outbox = world.outbox();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut names = BTreeMap::new();
        while !stop.load(Ordering::SeqCst) {
            let transaction = outbox.unchecked_transaction().unwrap();
            for _ in 0..=chance.below(5) {
                let n = i64::try_from(names.len()).unwrap();
                let name = ["stock.moved", "order.placed"][usize::from(chance.below(2) == 0)];
                insert(&transaction, name, &format!("{{\"n\":{n}}}"));
                names.insert(n, name);
            }
            transaction.commit().unwrap();
            nap(Duration::from_millis(20 + chance.below(40)));
        }
        names
    })
}

type Load = std::thread::JoinHandle<BTreeMap<i64, &'static str>>;

/// Fails the first request of every ninth event, and takes its time for the others.
fn failing_some_first() -> Receiver {
    let failed = Mutex::new(BTreeSet::new());
    Receiver::start(move |request| {
        let n = request.n();
        if n % 9 == 0 && failed.lock().unwrap().insert(n) {
            return Answer::status(500);
        }
        slow(request)
    })
}

fn slow(request: &Received) -> Answer {
    let ms = request.n().unsigned_abs() * 7_919 % 40;
    Answer::status(200).after(Duration::from_millis(ms))
}

/// Holds what was promised for one webhook: each event came, always with the same body, and again
/// after a success only where a kill lies between. Returns how many came again so.
fn reconcile(
    name: &str,
    receiver: &Receiver,
    wanted: &BTreeSet<i64>,
    (kills, recorded): (&[Instant], &Recorded),
    failed_first: impl Fn(i64) -> bool,
) -> usize {
    let mut by_event: BTreeMap<i64, Vec<Received>> = BTreeMap::new();
    for request in receiver.received() {
        by_event.entry(request.n()).or_default().push(request);
    }
    let came: BTreeSet<i64> = by_event.keys().copied().collect();
    let lost: Vec<_> = wanted.difference(&came).collect();
    assert!(lost.is_empty(), "{name} never got {lost:?}");
    assert_eq!(came, *wanted, "{name} got what it does not want");
    let mut doubled = 0;
    for (n, requests) in by_event {
        let same = requests.iter().all(|r| r.body == requests[0].body);
        assert!(same, "{name}: event {n} changed its bytes");
        if let Some(noted) = recorded.get(&(name.to_owned(), n)) {
            let after = requests.iter().any(|request| request.at > *noted);
            assert!(
                !after,
                "{name}: event {n} was sent again though the log had it as delivered"
            );
        }
        for (at, pair) in requests.windows(2).enumerate() {
            if at == 0 && failed_first(n) {
                continue;
            }
            doubled += 1;
            let between = |kill: &&Instant| pair[0].at < **kill && **kill < pair[1].at;
            assert!(
                kills.iter().any(|kill| between(&kill)),
                "{name}: event {n} was sent again without a kill between"
            );
        }
    }
    doubled
}

#[test]
fn kill_9_under_load_loses_nothing() {
    let mut chance = Chance::seeded();
    let plain = Receiver::start(slow);
    let failing = failing_some_first();
    let some = Receiver::start(slow);
    let world = World::new(&[
        hook("plain", plain.url("/")).secret("s"),
        hook("failing", failing.url("/")).dialect("bold-factory"),
        hook("some", some.url("/"))
            .dialect("openboxes-lift")
            .events("stock.*"),
    ]);
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&world, &stop, chance.fork());
    let mut kills = Vec::new();
    let mut recorded = Recorded::new();
    for _ in 0..KILLS {
        // Some kills come while it is still starting.
        let early = chance.below(4) == 0;
        let daemon = if early {
            world.spawn(&[])
        } else {
            world.start()
        };
        nap(Duration::from_millis(chance.below(500)));
        daemon.kill();
        kills.push(now());
        note(&world, &mut recorded);
    }
    stop.store(true, Ordering::SeqCst);
    let names = load.join().unwrap();
    let daemon = world.start();
    let all: BTreeSet<i64> = names.keys().copied().collect();
    let stock: BTreeSet<i64> = names
        .iter()
        .filter(|(_, name)| **name == "stock.moved")
        .map(|(n, _)| *n)
        .collect();
    let deliveries = i64::try_from(all.len() * 2 + stock.len()).unwrap();
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, deliveries, Duration::from_secs(40));
    assert_eq!(world.number("SELECT count(*) FROM delivery"), deliveries);
    let distinct = "SELECT count(DISTINCT webhook || ' ' || event_id) FROM delivery";
    assert_eq!(world.number(distinct), deliveries);
    let never = |_| false;
    let noted = (kills.as_slice(), &recorded);
    let doubled = [
        reconcile("plain", &plain, &all, noted, never),
        reconcile("failing", &failing, &all, noted, |n| n % 9 == 0),
        reconcile("some", &some, &stock, noted, never),
    ];
    println!("{deliveries} deliveries over {KILLS} kills, sent again: {doubled:?}");
    daemon.stop();
}
