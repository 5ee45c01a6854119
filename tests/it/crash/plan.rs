//! Where to die: every point of the code, the times it is reached first, and what leads to it.
//!
//! What leads to a point is done before the start, or while the daemon runs; load comes by itself.

/// What is done so that a point is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Nothing: a start, or the load, leads there.
    Load,
    /// Before the start rows become older than their retention.
    Age,
    /// Before the start pending deliveries become due in a month, as by a clock that was ahead.
    Late,
    /// Before the start what is pending is what the process that died had in its hands.
    InHand,
    /// Before the start a pending delivery becomes unreadable.
    Unreadable,
    /// Events come that make the WAL long.
    Fill,
    /// Before the start large rows become older than their retention.
    AgeLarge,
    /// SIGHUP, with another configuration.
    Reload,
    /// SIGHUP, with a webhook inactive that has something pending.
    Deactivate,
    /// `webhooksd redeliver`.
    Redeliver,
    /// `webhooksd cancel` of a webhook that does not answer.
    Cancel,
    /// `INSERT INTO redelivery`.
    RedeliverSql,
    /// `webhooksd pause` and `webhooksd resume`.
    Pause,
    /// `webhooksd replay`.
    Replay,
    /// `webhooksd test`.
    Test,
    /// SIGTERM.
    Stop,
}

/// The transaction that only a crowd of dead endpoints leads to: `owed.rs` dies there.
pub(super) const OWED: &str = "make owed deliveries";

/// The transaction that only a row below the newest id leads to: `aside.rs` dies there.
pub(super) const ASIDE: &str = "set rows aside";

/// The transaction that only an order leads to that holds no longer: `turns.rs` dies there.
pub(super) const TURNS: &str = "pass turns on";
/// The transaction that only a large log of the first shape leads to: `earlier.rs` dies there.
pub(super) const EARLIER: &str = "bring pending deliveries over";
/// The transactions that only a webhook which asks for events of webhooksd itself leads to: tests/it/own/kills.rs dies
/// there.
pub(super) const OWN: [&str; 2] = ["ask for own events", "tell of pauses"];

/// The commit that changes nothing, after a reader let go of a long WAL: tests/it/disk/locked.rs leads
/// there, and there is nothing that a kill could lose.
pub(super) const NOTHING: &str = "start the WAL over";

/// One kill at a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// The name of the point.
    pub(super) point: &'static str,
    /// The how manieth time that it is reached.
    pub(super) time: u32,
    pub(super) lead: Lead,
}

/// The points that only a daemon without files reaches, in the order in which it does.
pub(super) fn first() -> Vec<Death> {
    let points = [
        "start: lock taken",
        "make the outbox: drafted",
        "make the outbox: in its place",
        "make the log: empty file",
        "migrate the log: before the commit",
        "migrate the log: committed",
        "set the cursor: before the commit",
        "set the cursor: committed",
        "start: cursor settled",
    ];
    let death = |point| Death {
        point,
        time: 1,
        lead: Lead::Load,
    };
    points.map(death).to_vec()
}

/// All others: what leads there, the times, the points.
const TABLE: [(Lead, &[u32], &[&str]); 23] = [
    (Lead::Load, &[1], &["start: ready"]),
    (
        Lead::Load,
        &[1, 2, 7],
        &[
            "take events in: rows read",
            "take events in: offered",
            "admit events: before the commit",
            "admit events: committed",
            "form a batch: before the commit",
            "form a batch: committed",
            "record attempts: before the commit",
            "record attempts: committed",
            "record attempts: let go",
        ],
    ),
    (
        Lead::Load,
        &[1, 3, 9, 27],
        &["send: taken", "send: before the request", "send: answered"],
    ),
    (
        Lead::Load,
        &[1, 2, 8],
        &[
            "append: before the commit",
            "append: committed",
            "append: before the answer",
        ],
    ),
    (
        Lead::Load,
        &[1, 2],
        &[
            "write the roll-up: before the commit",
            "write the roll-up: committed",
            "synchronise: begun",
            "synchronise: done",
        ],
    ),
    (
        Lead::Fill,
        &[1],
        &["synchronise: before the WAL starts over"],
    ),
    (
        Lead::Load,
        &[1],
        &[
            "register webhooks: before the commit",
            "register webhooks: committed",
            "reload: webhooks exchanged",
        ],
    ),
    (
        Lead::Reload,
        &[2],
        &[
            "register webhooks: before the commit",
            "register webhooks: committed",
            "reload: webhooks exchanged",
        ],
    ),
    (Lead::Reload, &[1], &["reload: configuration read"]),
    (
        Lead::Deactivate,
        &[1],
        &[
            "cancel deliveries: before the commit",
            "cancel deliveries: committed",
        ],
    ),
    (
        Lead::InHand,
        &[1],
        &[
            "park deliveries: before the commit",
            "park deliveries: committed",
        ],
    ),
    (
        Lead::Late,
        &[1],
        &[
            "bring deliveries forward: before the commit",
            "bring deliveries forward: committed",
        ],
    ),
    (
        Lead::Unreadable,
        &[1],
        &[
            "fail unreadable deliveries: before the commit",
            "fail unreadable deliveries: committed",
        ],
    ),
    (
        Lead::Age,
        &[1, 2, 3],
        &[
            "delete old rows: before the commit",
            "delete old rows: committed",
        ],
    ),
    (
        Lead::Age,
        &[1],
        &[
            "write a mark: before the commit",
            "write a mark: committed",
            "delete old marks: before the commit",
            "delete old marks: committed",
            "delete old roll-up rows: before the commit",
            "delete old roll-up rows: committed",
            "prune the outbox: deleted",
        ],
    ),
    (Lead::AgeLarge, &[1], &["sweep: pages given back"]),
    (
        Lead::Redeliver,
        &[1],
        &["redeliver: before the commit", "redeliver: committed"],
    ),
    (
        Lead::Cancel,
        &[1],
        &[
            "cancel by order: before the commit",
            "cancel by order: committed",
        ],
    ),
    (Lead::RedeliverSql, &[1], &["redeliver: seen in the log"]),
    (
        Lead::Pause,
        &[1],
        &[
            "pause a webhook: before the commit",
            "pause a webhook: committed",
            "resume webhooks: before the commit",
            "resume webhooks: committed",
        ],
    ),
    (
        Lead::Replay,
        &[1],
        &[
            "begin a replay: before the commit",
            "begin a replay: committed",
            "replay events: chunk read",
            "replay events: before the commit",
            "replay events: committed",
            "finish a replay: before the commit",
            "finish a replay: committed",
        ],
    ),
    (
        Lead::Test,
        &[1],
        &[
            "give an id to a test: before the commit",
            "give an id to a test: committed",
            "add deliveries: before the commit",
            "add deliveries: committed",
        ],
    ),
    (
        Lead::Stop,
        &[1],
        &["stop: begun", "stop: in flight ended", "stop: synchronised"],
    ),
];

/// All others.
pub(super) fn deaths() -> Vec<Death> {
    let mut deaths = Vec::new();
    for (lead, times, points) in TABLE {
        for point in points {
            let of = |time: &u32| Death {
                point,
                time: *time,
                lead,
            };
            deaths.extend(times.iter().map(of));
        }
    }
    deaths
}
