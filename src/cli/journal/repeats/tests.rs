//! What is written of warnings that repeat, and what their summary says.

use std::sync::Arc;

use tokio::time::advance;
use tracing::{info, warn};

use super::*;
use crate::cli::journal::Form;
use crate::cli::journal::text::Text;

/// Repeats, in paused time, and what is admitted.
struct Scene {
    repeats: Arc<Repeats>,
    written: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        Self {
            repeats: Arc::new(Repeats::new(Clock::follow_tokio(1_000_000))),
            written: Arc::default(),
        }
    }

    /// The lines that come of these events.
    fn lines(&self, tell: impl FnOnce()) -> Vec<String> {
        let (repeats, written) = (Arc::clone(&self.repeats), Arc::clone(&self.written));
        let text = Text {
            most: Level::INFO,
            under_systemd: true,
            clock: Clock::system(),
            admits: move |event: &Event<'_>| repeats.admits(event),
            take: move |line: &[u8], _| {
                let line = String::from_utf8(line.to_vec()).unwrap();
                written.lock().push(line);
            },
        };
        tracing::subscriber::with_default(text, tell);
        std::mem::take(&mut *self.written.lock())
    }

    fn close(&self, form: Form) -> Vec<String> {
        let voice = Voice {
            form,
            under_systemd: true,
            clock: Clock::follow_tokio(1_000_000),
        };
        let lines = self.repeats.close(&voice).into_iter();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }
}

fn give_up(webhook: &str, times: usize) {
    for delivery in 0..times {
        warn!(
            webhook,
            event_id = 7,
            delivery,
            outcome = "failed",
            "given up"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_of_one_webhook_are_some_lines_and_a_summary() {
    let scene = Scene::new();
    assert_eq!(scene.repeats.closes_in(), None);
    let lines = scene.lines(|| {
        give_up("dead", 100_000);
        give_up("ill", 21);
        give_up("well", 20);
        for _ in 0..50 {
            info!(webhook = "dead", "delivered");
        }
    });
    assert_eq!(lines.len(), 3 * 20 + 50);
    advance(Duration::from_secs(4)).await;
    assert_eq!(scene.repeats.closes_in(), Some(Duration::from_secs(6)));
    advance(Duration::from_secs(6)).await;
    assert_eq!(scene.repeats.closes_in(), Some(Duration::ZERO));
    assert_eq!(
        scene.close(Form::Text),
        [
            "<4>and 99980 more of webhook \"dead\" in the last 10 s: given up, and the view failed has them\n",
            "<4>and 1 more of webhook \"ill\" in the last 10 s: given up, and the view failed has them\n",
        ]
    );
    // And a new window begins.
    assert_eq!(scene.repeats.closes_in(), None);
    assert_eq!(scene.lines(|| give_up("dead", 30)).len(), 20);
    let json = scene.close(Form::Json).remove(0);
    let json: serde_json::Value = serde_json::from_str(json.strip_prefix("<4>").unwrap()).unwrap();
    assert_eq!(
        (&json["level"], &json["webhook"], &json["more"]),
        (&"WARN".into(), &"dead".into(), &10.into())
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_can_not_be_sent_are_summed_up_too() {
    let scene = Scene::new();
    let lines = scene.lines(|| {
        for event_id in 0..1_000 {
            warn!(
                event_id,
                reason = "no JSON",
                "a row was set aside in rejected"
            );
        }
    });
    assert_eq!(lines.len(), 20);
    assert_eq!(
        scene.close(Form::Text),
        ["<4>and 980 more in the last 1 s: a row was set aside in rejected\n"]
    );
}

fn tell_of_the_daemon(lines: usize) {
    for line in 0..lines {
        warn!("webhooks.toml:{line}: a warning of the configuration");
        warn!("webhooks.toml:{line}: a warning of the configuration");
    }
}

/// journald takes 10,000 of a priority in any 30 s, which four windows may touch.
#[tokio::test(start_paused = true)]
async fn all_together_stay_below_what_journald_takes() {
    let scene = Scene::new();
    let mut count = scene
        .lines(|| {
            for webhook in 0..2_000 {
                give_up(&format!("w{webhook}"), 21);
            }
            tell_of_the_daemon(2_000);
        })
        .len();
    count += scene.close(Form::Text).len();
    assert!(4 * count < 10_000, "{count}");
    let scene = Scene::new();
    let (mut count, mut told) = (0, String::new());
    for round in 0..3 {
        count += scene
            .lines(|| {
                for webhook in 0..5_000 {
                    warn!(webhook = format!("w{webhook}"), round, "given up");
                }
                tell_of_the_daemon(2_000);
            })
            .len();
    }
    for line in scene.close(Form::Text) {
        count += 1;
        told = line;
    }
    assert!(4 * count < 10_000, "{count}");
    assert!(
        told.contains("more warnings in the last 1 s, of more webhooks"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_about_the_daemon_is_written() {
    let scene = Scene::new();
    let lines = scene.lines(|| {
        for line in 0..500 {
            warn!("webhooks.toml:{line}: a warning of the configuration");
        }
    });
    assert_eq!(lines.len(), 500);
    assert_eq!(scene.close(Form::Text).len(), 0);
}

/// What is said once is not the flood's to drop.
#[tokio::test(start_paused = true)]
async fn a_flood_about_deliveries_leaves_room_for_what_is_about_the_daemon() {
    let scene = Scene::new();
    let lines = scene.lines(|| {
        for webhook in 0..5_000 {
            give_up(&format!("w{webhook}"), 21);
        }
        warn!(was = 7, "the outbox was emptied");
        warn!(event_id = 7, "a row was set aside in rejected");
    });
    assert_eq!(lines.len(), ABOUT_EVENTS + 1);
    let last = lines.last().unwrap();
    assert!(last.contains("the outbox was emptied"), "{last}");
    let lines = scene.close(Form::Text);
    // A row names no webhook, and is not one of "more webhooks".
    let row = "<4>and 1 more in the last 1 s: a row was set aside in rejected\n";
    assert!(lines.iter().any(|line| line == row), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_about_the_daemon_is_summed_up_by_its_text() {
    let scene = Scene::new();
    let lines = scene.lines(|| {
        for _ in 0..1_000 {
            warn!(error = "EMFILE", "a connection can't be accepted");
        }
        tell_of_the_daemon(2_000);
        warn!("the outbox was emptied");
    });
    assert_eq!(lines.len(), ABOUT_DAEMON);
    let lines = scene.close(Form::Text);
    let first = "<4>and 980 more in the last 1 s: a connection can't be accepted\n";
    assert_eq!(lines[0], first);
    assert!((TEXTS..=ABOUT_DAEMON + TEXTS + 1).contains(&lines.len()));
    let last = lines.last().unwrap();
    assert!(last.ends_with("s, about webhooksd itself\n"), "{last}");
}
