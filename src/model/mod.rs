//! The nouns: event, webhook, delivery, attempt, their ids, and the clock they are timed by.
//!
//! Floor 0 of the house. Nothing here does I/O, knows SQL, HTTP, TOML or a retry policy, but for the crash
//! points, which end the process, and the clock; these are the values that the floors above hand to each
//! other. Every type says its units in its names: `_ms` is UNIX milliseconds or a span of them, `_us` is
//! microseconds.

mod alarm;
pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod caller;
mod chain;
mod client_identity;
pub(crate) mod clock;
pub(crate) mod crash;
mod decimal;
pub(crate) mod delivery;
mod durations;
pub(crate) mod event;
mod fact;
pub(crate) mod headers;
mod host;
mod ids;
mod kept;
mod kind;
mod min_tls;
mod network;
pub(crate) mod own;
mod pause;
pub(crate) mod print;
mod proxy;
mod rate;
mod rule;
mod secret;
mod sent;
mod server;
pub(crate) mod shown;
mod snapshot;
pub(crate) mod told;
mod traceparent;
mod turn;
pub(crate) mod url;
mod vfs;
pub(crate) mod webhook;
pub(crate) mod when;
mod window;

pub(crate) use attempt::{
    Answer, Attempt, Class, Exchange, Failure, Fault, Header, Phases, Request, Verdict,
};
pub(crate) use batch::{Batch, BatchRule, Fate, Posted};
pub(crate) use chain::chain;
pub(crate) use client_identity::ClientIdentity;
pub use clock::Clock;
pub(crate) use decimal::{Decimal, Number};
pub(crate) use delivery::{Admission, Cursor, Deferred, Due, FanOut, Rejected, Trigger};
pub(crate) use durations::{LOG_BUCKETS, LOG_EDGES_MS, METRICS_BUCKETS, METRICS_EDGES_MS};
pub use event::Event;
pub(crate) use event::{MAX_DEPTH, MAX_ID};
pub(crate) use fact::{Announce, Fact, Halt};
pub(crate) use headers::Headers;
pub use ids::EventId;
pub(crate) use ids::{AttemptId, DeliveryId, Generation, PayloadId, ReplayId};
pub(crate) use kept::Bodies;
pub(crate) use kind::other_kind;
pub(crate) use min_tls::MinTls;
pub(crate) use network::{AddressRule, Network, NoNetwork};
pub(crate) use pause::{LONGEST_PAUSE_MS, Pause};
pub(crate) use print::Print;
pub(crate) use proxy::Proxy;
pub(crate) use rate::Rate;
pub(crate) use rule::{Condition, Operand, Path, Rule, Step, Word};
pub(crate) use secret::{Secret, StandardSecrets};
pub(crate) use sent::{SentHeaders, Signed, around_value, signature_of};
pub use server::LogPlace;
pub(crate) use server::{Server, ServerHost, ServerTls};
pub(crate) use snapshot::Snapshot;
pub(crate) use traceparent::{LogId, Traceparent};
pub(crate) use turn::{HELD_MS, Order, Turn, TurnRule};
pub(crate) use url::Url;
pub(crate) use vfs::Vfs;
pub use webhook::{Dialect, Webhook};
pub(crate) use webhook::{Pattern, Unwanted};
pub(crate) use window::{IdRange, TimeWindow};
