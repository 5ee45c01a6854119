//! What orders ask before they are carried out.

use super::*;
use crate::model::IdRange;

pub(super) fn find_what_they_are_for(reader: &dyn LogReader, story: &Story) {
    let up_to = reader.newest_delivery().unwrap();
    assert_eq!(up_to, story.again);
    let ids = IdRange {
        after: DeliveryId::NONE,
        up_to,
    };
    let ended = |how, webhook, window| {
        let found = reader.ended(how, webhook, window, ids, 9).unwrap();
        let count = reader.count_ended(how, webhook, window, up_to).unwrap();
        assert_eq!(usize::try_from(count), Ok(found.len()));
        found
    };
    // The first of `b` was sent again, and the second cancelled by order.
    assert_eq!(ended(Ended::Failed, "b", ALWAYS), [story.b[2].id]);
    assert_eq!(ended(Ended::Failed, "a", ALWAYS), []);
    assert_eq!(ended(Ended::Cancelled, "b", ALWAYS), []);
    assert_eq!(ended(Ended::Cancelled, "c", ALWAYS), [story.c.id]);
    let before = TimeWindow {
        to_ms: NOW + 4_512,
        ..ALWAYS
    };
    assert_eq!(ended(Ended::Failed, "b", before), [], "it ended then");
    let behind = IdRange {
        after: story.b[2].id,
        up_to,
    };
    let found = reader.ended(Ended::Failed, "b", ALWAYS, behind, 9);
    assert_eq!(found.unwrap(), []);

    let pending = |window: TimeWindow, rows: usize| {
        let (mut page, mut found) = (PendingPage::default(), Vec::new());
        loop {
            let ids = reader.pending_page("a", window, up_to, &mut page, rows);
            let ids = ids.unwrap();
            assert!(ids.len() <= rows);
            if ids.is_empty() {
                break;
            }
            found.extend(ids);
        }
        found.sort_unstable();
        let count = reader.count_pending("a", window, up_to).unwrap();
        assert_eq!(usize::try_from(count), Ok(found.len()));
        found
    };
    for rows in [1, 9] {
        assert_eq!(pending(ALWAYS, rows), [story.a[1].id, story.a[3].id]);
    }
    let later = TimeWindow {
        from_ms: NOW + 1,
        ..ALWAYS
    };
    assert_eq!(pending(later, 9), []);

    let replay = Replay {
        id: story.replay,
        ..asked()
    };
    assert_eq!(reader.replay(story.replay).unwrap(), Some(replay));
    let unknown = ReplayId::new(story.replay.get() + 1);
    assert_eq!(reader.replay(unknown).unwrap(), None);
}
