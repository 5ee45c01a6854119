//! Adding events, by `emit` and over the socket: the same answers over both engines.

use serde_json::{Value, json};

use super::{arrived, each};
use crate::socket::SECTION;
use crate::socket::client::{Connection, lines, post};
use crate::support::{Receiver, SOON, hook};

#[test]
fn an_event_that_is_emitted_arrives_and_a_key_adds_it_once() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], "", |outbox| {
        let world = &outbox.world;
        let daemon = world.start();
        let emit = |arguments: &[&str]| world.command(&[&["emit", "e"], arguments].concat());
        let first = emit(&["{\"n\":1}", "--key", "k"]).expect(0).stdout;
        assert!(first.trim().parse::<i64>().unwrap() > 0, "{first}");
        assert_eq!(emit(&["{\"n\":1}", "--key", "k"]).expect(0).stdout, first);
        let conflict = emit(&["{\"n\": 1}", "--key", "k"]).expect(1).stderr;
        let id = first.trim();
        assert!(
            conflict.contains(&format!("to event {id}, with other content")),
            "{conflict}"
        );
        // To the byte: the spaces, the time and the tenant are kept.
        let data = "{\"n\": 2, \"n\":2,\t\"x\":\"\\u00e9é\"}";
        let more = [
            "--time",
            "253402300799999",
            "--tenant",
            "höhe",
            "--key",
            "k2",
        ];
        let second = emit(&[&[data], &more[..]].concat()).expect(0).stdout;
        let again = emit(&[&[data], &more[..]].concat()).expect(0).stdout;
        assert_eq!(again, second);
        emit(&[data, "--tenant", "höhe", "--key", "k2"]).expect(0);
        emit(&[data, "--key", "k2"]).expect(1);
        emit(&[data, "--time", "5", "--tenant", "höhe", "--key", "k2"]).expect(1);
        for (bad, word) in [
            (vec!["{\"n\":"], "data: is not JSON"),
            (vec!["1", "--time=-1"], "time: -1 is not in"),
            (vec!["1", "--key", ""], "key: has 0 characters"),
            (vec!["NaN"], "data: is not JSON"),
        ] {
            let refused = emit(&bad).expect(2).stderr;
            assert!(refused.contains(word), "{word}: {refused}");
        }
        let arrived = receiver.wait(seen + 2, SOON);
        daemon.stop();
        assert_eq!(receiver.count(), seen + 2, "{}", outbox.name());
        let body = arrived
            .iter()
            .find(|one| one.n() == 2)
            .unwrap()
            .text()
            .to_owned();
        assert!(body.contains("\"x\":\"\\u00e9é\""), "{body}");
        assert!(body.contains("\"time\":253402300799999"), "{body}");
        seen += 2;
    });
}

#[test]
fn lines_are_written_up_to_the_one_that_is_refused() {
    each(&[hook("one", "http://127.0.0.1:9/")], "", |outbox| {
        let world = &outbox.world;
        let good = |n: i64| format!("{{\"event\":\"e\",\"data\":{{\"n\":{n}}}}}\n");
        let many: String = (0..3_000).map(good).collect();
        world.write("lines", many);
        let told = world.command_with_input(&["emit", "-"], "lines").expect(0);
        assert!(
            told.stderr.contains("3000 events are in the outbox"),
            "{}",
            told.stderr
        );
        let keyed = |n: i64| format!("{{\"event\":\"e\",\"data\":{n},\"key\":\"a\"}}\n");
        world.write(
            "lines",
            [good(1), keyed(2), keyed(2), keyed(3), good(4)].concat(),
        );
        let told = world.command_with_input(&["emit", "-"], "lines").expect(1);
        let words = told.stderr;
        assert!(
            words.contains("line 4: key was given before, to "),
            "{words}"
        );
        assert!(words.contains("2 events are in the outbox"), "{words}");
        assert_eq!(outbox.count(), 3_002, "{}", outbox.name());
    });
}

#[test]
fn a_request_is_all_or_nothing_and_lines_are_each_for_themselves() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], SECTION, |outbox| {
        let world = &outbox.world;
        let daemon = world.start();
        let event = |n: i64, key: &str| json!({"event": "e", "data": {"n": n}, "key": key});
        let ask = |events: Value| post(world, "/events", &events.to_string());
        let ids = ask(json!([event(1, "a"), event(2, "b")]))
            .expect(202)
            .json()["ids"]
            .clone();
        assert_eq!(
            ask(json!([event(2, "b"), event(1, "a")]))
                .expect(202)
                .json()["ids"],
            json!([ids[1], ids[0]])
        );
        let conflict = ask(json!([event(3, "c"), event(4, "a")]))
            .expect(409)
            .error();
        assert!(
            conflict.contains(&format!(
                "item 2: key was given before, to event {}",
                ids[0]
            )),
            "{conflict}"
        );
        ask(json!([event(5, "d"), event(6, "d")])).expect(409);
        ask(json!([event(7, "e"), {"event": "a b", "data": 1}])).expect(400);
        let twice = ask(json!([event(8, "f"), event(8, "f")]))
            .expect(202)
            .json()["ids"]
            .clone();
        assert_eq!(twice[0], twice[1]);
        let text = [
            event(9, "g"),
            event(0, "a"),
            json!({"event": "a b", "data": 1}),
            event(10, "h"),
        ]
        .map(|line| format!("{line}\n"))
        .concat();
        let answers = lines(world, &text);
        assert_eq!(answers.len(), 4, "{answers:?}");
        let is_id = |answer: &String| answer.contains("\"id\"");
        assert_eq!(
            answers.iter().map(is_id).collect::<Vec<_>>(),
            [true, false, false, true],
            "{answers:?}"
        );
        receiver.wait(seen + 5, SOON);
        daemon.stop();
        let mut all = arrived(&receiver)[seen..].to_vec();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 8, 9, 10], "{}", outbox.name());
        seen += 5;
    });
}

#[test]
fn clients_that_give_the_same_keys_at_the_same_time_add_each_event_once() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("one", receiver.url("/"))], SECTION, |outbox| {
        let world = &outbox.world;
        let daemon = world.start();
        // The daemon has one writer, each command is another.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut connection = Connection::new(world);
                scope.spawn(move || {
                    for n in 0..25 {
                        let event = json!({"event": "e", "data": {"n": n}, "key": format!("k{n}")});
                        connection.event(&event.to_string()).unwrap();
                    }
                });
            }
            for n in 0..25 {
                let (data, key) = (format!("{{\"n\":{n}}}"), format!("k{n}"));
                world
                    .command(&["emit", "e", &data, "--key", &key])
                    .expect(0);
            }
        });
        assert_eq!(outbox.count(), 25, "{}", outbox.name());
        receiver.wait(seen + 25, SOON);
        daemon.stop();
        let mut all = arrived(&receiver)[seen..].to_vec();
        all.sort_unstable();
        assert_eq!(all, (0..25).collect::<Vec<i64>>());
        seen += 25;
    });
}
