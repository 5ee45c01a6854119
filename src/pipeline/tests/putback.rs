//! An outbox that is put back or replaced at an awkward moment: the log refuses to be told, a row has
//! been read already, a sweep or a replay is at work before the intake has seen it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::world::{Act, START_MS, World, webhook};
use crate::model::{Cursor, Dialect, EventId, Generation, IdRange, Vfs};
use crate::outbox::{Appender, NewEvent, Pruned, Tail, application, create_if_missing};
use crate::pipeline::log::prune;
use crate::pipeline::send::Dispatch;
use crate::pipeline::tests::world::Scripted;
use crate::pipeline::{Intake, IntakeError, Retention, Step, Wanted, cursor_at};
use crate::store::person::Person;

const MAX_DATA_BYTES: usize = 4_096;

/// A pipeline with an outbox, and the person who looks into its log.
struct Putback {
    world: World,
    outbox: PathBuf,
    copy: PathBuf,
    person: Person,
    written: AtomicI64,
}

impl Putback {
    async fn new() -> Self {
        let w = webhook("w", Dialect::BoldCms);
        let world = World::new(vec![w], |_, _| Act::Answer(200, 0)).await;
        let outbox = world.folder.path().join("outbox.db");
        create_if_missing(&outbox).unwrap();
        let retention = Retention {
            outbox: outbox.clone(),
            ..Retention::default()
        };
        world.dispatch.running().keep_for(retention);
        let person = Person::new(&world.log());
        let copy = world.folder.path().join("copy.db");
        Self {
            world,
            outbox,
            copy,
            person,
            written: AtomicI64::new(0),
        }
    }

    fn write(&self, texts: &[&str]) {
        let mut application = Appender::open(&self.outbox, MAX_DATA_BYTES).unwrap();
        let event = |text: &&str| NewEvent {
            event: "e".into(),
            data: format!("{{\"text\":\"{text}\"}}"),
            // Each is written a millisecond after the one before.
            time_ms: Some(START_MS + self.written.fetch_add(1, Ordering::Relaxed)),
            ..NewEvent::default()
        };
        let events: Vec<NewEvent> = texts.iter().map(event).collect();
        application.append(&events).unwrap();
    }

    /// A row that is set aside.
    fn write_bad(&self, time_ms: i64) {
        application::write_unchecked(&self.outbox, "e", "{", time_ms);
    }

    fn back_up(&self) {
        application::back_up(&self.outbox, &self.copy);
    }

    fn put_back(&self) {
        application::restore(&self.outbox, &self.copy);
    }

    fn tail(&self) -> Tail {
        Tail::open(&self.outbox, MAX_DATA_BYTES).unwrap()
    }

    fn intake(&self) -> Intake<Scripted> {
        Intake::new(self.world.dispatch.clone(), self.tail(), Cursor::default())
    }

    /// What was sent, in the order of the rows.
    async fn sent(&self) -> Vec<String> {
        self.world.settled().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = self.world.seen().into_iter();
        let mut texts: Vec<String> = seen
            .map(|seen| {
                let (_, text) = seen.body.split_once("\"text\":\"").unwrap();
                text.split_once('"').unwrap().0.to_owned()
            })
            .collect();
        texts.sort_unstable();
        texts
    }

    fn cursor(&self) -> (i64, i64) {
        self.person.cursor().unwrap_or_default()
    }
}

/// The rows that are to be pruned.
const FIRST: IdRange<EventId> = IdRange {
    after: EventId::NONE,
    up_to: EventId::new(3),
};

/// Takes all in that is there.
fn drain(intake: &mut Intake<Scripted>) {
    while let Step::Taken(_) = intake.step().unwrap() {}
}

#[tokio::test(start_paused = true)]
async fn what_the_log_refused_to_be_told_is_not_forgotten_when_the_outbox_has_grown_again() {
    let mut this = Putback::new().await;
    this.write(&["a", "b"]);
    this.back_up();
    this.write(&["c"]);
    let mut intake = this.intake();
    drain(&mut intake);
    assert_eq!(this.cursor(), (0, 3));
    this.put_back();
    intake.tail = this.tail();
    this.person.hold();
    assert!(matches!(intake.verify(), Err(IntakeError::Store(_))));
    assert!(intake.has_more(), "nobody would come again");
    // A row in the lost one's place that nothing tells from a row of before that is over a limit now.
    this.write_bad(START_MS);
    this.person.let_go();
    drain(&mut intake);
    assert_eq!(this.cursor(), (1, 3));
    assert!(this.person.is_rejected(1, 3), "it was passed over");
    assert_eq!(this.sent().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_row_in_the_place_of_one_that_was_set_aside_is_taken() {
    let this = Putback::new().await;
    this.write(&["a"]);
    this.back_up();
    this.write_bad(START_MS);
    let mut intake = this.intake();
    drain(&mut intake);
    assert_eq!(this.cursor(), (0, 2));
    this.put_back();
    let mut application = Appender::open(&this.outbox, MAX_DATA_BYTES).unwrap();
    let later = NewEvent {
        event: "e".into(),
        data: "{\"text\":\"b\"}".into(),
        time_ms: Some(START_MS + 1),
        ..NewEvent::default()
    };
    application.append(&[later]).unwrap();
    this.write(&["c"]);
    intake.tail = this.tail();
    drain(&mut intake);
    assert_eq!(this.sent().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_mended_after_it_was_set_aside_stays_set_aside() {
    let this = Putback::new().await;
    this.write(&["a"]);
    this.write_bad(START_MS);
    let mut intake = this.intake();
    drain(&mut intake);
    application::mend(&this.outbox, 2, "{\"text\":\"b\"}");
    this.write(&["c"]);
    drain(&mut intake);
    assert_eq!(this.cursor(), (0, 3));
    assert_eq!(this.sent().await, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_file_that_is_gone_are_not_taken() {
    let this = Putback::new().await;
    this.write(&["a"]);
    this.back_up();
    let mut intake = this.intake();
    drain(&mut intake);
    this.write(&["gone"]);
    this.put_back();
    assert!(matches!(intake.step().unwrap(), Step::Replaced));
    assert!(intake.has_more(), "nobody would look at the file again");
    assert_eq!(this.cursor(), (0, 1));
    intake.tail = this.tail();
    this.write(&["b"]);
    drain(&mut intake);
    assert_eq!(this.sent().await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_never_taken_are_not_pruned_though_their_ids_were() {
    let this = Putback::new().await;
    this.write(&["a"]);
    this.back_up();
    this.write(&["b", "c"]);
    let cursor = cursor_at(
        &mut this.tail(),
        EventId::new(3),
        Generation::FIRST,
        START_MS,
    )
    .unwrap();
    this.put_back();
    this.write(&["d"]);
    let pruned = prune(
        (&this.outbox, Vfs::default()),
        MAX_DATA_BYTES,
        (FIRST, 200),
        (&cursor, START_MS),
    )
    .unwrap();
    assert_eq!(pruned, Pruned::Kept, "the counter is behind the cursor");
    this.write(&["e", "f"]);
    let pruned = prune(
        (&this.outbox, Vfs::default()),
        MAX_DATA_BYTES,
        (FIRST, 200),
        (&cursor, START_MS),
    )
    .unwrap();
    assert_eq!(pruned, Pruned::Kept, "other rows have the ids");
    assert_eq!(application::ids_after(&this.outbox, 0), [1, 2, 3, 4]);
    let cursor = cursor_at(
        &mut this.tail(),
        EventId::new(4),
        Generation::new(1),
        START_MS,
    )
    .unwrap();
    let pruned = prune(
        (&this.outbox, Vfs::default()),
        MAX_DATA_BYTES,
        (FIRST, 200),
        (&cursor, START_MS),
    )
    .unwrap();
    assert!(
        matches!(&pruned, Pruned::Rows(chunk) if chunk.deleted == 3),
        "{pruned:?}"
    );
    assert_eq!(application::ids_after(&this.outbox, 0), [4]);
}

fn wanted() -> Wanted {
    Wanted {
        from: None,
        since_ms: 0,
        until_ms: None,
        webhook: None,
        event: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_nobody_waits_for_begins() {
    let this = Putback::new().await;
    this.write(&["a", "b"]);
    drain(&mut this.intake());
    let replays = tokio::spawn(this.world.dispatch.clone().replay());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Dropped as soon as its last call has written the replay down, which is nearly always before
    // it has seen that call return.
    let mut asked = Box::pin(this.world.dispatch.begin_replay(wanted(), false));
    while replays_begun(&this.world.dispatch).await == 0 {
        let answer = tokio::time::timeout(Duration::ZERO, &mut asked).await;
        if answer.is_ok() {
            break;
        }
    }
    drop(asked);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(this.sent().await, ["a", "a", "b", "b"]);
    replays.abort();
}

async fn replays_begun(dispatch: &std::sync::Arc<Dispatch<Scripted>>) -> usize {
    let replay = dispatch
        .with_store(|_, store| store.unfinished_replay().unwrap())
        .await;
    usize::from(replay.is_some())
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_for_the_intake_to_see_that_the_outbox_was_put_back() {
    let this = Putback::new().await;
    this.write(&["a"]);
    this.back_up();
    this.write(&["b"]);
    let mut intake = this.intake();
    drain(&mut intake);
    assert_eq!(this.sent().await, ["a", "b"]);
    this.put_back();
    this.write(&["c", "d"]);
    let replays = tokio::spawn(this.world.dispatch.clone().replay());
    this.world
        .dispatch
        .begin_replay(wanted(), false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(this.sent().await, ["a", "b"], "of ids that mean others now");
    assert_eq!(replays_begun(&this.world.dispatch).await, 1);
    intake.tail = this.tail();
    drain(&mut intake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(this.sent().await, ["a", "b", "c", "d"]);
    assert_eq!(replays_begun(&this.world.dispatch).await, 0, "it ended");
    replays.abort();
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_changed_while_they_are_followed_stay_taken_and_prints_follow_them() {
    let this = Putback::new().await;
    this.write(&["a", "b"]);
    let mut intake = this.intake();
    drain(&mut intake);
    intake.verify().unwrap();
    // Nothing of either row is known again: only that nobody put anything back tells.
    let every = |number| application::Set {
        event: Some("f"),
        data: Some(number),
        time_ms: Some(START_MS + 1_000 + i64::try_from(number).unwrap()),
        ..application::Set::default()
    };
    application::update(&this.outbox, &[1, 2], every(1));
    intake.verify().unwrap();
    assert_eq!(this.cursor(), (0, 2));
    // By the next event, too, without a look between.
    application::update(&this.outbox, &[2], every(2));
    this.write(&["c"]);
    drain(&mut intake);
    assert_eq!(this.cursor(), (0, 3));
    // What starts then knows the rows by what the log has of them.
    let mut again = Intake::new(
        this.world.dispatch.clone(),
        this.tail(),
        intake.cursor().clone(),
    );
    again.verify().unwrap();
    assert_eq!(this.cursor(), (0, 3));
    assert_eq!(this.sent().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_emptied_while_the_log_refuses_is_taken_from_its_beginning() {
    let mut this = Putback::new().await;
    this.write(&["a", "b"]);
    let mut intake = this.intake();
    drain(&mut intake);
    intake.verify().unwrap();
    application::empty(&this.outbox, false);
    this.person.hold();
    assert!(matches!(intake.verify(), Err(IntakeError::Store(_))));
    // As many as there were: by itself that is an UPDATE of all.
    this.write(&["c", "d"]);
    this.person.let_go();
    drain(&mut intake);
    assert_eq!(this.cursor(), (1, 2));
    assert_eq!(this.sent().await, ["a", "b", "c", "d"]);
}
