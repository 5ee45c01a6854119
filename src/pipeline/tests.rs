//! The pipeline with a real log, scripted endpoints and paused time: schedules of days in milliseconds.
//!
//! Nothing here opens a socket or sleeps in real time; calls on the log run on blocking threads,
//! during which tokio holds its paused clock still.

mod cancel;
mod capacity;
mod halfway;
mod held;
mod identity;
mod order;
mod pace;
mod pauses;
mod putback;
mod retention;
mod schedule;
mod size;
mod trouble;
mod world;
