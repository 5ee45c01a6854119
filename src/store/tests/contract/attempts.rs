//! Questions about attempts.

use super::story::attempt_at;
use super::*;
use crate::model::Pattern;

fn deliveries(reader: &dyn LogReader, ids: &[AttemptId]) -> Vec<DeliveryId> {
    let rows = ids.iter().map(|id| reader.attempt(*id).unwrap().unwrap());
    rows.map(|row| row.delivery_id).collect()
}

/// The deliveries of all attempts, in the order made.
fn all(story: &Story) -> Vec<DeliveryId> {
    let order = [
        &story.a[0],
        &story.b[0],
        &story.a[1],
        &story.a[2],
        &story.b[2],
    ];
    order.map(|due| due.id).to_vec()
}

pub(super) fn are_found(reader: &dyn LogReader, story: &Story) {
    let rows = reader.log(9).unwrap();
    let of = |rows: &[LogRow]| rows.iter().map(|row| row.delivery_id).collect::<Vec<_>>();
    assert_eq!(of(&rows), all(story));
    assert_eq!(of(&reader.log(2).unwrap()), all(story)[3..]);
    assert_eq!(reader.newest_id().unwrap(), rows[4].id);
    let expected = LogRow {
        id: rows[0].id,
        time: "2023-11-14T22:13:21.123Z".into(),
        webhook: "a".into(),
        event: Some("story-approve".into()),
        event_id: Some(EventId::new(1)),
        delivery_id: story.a[0].id,
        attempt: 1,
        outcome: "delivered".into(),
        status: Some(204),
        error: None,
        duration_ms: 12.345,
        url: "https://h.example/x".into(),
        phases_ms: [None, Some(1.5), Some(2.5), None, None, None],
        peer: Some("127.0.0.1:443".into()),
        class: None,
        dialect: Some("bold-cms".into()),
        origin: Some("event".into()),
        note: None,
        batch: None,
    };
    assert_eq!(rows[0], expected);
    let failed = &rows[1];
    assert_eq!((failed.status, &*failed.outcome), (None, "failed"));
    assert_eq!(failed.error.as_deref(), Some("refused"));
    assert_eq!(failed.class.as_deref(), Some("refused"));
    assert_eq!(rows[2].outcome, "retry");
    for row in &rows {
        assert_eq!(reader.attempt(row.id).unwrap().as_ref(), Some(row));
    }
    let unknown = AttemptId::new(rows[4].id.get() + 1_000);
    assert_eq!(reader.attempt(unknown).unwrap(), None);
    assert_eq!(reader.attempt_text(unknown).unwrap(), None);
    let answered = LogText {
        request_headers: "Host: h.example".into(),
        request_body: Some("{\"cms\":1}".into()),
        response_headers: Some("server: x".into()),
        response_body: Some("fine".into()),
        response_truncated: false,
    };
    assert_eq!(reader.attempt_text(rows[0].id).unwrap(), Some(answered));
    let refused = LogText {
        request_headers: "Host: h.example".into(),
        request_body: Some("{\"lift\":\"\u{e4}\"}".into()),
        ..LogText::default()
    };
    assert_eq!(reader.attempt_text(rows[1].id).unwrap(), Some(refused));
    assert_eq!(reader.newest_time().unwrap(), Some(NOW + 4_500));
    assert_eq!(reader.oldest().unwrap(), Some(NOW + 1_000));
    assert_eq!(reader.attempts_since(NOW + 3_000).unwrap(), (3, 5));
    assert_eq!(reader.attempts_since(NOW + 9_000).unwrap(), (0, 5));
}

pub(super) fn are_filtered(reader: &dyn LogReader, story: &Story) {
    let all = all(story);
    let found = |filter: &LogFilter, count| {
        let found = reader.newest(filter, count).unwrap();
        assert_eq!((found.stopped_at_ms, found.unread), (None, 0), "{filter:?}");
        deliveries(reader, &found.ids)
    };
    let any = LogFilter::default;
    assert_eq!(found(&any(), 9), all);
    assert_eq!(found(&any(), 2), all[3..]);
    let webhook = Some("a".to_owned());
    let of_a = LogFilter { webhook, ..any() };
    assert_eq!(found(&of_a, 9), [all[0], all[2], all[3]]);
    assert_eq!(found(&of_a, 1), [all[3]]);
    let webhook = Some("nobody".to_owned());
    assert_eq!(found(&LogFilter { webhook, ..any() }, 9), []);
    let failed = LogFilter {
        failed: true,
        ..any()
    };
    assert_eq!(found(&failed, 9), [all[1], all[2], all[4]]);
    let outcome = Some(Outcome::Retry);
    assert_eq!(found(&LogFilter { outcome, ..any() }, 9), [all[2]]);
    let status = Some(StatusIs::Within(200, 299));
    assert_eq!(found(&LogFilter { status, ..any() }, 9), [all[0], all[3]]);
    let status = Some(StatusIs::Absent);
    let unanswered = LogFilter { status, ..any() };
    assert_eq!(found(&unanswered, 9), [all[1], all[2], all[4]]);
    let since_ms = Some(NOW + 4_000);
    assert_eq!(found(&LogFilter { since_ms, ..any() }, 9), all[3..]);
    let event = Some(Pattern::new("story-*"));
    assert_eq!(found(&LogFilter { event, ..any() }, 9), all);
    let event = Some(Pattern::new("invoice.*"));
    assert_eq!(found(&LogFilter { event, ..any() }, 9), []);
    let event_id = Some(EventId::new(1));
    let of_event = LogFilter { event_id, ..any() };
    assert_eq!(found(&of_event, 9), all[..2]);
    assert_eq!(found(&of_event, 1), [all[1]]);
    let webhook = Some("b".to_owned());
    let of_both = LogFilter {
        webhook,
        ..of_event
    };
    assert_eq!(found(&of_both, 9), [all[1]]);
    let newest = reader.log(3).unwrap();
    let before = Some(newest[1].id);
    assert_eq!(found(&LogFilter { before, ..any() }, 9), all[..3]);
    // Where it was not looked further, that is said.
    let bounded = LogFilter {
        looked_through: Some(2),
        failed: true,
        ..any()
    };
    let found = reader.newest(&bounded, 9).unwrap();
    assert_eq!(deliveries(reader, &found.ids), [all[4]]);
    assert_eq!(found.stopped_at_ms, Some(NOW + 4_000));
    assert_eq!(found.stopped_at, Some(newest[1].id));
}

pub(super) fn are_followed(reader: &dyn LogReader, story: &Story) {
    let rows = reader.log(9).unwrap();
    let any = LogFilter::default();
    let (ids, last) = reader.after(rows[1].id, &any, 2).unwrap();
    assert_eq!(deliveries(reader, &ids), all(story)[2..4]);
    assert_eq!(last, rows[3].id);
    let webhook = Some("b".to_owned());
    let of_b = LogFilter { webhook, ..any };
    let (ids, last) = reader.after(AttemptId::NONE, &of_b, 4).unwrap();
    assert_eq!(deliveries(reader, &ids), [story.b[0].id]);
    assert_eq!(last, rows[3].id, "what was looked through, wanted or not");
    let after = reader.after(rows[4].id, &of_b, 9).unwrap();
    assert_eq!(after, (Vec::new(), rows[4].id));
}

/// Written last, for it changes the story.
pub(super) fn a_commit_is_seen(log: &dyn Engine, reader: &dyn LogReader, story: &Story) {
    let mut writes = log.open();
    // A server's snapshot also tells of what other tests commit in their databases meanwhile.
    let mut looks = (0..1_000).map(|_| [0, 1].map(|_| reader.version().unwrap()));
    let still = looks.find(|[one, next]| one == next);
    let [before, _] = still.expect("it stays as it is while nobody commits");
    writes
        .record(&[attempt_at(&story.a[3], 9_000, Verdict::Delivered)])
        .unwrap();
    assert_ne!(reader.version().unwrap(), before);
    let rows = reader.log(1).unwrap();
    assert_eq!(rows[0].delivery_id, story.a[3].id);
}
