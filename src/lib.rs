//! webhooksd: a webhook sender for one machine, or for several that share a PostgreSQL.
//!
//! # The cast
//!
//! An **event** is a row that an application wrote into the **outbox**. A **webhook** is a
//! subscription with its endpoint, from `webhooks.toml`. Fan-out makes a **delivery** of each event
//! and webhook that match; its **payload** is the body, made once. An **attempt** is one POST, its
//! **outcome** what the endpoint did, its **verdict** what follows. The **log** is `log.db`, where
//! all of it stands for its days of **retention**; the **journal** is what the daemon prints. A
//! **dialect** is a vendor's wire contract.
//!
//! # The way of an event
//!
//! ```text
//!  application ──INSERT──▶ outbox ──tail──▶ intake ──admit──▶ log ──due──▶ dispatch ──▶ transport ──▶ endpoint
//!                                          (fan-out)      (delivery,      │  (dialect: bytes)
//!                                                          payload)  ◀─record─ attempt + new state
//! ```
//!
//! The log is the only joint between taking events in and sending them out. There is no state "in
//! flight": what is not finished is due again after a crash.
//!
//! # The floors
//!
//! Imports point down; on a floor, `daemon` may ask `api` and nobody else his neighbour. Each outside crate
//! has its homes, and nobody else may know it. A test holds both, and this table.
//!
//! | floor | module | what it does | crates that live there |
//! |---|---|---|---|
//! | 7 | `cli` | one file per command; the only place that prints | bytes, clap, `clap_complete`, `clap_mangen`, http, http-body-util, hyper, hyper-util, itoa, jiff, nix, `parking_lot`, rustix, serde, `serde_json`, tempfile, tokio, tracing, tracing-subscriber, unicode-width, ureq |
//! | 6 | `daemon`, `api` | configuration → running pipeline; what other programs send and ask | bytes, http, http-body-util, hyper, hyper-util, listenfd, nix, `parking_lot`, rustix, sd-notify, serde, `serde_json`, tempfile, tokio, tracing |
//! | 5 | `page` | the log in a browser | bytes, http-body-util, hyper, hyper-util, maud, `parking_lot`, `serde_json`, tempfile, tokio |
//! | 4 | `query` | what people ask of outbox, log and pipeline, answered as values | `parking_lot`, serde, `serde_json`, tokio |
//! | 3 | `pipeline` | in wings: `intake`, `send`, `log`, `orders`, over what they share | bytes, `parking_lot`, `serde_json`, tempfile, tokio, tracing |
//! | 2 | `config` | text → typed with spans → meant, or every diagnostic | tempfile, toml |
//! | 2 | `outbox` | schema, tail, watch, append, prune; the same in PostgreSQL | rusqlite, rustix, serde, `serde_json`, tempfile, tokio, tokio-postgres |
//! | 2 | `store` | the log in domain words; the same in PostgreSQL | bytes, `parking_lot`, rusqlite, rustix, tempfile, tokio-postgres |
//! | 2 | `transport` | one POST: request in, outcome and timings out | bytes, dns-lookup, flate2, httparse, `parking_lot`, rustix, rustls, rustls-native-certs, `serde_json`, tokio, tokio-rustls |
//! | 1 | `dialect` | pure: envelope, headers, signature, success, schedule | bytes, hmac, itoa, jiff, `serde_json`, sha2 |
//! | 1 | `postgres` | a connection to PostgreSQL, and what can go wrong with one | rustls, rustls-native-certs, sha2, tokio, tokio-postgres, tokio-rustls |
//! | 1 | `filter` | pure: whether `data` is what a webhook's `where` asks for | memchr, serde, `serde_json` |
//! | 0 | `model` | event, webhook, delivery, attempt, their ids, clock; crash points | bytes, http, jiff, rustix, tokio |
//!
//! `parking_lot` has locks that no panic poisons, and a fair one for the log. hyper serves the socket and the
//! receivers of `demo` and `listen`; it sends nothing. tempfile is the tests' but for `cli`, jiff in `dialect` too.
//!
//! # What is deliberately absent
//!
//! - No state in memory that a crash could lose: memory holds copies and hints.
//! - No wait for the disk between an event and its request: the outbox is durable already.
//! - No parsing of `data` into values: it leaves with the very text that was written.
//! - No redirect is followed, no request is sent twice without a row in the log; where a kept connection
//!   dies under a request, the one row says so.
//! - No read of the wall clock but in `model::clock`, no randomness but a new log's id: jitter and traces are hashes.
//! - No descriptor of a database but SQLite's own: closing one drops the process's locks.

mod api;
mod cli;
mod config;
mod daemon;
mod dialect;
mod filter;
mod model;
mod outbox;
mod page;
mod pipeline;
mod postgres;
mod query;
mod store;
mod transport;

pub use cli::main;

/// What the tests beside the crate call (`tests/fuzz`, `tests/it`), and nobody else may.
#[doc(hidden)]
pub mod tested {
    pub use crate::api::{Api, Reload, item, serve_socket};
    pub use crate::config::{
        Config, Diagnostic, Report, SecretsWanted, Severity, Surroundings, parse,
    };
    pub use crate::dialect::{body, event_id_text, request, row_id_of};
    pub use crate::filter::wants;
    pub use crate::model::crash::{BEFORE_COMMIT, COMMITTED, POINTS, TRANSACTIONS};
    pub use crate::model::event::{MAX_DEPTH, MAX_ID, MAX_TIME_MS, is_name};
    pub use crate::model::{Clock, Dialect, Event, EventId, LogPlace, Webhook};
    pub use crate::outbox::{AppendError, Appended, Appender, NewEvent, Row, SCHEMA, Tail};
    pub use crate::pipeline::{Dispatch, Pace, PipelineConfig, Retention};
    pub use crate::query::About;
    pub use crate::store::Store;
    pub use crate::transport::Client;
}
