//! A server whose answer to a commit is lost: nothing is written twice, and nothing is lost.
//!
//! Between the writer and the server stands a relay, which ends the connection at the next commit: before the server has
//! it, or behind its answer. Whoever called is told of trouble that passes, both times.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use super::engine::Engine as _;
use super::server::{ServerLog, postgres};
use super::*;
use crate::model::{Server, ServerHost};
use crate::store::postgres::Writer;
use crate::store::writes::{Admits as _, Obeys as _, Queues as _, Records as _};

/// The message that commits, as a client sends it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Where the next commit ends the connection.
const NOWHERE: u8 = 0;
const BEFORE: u8 = 1;
const BEHIND: u8 = 2;

/// A relay to a server's socket.
struct Relay {
    _folder: TempDir,
    cuts: Arc<AtomicU8>,
    server: Arc<Server>,
}

impl Relay {
    fn to(log: &ServerLog) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = ".s.PGSQL.5432";
        let listener = UnixListener::bind(folder.path().join(name)).unwrap();
        let real = PathBuf::from(&log.server.hosts[0].host).join(name);
        let cuts = Arc::new(AtomicU8::new(NOWHERE));
        let cut = cuts.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = UnixStream::connect(&real).unwrap();
                let (client, cut) = (client.unwrap(), cut.clone());
                thread::spawn(move || relay(&client, &server, &cut));
            }
        });
        let server = Server {
            hosts: vec![ServerHost {
                host: folder.path().display().to_string(),
                port: 5432,
            }],
            ..(*log.server).clone()
        };
        Self {
            _folder: folder,
            cuts,
            server: Arc::new(server),
        }
    }

    fn open(&self) -> Writer {
        Writer::open(&self.server, "test", NOW).unwrap()
    }

    fn cut(&self, at: u8) {
        self.cuts.store(at, Ordering::SeqCst);
    }
}

/// Hands what a client asks to the server and what that answers back, in turns.
fn relay(client: &UnixStream, server: &UnixStream, cut: &AtomicU8) {
    let (mut from, mut to) = (client, server);
    let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let behind = Arc::new(AtomicU8::new(NOWHERE));
    let ends = behind.clone();
    let answering = thread::spawn(move || {
        let (mut from, mut to) = (&answers, &back);
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // The server has committed, and nobody hears of it.
            if ends.load(Ordering::SeqCst) == BEHIND || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let asked = &buffer[..count];
        if asked.ends_with(COMMIT) {
            let at = cut.swap(NOWHERE, Ordering::SeqCst);
            if at == BEFORE {
                break;
            }
            behind.store(at, Ordering::SeqCst);
        }
        if to.write_all(asked).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    answering.join().unwrap();
}

/// That call fails for trouble that passes.
#[track_caller]
fn is_told<T>(call: Result<T, Error>) {
    let Err(error) = call else {
        panic!("its commit was answered");
    };
    assert!(error.is_transient(), "{error}");
}

/// That call is answered, at the latest when it is made again.
#[track_caller]
fn is_answered<T>(mut call: impl FnMut() -> Result<T, Error>) -> T {
    call().unwrap_or_else(|error| {
        assert!(error.is_transient(), "{error}");
        call().unwrap()
    })
}

fn take(log: &mut Writer, admission: &Admission) -> Result<Vec<Due>, Error> {
    let taken = log.admit(admission, &|_| false, &mut |_| true, NOW);
    taken.map(|(dues, _)| dues)
}

fn found(log: &mut Writer) -> Vec<Due> {
    log.due("a", NOW, 99, usize::MAX, &|_| false).unwrap()
}

#[test]
fn attempts_are_written_once() {
    let Some(on) = postgres() else { return };
    for at in [BEFORE, BEHIND] {
        let log = ServerLog::new(on);
        let relay = Relay::to(&log);
        let mut writer = relay.open();
        writer.register(&[("a".into(), true)], NOW).unwrap();
        let made = take(&mut writer, &admission(1..=3, &["a"])).unwrap();
        let verdicts = [
            Verdict::Delivered,
            Verdict::Failed,
            Verdict::RetryAt(NOW + 60),
        ];
        let attempts = made.iter().zip(verdicts);
        let attempts: Vec<_> = attempts.map(|(due, v)| attempt(due, NOW, v)).collect();
        relay.cut(at);
        is_told(writer.record(&attempts));
        assert_eq!(
            log.reads().log(9).unwrap().len(),
            if at == BEHIND { 3 } else { 0 }
        );
        // What comes again may be more than it was.
        let more = take(&mut writer, &admission(4..=4, &["a"])).unwrap();
        let mut again = attempts;
        again.push(attempt(&more[0], NOW + 5, Verdict::Delivered));
        writer.record(&again).unwrap();
        assert_eq!(writer.attempts().unwrap(), 4);
        let states = [("delivered", 2), ("failed", 1), ("pending", 1)];
        let states = states.map(|(state, count)| (state.to_owned(), count));
        assert_eq!(writer.states().unwrap(), states);
        writer.flush(NOW + 9).unwrap();
        drop(writer);
        let health = log.reads().health(NOW + 9).unwrap();
        assert_eq!((health[0].hour.attempts, health[0].hour.failures), (4, 2));
        // The same of another attempt of the same delivery is another one.
        let mut writer = relay.open();
        let rest = writer
            .due("a", NOW + 60, 9, usize::MAX, &|_| false)
            .unwrap();
        assert_eq!(rest.len(), 1);
        writer
            .record(&[attempt(&rest[0], NOW + 60, Verdict::Delivered)])
            .unwrap();
        assert_eq!(writer.attempts().unwrap(), 5);
    }
}

#[test]
fn events_are_taken_in_once() {
    let Some(on) = postgres() else { return };
    for at in [BEFORE, BEHIND] {
        let log = ServerLog::new(on);
        let relay = Relay::to(&log);
        let mut writer = relay.open();
        take(&mut writer, &admission(1..=2, &["b"])).unwrap();
        relay.cut(at);
        is_told(take(&mut writer, &admission(3..=6, &["a"])));
        // What comes again may be less than it was, and then more.
        let mut made = take(&mut writer, &admission(3..=4, &["a"])).unwrap();
        made.extend(take(&mut writer, &admission(5..=8, &["a"])).unwrap());
        let was_there = at == BEHIND;
        assert_eq!(made.len(), if was_there { 2 } else { 6 });
        let in_memory: Vec<_> = made.iter().map(|due| due.id).collect();
        let is_in_memory = |id| in_memory.contains(&id);
        let all = writer.due("a", NOW, 99, usize::MAX, &is_in_memory).unwrap();
        assert_eq!(all.len() + made.len(), 6, "each of them, once");
        assert_eq!(writer.cursor().unwrap(), Some(cursor(8)));
        // The same ids of an outbox that was put back are other events.
        let mut back = cursor(2);
        back.generation = Generation::new(4);
        writer.set_cursor(&back, NOW).unwrap();
        let mut other = admission(3..=6, &["a"]);
        other.cursor.generation = back.generation;
        assert_eq!(take(&mut writer, &other).unwrap().len(), 4);
    }
}

#[test]
fn a_connection_that_ends_costs_one_call_at_the_most() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "test", NOW).unwrap();
    let made = take(&mut writer, &admission(1..=2, &["a"])).unwrap();
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(log.by_hand(ended));
    let attempts = [attempt(&made[0], NOW, Verdict::Delivered)];
    is_answered(|| writer.record(&attempts));
    assert_eq!(writer.attempts().unwrap(), 1);
    assert_eq!(found(&mut writer), made[1..], "nobody has it");
}

/// Another node has declared this one dead: from then on it tells facts of what is another's, and decides nothing.
#[test]
fn a_node_that_is_declared_dead_tells_facts() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "test", NOW).unwrap();
    let names = [("a".into(), true), ("b".into(), true)];
    writer.register(&names, NOW).unwrap();
    let made = take(&mut writer, &admission(1..=4, &["a"])).unwrap();
    let other = "WITH n AS (INSERT INTO node (name, version) VALUES ('other', '1') RETURNING id)
         UPDATE slot SET owner = n.id FROM n;
         DELETE FROM node WHERE name <> 'other'";
    assert!(log.by_hand(other));
    let verdicts = [
        Verdict::Delivered,
        Verdict::Failed,
        Verdict::RetryAt(NOW + 60),
    ];
    let attempts = made.iter().zip(verdicts);
    let attempts: Vec<_> = attempts.map(|(due, v)| attempt(due, NOW, v)).collect();
    is_told(writer.record(&attempts));
    writer.record(&attempts).unwrap();
    assert_eq!(writer.attempts().unwrap(), 3);
    let of = |n: usize| log.reads().delivery(made[n].id).unwrap().unwrap();
    assert_eq!(of(0).state, "delivered", "the endpoint has it");
    for late in [of(1), of(2)] {
        assert_eq!((&*late.state, late.attempts), ("pending", 0));
        assert_eq!(late.due_at_ms, Some(NOW));
    }
    // What this node owns again it decides again.
    assert!(log.by_hand("UPDATE slot SET owner = (SELECT id FROM node WHERE name <> 'other')"));
    writer
        .record(&[attempt(&made[1], NOW + 9, Verdict::Failed)])
        .unwrap();
    assert_eq!(of(1).state, "failed");
}

/// Another intake was first: nothing of this one's is written, and it is told so.
#[test]
fn who_is_overtaken_takes_nothing_in() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "test", NOW).unwrap();
    take(&mut writer, &admission(1..=2, &["a"])).unwrap();
    assert!(log.by_hand("UPDATE cursor SET event_id = 3, moves = moves + 1"));
    let failed = take(&mut writer, &admission(3..=3, &["a"]));
    assert!(matches!(failed, Err(Error::Overtaken)));
    assert_eq!(writer.states().unwrap(), [("pending".to_owned(), 2)]);
    assert_eq!(writer.cursor().unwrap().unwrap().event_id, EventId::new(3));
    assert_eq!(
        take(&mut writer, &admission(4..=4, &["a"])).unwrap().len(),
        1
    );
}

/// What a failover takes back is there again, and no id of it is given to another.
#[test]
fn what_was_taken_back_is_found_again() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "test", NOW).unwrap();
    let made = take(&mut writer, &admission(1..=1, &["a"])).unwrap();
    // As a server that lacks the last commits: the row's counter is behind, and the sequences are.
    let back = "UPDATE node SET batch = batch - 1; SELECT setval('delivery_id', 1);
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(log.by_hand(back));
    is_answered(|| writer.set_cursor(&cursor(1), NOW));
    assert_eq!(found(&mut writer), made, "all is looked for again");
    let next = take(&mut writer, &admission(2..=2, &["a"])).unwrap();
    assert!(next[0].id > made[0].id);
}
