//! The one integration crate: what users, applications and endpoints see of the real binary.
//!
//! Every test runs `webhooksd` as a process in a folder of its own, writes its outbox as an
//! application would, receives with plain sockets, and reads the log as `sqlite3` would. Nothing
//! here calls into the library, needs the network beyond loopback, a fixed port, or root. A test
//! waits for conditions with `support::eventually`, which names what it saw last when it gives up.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures for whoever reads the run"
)]

mod addresses;
mod apache;
mod awaited;
mod batch;
mod bodies;
mod cancel;
mod changed;
mod check;
mod churn;
mod claims;
mod clock;
mod commands;
mod config_errors;
mod console;
mod contract;
mod crash;
mod daemon;
mod databases;
mod disk;
mod ends;
mod fairness;
mod filters;
mod floors;
mod guards;
mod hangup;
mod hostile;
mod input;
mod journal;
mod kinds;
mod log;
mod metrics;
mod modes;
mod mutual;
mod names;
mod notify;
mod order;
mod order_told;
mod outboxes;
mod own;
mod pace;
mod packaging;
mod page;
mod pairs;
mod pause;
mod policy;
mod postgres;
mod proxies;
mod readme;
mod reload;
mod retry_after;
mod rights;
mod secrets;
mod size;
mod socket;
mod standard;
mod support;
mod tenants;
mod traceparent;
mod trust;
mod watching;
mod whole;
mod wire;
