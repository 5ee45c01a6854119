//! What both shows have: five webhooks, the events for them, and a receiver that checks and counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::super::receiver::{self, Received, Reply, Signature};
use super::super::{Failure, say, table};
use crate::model::{Clock, Dialect, Secret};
use crate::store::LogReader;

const SECRET: &str = "a-secret-of-the-demo-only";

/// Webhooks of the demo: name, dialect, pattern, and how often the endpoint fails first.
pub(super) const WEBHOOKS: [(&str, Dialect, &str, usize); 5] = [
    ("search-index", Dialect::BoldCms, "story-*", 0),
    ("newsletter", Dialect::BoldCms, "story-submit", 2),
    ("erp", Dialect::BoldFactory, "production.*", 0),
    ("warehouse", Dialect::OpenboxesLift, "stockMovement.*", 0),
    ("billing", Dialect::StandardWebhooks, "invoice.*", 0),
];

pub(super) const EVENTS: [(&str, &str); 5] = [
    (
        "story-submit",
        r#"{"headline": "Rain at last", "sections": ["weather"]}"#,
    ),
    ("story-approve", r#"{"headline": "Rain at last"}"#),
    (
        "production.order.completed",
        r#"{"reference": "PO-2024-00412", "status": "completed"}"#,
    ),
    (
        "stockMovement.shipped",
        r#"{"identifier": "SM-00142", "status": "SHIPPED"}"#,
    ),
    ("invoice.paid", r#"{"number": "2026-00118"}"#),
];

/// One delivery for each event and webhook that match: two for the first story, then one each.
pub(super) const DELIVERIES: usize = 6;

/// How many rows of the log are looked at; there are fewer.
const ROWS: u32 = 100;

/// What became of what the receiver got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) requests: usize,
    pub(super) expected: usize,
    pub(super) wrong: usize,
}

#[derive(Default)]
struct Tally {
    requests: HashMap<String, usize>,
    wrong: usize,
}

/// The receiver at work.
pub(super) struct Scene {
    pub(super) address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
    /// An endpoint that fails does so this often at the most.
    failures: usize,
    served: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Scene {
    /// Begins to receive.
    pub(super) async fn begin(failures: usize) -> Result<Self, Failure> {
        let bound = receiver::bind(0).await;
        let (listener, address) =
            bound.map_err(|error| Failure::text(format!("listen on loopback: {error}")))?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let counting = tally.clone();
        let answer = move |received: &Received| {
            Reply::status(answer(received, &mut counting.lock(), failures))
        };
        let served = tokio::spawn(receiver::serve(
            listener,
            [Secret::new(SECRET.as_bytes())].into(),
            Clock::system(),
            Arc::new(answer),
        ));
        Ok(Self {
            address,
            tally,
            failures,
            served,
        })
    }

    pub(super) fn told(&self) -> Told {
        let tally = self.tally.lock();
        let fail = WEBHOOKS.iter().map(|webhook| webhook.3.min(self.failures));
        Told {
            requests: tally.requests.values().sum(),
            expected: DELIVERIES + fail.sum::<usize>(),
            wrong: tally.wrong,
        }
    }

    /// `webhooks.toml`: these sections, then the webhooks.
    pub(super) fn configuration(&self, sections: &str) -> String {
        let address = self.address;
        let mut text = format!("tenant = \"acme\"\n{sections}");
        for (name, dialect, pattern, _) in WEBHOOKS {
            let dialect_name = dialect.name();
            text.push_str(&format!(
                "\n[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/{name}\"\nevents = [\"{pattern}\"]\n\
                 dialect = \"{dialect_name}\"\nsecret = \"{SECRET}\"\n"
            ));
            if dialect != Dialect::BoldCms {
                text.push_str("insecure_http = true\n");
            }
        }
        text
    }
}

/// What the receiver answers: 401 to a wrong signature, 500 as often as the webhook is to fail.
fn answer(received: &Received, tally: &mut Tally, failures: usize) -> u16 {
    let name = received.path.trim_start_matches('/').to_owned();
    let seen = tally.requests.entry(name.clone()).or_default();
    *seen += 1;
    let seen = *seen;
    let Some((_, dialect, _, fails)) = WEBHOOKS.iter().find(|webhook| webhook.0 == name) else {
        return 404;
    };
    if received.signatures != [Signature::Right(*dialect)] {
        tally.wrong += 1;
        return 401;
    }
    if seen <= failures.min(*fails) {
        500
    } else {
        200
    }
}

/// How many attempts the log has that ended so. The daemon may be making the log just now: then there are none.
pub(super) fn ended_so(log: &dyn LogReader, outcome: &str) -> usize {
    let rows = log.log(ROWS).unwrap_or_default();
    rows.iter().filter(|row| row.outcome == outcome).count()
}

/// Prints the log, the oldest attempt first.
pub(super) fn print_log(log: &dyn LogReader) -> Result<(), Failure> {
    let mut rows = log.log(ROWS)?;
    rows.sort_by_key(|row| row.id);
    let cells: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.time,
                row.webhook,
                row.event.unwrap_or_default(),
                row.attempt.to_string(),
                row.outcome,
                row.status
                    .map_or_else(String::new, |status| status.to_string()),
                format!("{:.1} ms", row.duration_ms),
                row.error.unwrap_or_default(),
            ]
        })
        .collect();
    let heads = [
        "time", "webhook", "event", "attempt", "outcome", "status", "duration", "error",
    ];
    say(table::align(&heads, &cells).trim_end_matches('\n'))
}
