//! Attempts, and what follows of them.

use super::*;

pub(super) fn by_each_verdict(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=3, &["a"]));
    let verdicts = [
        Verdict::Delivered,
        Verdict::Failed,
        Verdict::RetryAt(NOW + 60),
    ];
    let attempts = made
        .iter()
        .zip(verdicts)
        .map(|(due, verdict)| attempt(due, NOW, verdict));
    log.record(&attempts.collect::<Vec<_>>()).unwrap();
    let of = |n: usize| told(engine, made[n].id);
    let is =
        |state: &str, attempts, due_at, ended| Some((state.to_owned(), attempts, due_at, ended));
    assert_eq!(of(0), is("delivered", 1, None, Some(NOW + 12)));
    assert_eq!(of(1), is("failed", 1, None, Some(NOW + 12)));
    assert_eq!(of(2), is("pending", 1, Some(NOW + 60), None));
    drop(log);

    let mut log = engine.open();
    let again = due_by(&mut *log, "a", NOW + 60);
    assert_eq!((again.len(), again[0].number()), (1, 2));
    assert_eq!(again[0].body, made[2].body);
    log.record(&[attempt(&again[0], NOW + 60, Verdict::Delivered)])
        .unwrap();
    assert_eq!(of(2), is("delivered", 2, None, Some(NOW + 72)));
    // What was sent stands there as it was sent, once for each attempt.
    let rows = engine.reads().log(9).unwrap();
    let numbers: Vec<_> = rows
        .iter()
        .map(|row| (row.delivery_id, row.attempt))
        .collect();
    let expected = [(0, 1), (1, 1), (2, 1), (2, 2)].map(|(n, number)| (made[n].id, number));
    assert_eq!(numbers, expected);
    let text = engine.reads().attempt_text(rows[3].id).unwrap().unwrap();
    assert_eq!(text.request_headers, "Host: h.example");
    let body = text.request_body.unwrap();
    assert_eq!(body.as_bytes(), &*made[2].body);
    assert_eq!(text.response_body.as_deref(), Some("fine"));
}

pub(super) fn late_where_it_has_ended(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=3, &["a"]));
    let all = ids(&made);
    let answers = log.cancel_by_order(&all, NOW + 1, &|_, _| false).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    // Attempts that were under way: a failure is counted and no more, a success counts.
    log.record(&[
        attempt(&made[0], NOW, Verdict::RetryAt(NOW + 9)),
        attempt(&made[1], NOW, Verdict::Failed),
        attempt(&made[2], NOW, Verdict::Delivered),
    ])
    .unwrap();
    let states = all.iter().map(|id| state(engine, *id));
    let expected = ["cancelled", "cancelled", "delivered"];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    assert_eq!(due_by(&mut *log, "a", i64::MAX), []);
    assert_eq!(engine.reads().log(9).unwrap().len(), 3);
}

pub(super) fn with_the_time_that_its_endpoint_asked_for(engine: &dyn Engine) {
    let mut log = engine.open();
    log.register(&[("a".into(), true)], NOW).unwrap();
    let made = admit(&mut *log, &admission(1..=2, &["a"]));
    assert!(log.held(NOW).unwrap().is_empty());
    for (due, wait) in made.iter().zip([5_000, 3_000]) {
        let asked = Attempt {
            held_until_ms: Some(NOW + wait),
            ..attempt(due, NOW, Verdict::RetryAt(NOW + wait))
        };
        log.record(&[asked]).unwrap();
    }
    drop(log);
    let held = engine.open().held(NOW).unwrap();
    assert_eq!(
        held.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), NOW + 5_000)]
    );
}
