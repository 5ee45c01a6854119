//! Questions about deliveries, and about what became of an event.

use std::collections::HashSet;

use super::*;

pub(super) fn are_told(reader: &dyn LogReader, story: &Story) {
    let told = |id: DeliveryId| reader.delivery(id).unwrap().unwrap();
    let delivered = DeliveryRow {
        id: story.a[0].id,
        event_id: Some(EventId::new(1)),
        event: Some("story-approve".into()),
        webhook: "a".into(),
        dialect: Some("bold-cms".into()),
        state: "delivered".into(),
        origin: "event".into(),
        attempts: 1,
        due_at_ms: None,
        finished_at_ms: Some(NOW + 1_012),
    };
    assert_eq!(told(story.a[0].id), delivered);
    let failed = DeliveryRow {
        id: story.b[0].id,
        webhook: "b".into(),
        dialect: Some("openboxes-lift".into()),
        state: "failed".into(),
        finished_at_ms: Some(NOW + 2_012),
        ..delivered.clone()
    };
    assert_eq!(told(story.b[0].id), failed);
    let pending = DeliveryRow {
        id: story.a[1].id,
        event_id: Some(EventId::new(2)),
        state: "pending".into(),
        due_at_ms: Some(NOW + 60_000),
        finished_at_ms: None,
        ..delivered.clone()
    };
    assert_eq!(told(story.a[1].id), pending);
    let cancelled = DeliveryRow {
        id: story.b[1].id,
        event_id: Some(EventId::new(2)),
        state: "cancelled".into(),
        attempts: 0,
        finished_at_ms: Some(NOW + 5_000),
        ..failed.clone()
    };
    assert_eq!(told(story.b[1].id), cancelled);
    let again = told(story.again);
    let expected = DeliveryRow {
        id: story.again,
        state: "pending".into(),
        origin: "redelivery".into(),
        attempts: 0,
        due_at_ms: again.due_at_ms,
        finished_at_ms: None,
        ..failed
    };
    assert_eq!(again, expected);
    assert!(again.due_at_ms.is_some());
    let unknown = DeliveryId::new(story.again.get() + 1_000);
    assert_eq!(reader.delivery(unknown).unwrap(), None);
    assert!(reader.was_sent_again(story.b[0].id).unwrap());
    assert!(!reader.was_sent_again(story.a[0].id).unwrap());
    let attempts = reader.attempts_of(story.a[1].id, 9).unwrap();
    let outcomes: Vec<&str> = attempts.iter().map(|row| &*row.outcome).collect();
    assert_eq!(outcomes, ["retry"]);
    assert_eq!(reader.attempts_of(story.a[3].id, 9).unwrap(), []);
}

pub(super) fn events_are_told(reader: &dyn LogReader, story: &Story) {
    let generation = Generation::new(3);
    let first = reader.event(EventId::new(1)).unwrap();
    assert_eq!(first.cursor, Some((generation, EventId::new(5))));
    let ids: Vec<DeliveryId> = first.deliveries.iter().map(|d| d.id).collect();
    assert_eq!(ids, [story.again, story.b[0].id, story.a[0].id]);
    let expected = DeliveryTrace {
        id: story.b[0].id,
        generation,
        event: "story-approve".into(),
        webhook: "b".into(),
        dialect: "openboxes-lift".into(),
        state: "failed".into(),
        origin: "event".into(),
        attempts: 1,
        due_at_ms: None,
        created_at_ms: Some(NOW),
        finished_at_ms: Some(NOW + 2_012),
        status: None,
        error: Some("refused".into()),
        by_order: false,
    };
    assert_eq!(first.deliveries[1], expected);
    let last = |many| reader.last_of_many(EventId::new(1), (many, 2)).unwrap();
    assert_eq!(last(2).as_deref(), Some(&first.deliveries[..2]));
    assert_eq!(last(3), None);
    assert_eq!(first.deliveries[2].status, Some(204));
    assert_eq!(first.deliveries[2].created_at_ms, Some(NOW));
    assert_eq!((first.earlier, first.rejected), (Vec::new(), None));
    assert_eq!(first.webhooks, reader.webhooks().unwrap());
    assert_eq!(first.pauses, [story::pause()]);
    let by_order = |id: i64, webhook: &str| {
        let event = reader.event(EventId::new(id)).unwrap();
        let found = event.deliveries.iter().find(|d| d.webhook == webhook);
        let found = found.unwrap();
        assert_eq!(found.state, "cancelled");
        found.by_order
    };
    assert!(by_order(2, "b"));
    assert!(!by_order(5, "c"), "its webhook is inactive");
    let aside = reader.event(EventId::new(9)).unwrap();
    let rejected = RejectedTrace {
        event: "story-gone".into(),
        reason: "data is no JSON".into(),
        time_ms: NOW + 6_000,
        generation,
    };
    assert_eq!(aside.rejected, Some(rejected));
    assert_eq!(aside.deliveries, []);
    assert_eq!(reader.set_aside_since(NOW + 6_000).unwrap(), 1);
    assert_eq!(reader.set_aside_since(NOW + 6_001).unwrap(), 0);
    assert_eq!(reader.cursor().unwrap(), EventId::new(5));
}

pub(super) fn what_was_made_is_found(reader: &dyn LogReader) {
    let generation = Generation::new(3);
    let bodies = reader.bodies(generation, EventId::new(1)).unwrap();
    let expected = [
        ("bold-cms".to_owned(), b"{\"cms\":1}".to_vec()),
        (
            "openboxes-lift".to_owned(),
            "{\"lift\":\"\u{e4}\"}".as_bytes().to_vec(),
        ),
    ];
    assert_eq!(bodies, expected);
    let other = reader.bodies(Generation::new(2), EventId::new(1));
    assert_eq!(other.unwrap(), []);
    assert_eq!(
        reader.tenant(EventId::new(4)).unwrap().as_deref(),
        Some("acme")
    );
    assert_eq!(reader.tenant(EventId::new(1)).unwrap(), None);
    let holds = |id, text| {
        let found = reader.generation_of_body(EventId::new(id), Dialect::BoldCms, text);
        found.unwrap()
    };
    assert_eq!(holds(1, "\"cms\":1"), Some(Some(generation)));
    assert_eq!(holds(1, "_%"), Some(None), "no pattern");
    assert_eq!(holds(77, "cms"), None);

    let range = EventId::new(2)..=EventId::new(9);
    let made = reader.made_for("a", &range).unwrap();
    let events: HashSet<EventId> = [2, 3, 4].map(EventId::new).into();
    let cursor = EventId::new(5);
    assert_eq!(made, MadeFor { cursor, events });
    assert!(reader.made_for("d", &range).unwrap().events.is_empty());
    let forgotten = |since_ms| reader.forgotten_up_to(Some(since_ms), false).unwrap();
    assert_eq!(forgotten(NOW + 6_499), EventId::new(0));
    assert_eq!(forgotten(NOW + 6_500), EventId::new(5));
    let forgotten = reader.forgotten_up_to(None, true).unwrap();
    assert_eq!(forgotten, EventId::new(0), "nothing went early");
}

pub(super) fn what_is_pending_is_counted(reader: &dyn LogReader, story: &Story) {
    let exactly = |count| Count { count, more: false };
    let pending = [("a".to_owned(), 2), ("b".to_owned(), 2)];
    assert_eq!(reader.pending().unwrap(), pending);
    assert_eq!(reader.pending_in_all().unwrap(), exactly(4));
    let before = |due_at_ms, id| reader.pending_before("a", due_at_ms, id).unwrap();
    assert_eq!(before(NOW + 60_000, story.a[1].id), exactly(1));
    assert_eq!(before(NOW, story.a[3].id), exactly(0));
    assert_eq!(reader.oldest_pending("a").unwrap(), Some(NOW));
    assert_eq!(reader.oldest_pending("c").unwrap(), None);
    let held: HashMap<String, i64> = [("a".to_owned(), NOW + 50_000)].into();
    assert_eq!(reader.held(NOW + 7_000).unwrap(), held);
    assert_eq!(reader.held(NOW + 50_000).unwrap(), HashMap::new());
    assert_eq!(reader.held_by(story.a[1].id).unwrap(), None);
    assert_eq!(reader.held_of("a").unwrap(), None);
    assert_eq!(reader.behind(story.b[0].id).unwrap(), None);
}
