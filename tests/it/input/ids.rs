//! Ids that no AUTOINCREMENT gives, and accounts of them that SQLite doesn't keep so.

use super::lax_outbox;
use crate::support::{Receiver, SOON, World, check, eventually, hook};

fn world(receiver: &Receiver) -> World {
    World::bare(&[hook("one", receiver.url("/"))])
}

#[test]
fn ids_beyond_what_json_keeps_exact_are_set_aside_and_end_nothing() {
    let receiver = Receiver::ok();
    let world = world(&receiver);
    let outbox = lax_outbox(&world);
    let daemon = world.start();
    let ids = [
        9_007_199_254_740_990_i64,
        9_007_199_254_740_991,
        9_007_199_254_740_992,
        i64::MAX - 1,
        i64::MAX,
    ];
    for id in ids {
        let sql = "INSERT INTO outbox (id, event, data, time) VALUES (?1, 'e', '{\"n\":1}', 1)";
        outbox.execute(sql, [id]).unwrap();
    }
    world.wait_number("SELECT count(*) FROM rejected", 3, SOON);
    receiver.wait(2, SOON);
    let reasons = world.log("SELECT event_id, reason FROM rejected ORDER BY event_id");
    for (row, id) in reasons.iter().zip(&ids[2..]) {
        assert_eq!(row[0], id.to_string());
        assert!(
            row[1].contains("is not in 1 to 9007199254740991"),
            "{row:?}"
        );
    }
    for command in ["status", "logs"] {
        world.command(&[command]).expect(0);
    }
    daemon.stop();
    let daemon = world.start();
    assert_eq!(receiver.count(), 2);
    daemon.stop();
}

#[test]
fn rows_below_the_first_id_and_an_odd_account_of_ids_stop_nothing() {
    let receiver = Receiver::ok();
    let world = world(&receiver);
    let outbox = lax_outbox(&world);
    let rows = "INSERT INTO outbox (id, event, data, time) VALUES
        (-9223372036854775808, 'e', '{\"n\":1}', 1), (-1, 'e', '{\"n\":2}', 1), (0, 'e', '{\"n\":3}', 1),
        (1, 'e', '{\"n\":4}', strftime('%s', 'now') * 1000)";
    outbox.execute_batch(rows).unwrap();
    let decided = world.command(&["start-from", "beginning"]);
    println!("{} {}", decided.stdout, decided.stderr);
    let daemon = world.start();
    receiver.wait(1, SOON);
    for account in ["'nonsense'", "NULL", "X'00'", "1.5"] {
        let sql = format!("UPDATE sqlite_sequence SET seq = {account} WHERE name = 'outbox'");
        outbox.execute_batch(&sql).unwrap();
        let before = receiver.count();
        outbox
            .execute_batch("INSERT INTO outbox (event, data, time) VALUES ('e', '{\"n\":5}', 1)")
            .unwrap();
        eventually(&format!("seq = {account}: the row is sent"), SOON, || {
            check(receiver.count() > before, || daemon.journal())
        });
    }
    world.command(&["status"]).expect(0);
    daemon.stop();
}
