//! How events and questions come in from other programs.
//!
//! `item` reads one event as the JSON that the socket and `emit -` take. It stores nothing.

pub mod item;
