//! How events, questions and orders come in from other programs: HTTP and lines over a Unix socket.
//!
//! `server` is what all of them stand on. `serve` takes connections and keeps them within limits, `activity` says how long each may take,
//! `route` finds what answers a request, `intake` reads events and `append` makes them durable,
//! `order` and `pause` pass on what people ask of the pipeline, `report` and `metrics` render how it is.
//! `shown` has the page beside them.
//! `item` reads one event as the JSON that the socket and `emit -` take.
//!
//! Nothing here opens a listening socket or reads the configuration: the daemon does. Invariants: an
//! id is answered only after its event is durable in the outbox; of a refused request nothing is
//! stored; what one client does or leaves undone costs another no more than a bounded wait.

mod activity;
mod answer;
mod append;
mod body;
mod bulk;
mod cancel;
mod counts;
mod families;
mod fields;
mod intake;
pub mod item;
mod limits;
mod lines;
mod metrics;
mod order;
mod pause;
mod redeliver;
mod report;
mod route;
mod serve;
mod server;
mod shown;

pub(crate) use append::Appending;
pub use serve::serve_socket;
pub(crate) use serve::{DESCRIPTORS, serve_metrics};
pub use server::{Api, Reload};
