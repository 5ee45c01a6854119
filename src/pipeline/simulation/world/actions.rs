//! What people, applications, disks and clocks do to a simulated week, one thing at a time.
//!
//! How much of it, and to whom, is drawn from the world's chance; when it happens is the life's.
//! What is done is written into the oracle, which judges what the product makes of it.

use super::super::filters;
use super::super::hooks::VFS;
use super::super::process::{Process, lock};
use super::super::rows::OutboxRow;
use super::super::subscriptions::{EVENTS, MAX_DATA_BYTES, TENANTS};
use super::held;
use super::{DAY_MS, HOUR_MS, Kind, MINUTE_MS, Trying, World};
use crate::model::Clock;
use crate::outbox::{Appended, Appender, NewEvent, application};

impl World {
    pub(super) fn write(&mut self, clock: &Clock, most: usize) {
        let count = self.rng.size(1, most);
        let mut events = Vec::with_capacity(count);
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            self.numbers += 1;
            let number = self.numbers;
            let padding = match self.rng.from(0, 19) {
                0 => self.rng.size(0, 3_500),
                _ => {
                    let (least, most) = held::padding(self.seed, 60);
                    self.rng.size(least, most)
                }
            };
            let event = *self.rng.of(&EVENTS);
            let tenant = self.rng.in_thousand(300).then(|| *self.rng.of(&TENANTS));
            let key = (self.rng.in_thousand(200)).then(|| format!("key-{number}"));
            let data = match self.subscriptions.is_filtering() {
                true => filters::data(number, padding),
                false => format!("{{\"n\":{number},\"p\":\"{}\"}}", "x".repeat(padding)),
            };
            events.push(NewEvent {
                event: event.into(),
                data: data.clone(),
                time_ms: Some(clock.now_ms().max(0)),
                tenant: tenant.map(Into::into),
                key: key.clone(),
            });
            rows.push(OutboxRow {
                number,
                event: event.into(),
                data,
                tenant: tenant.map(Into::into),
                bad: false,
                key,
            });
        }
        let path = &self.files.outbox;
        let application = self
            .application
            .get_or_insert_with(|| Appender::open_by(VFS, path, MAX_DATA_BYTES).unwrap());
        let appended = application.append(&events).unwrap();
        let mut oracle = lock(&self.oracle);
        for (answer, row) in appended.into_iter().zip(rows) {
            let Appended::New(id) = answer else {
                panic!("{answer:?}");
            };
            oracle.wrote(id.get(), row);
        }
        oracle.note(&format!("wrote {count}"));
        oracle.count("writes");
    }

    pub(super) fn write_bad(&mut self, clock: &Clock) {
        self.numbers += 1;
        let data = match self.rng.from(0, 2) {
            0 => "{".to_owned(),
            1 => format!("\"{}\"", "x".repeat(MAX_DATA_BYTES)),
            _ => format!("{}{}", "[".repeat(1_200), "]".repeat(1_200)),
        };
        let event = *self.rng.of(&EVENTS);
        let id = application::write_unchecked(self.files.outbox(), event, &data, clock.now_ms());
        let row = OutboxRow {
            number: self.numbers,
            event: event.into(),
            data,
            tenant: None,
            bad: true,
            key: None,
        };
        let mut oracle = lock(&self.oracle);
        oracle.wrote(id, row);
        oracle.count("bad rows");
        oracle.note(&format!("wrote {id}, which can't be sent"));
    }

    pub(super) async fn reload(&mut self, process: &Process) {
        self.subscriptions.pause_themselves();
        let directed = process.reconfigure(&self.subscriptions, &self.files).await;
        self.reload = directed.is_err();
        if let Err(error) = directed {
            lock(&self.oracle).note(&format!("not reloaded: {error}"));
        }
    }

    pub(super) fn redeliver(&mut self, clock: &Clock) {
        let mut oracle = lock(&self.oracle);
        oracle.observe();
        let ended: Vec<i64> = (oracle.sent.iter())
            .filter(|(_, sent)| !sent.in_flight)
            .map(|(id, _)| *id)
            .collect();
        if ended.is_empty() {
            return;
        }
        for _ in 0..self.rng.from(1, 10) {
            let id = *self.rng.of(&ended);
            let state = oracle.person().delivery(id).map(|row| row.state);
            if state.is_none_or(|state| state == "pending") {
                continue;
            }
            if !Self::is_kept(&mut oracle, id) {
                continue;
            }
            let made = oracle
                .person
                .as_mut()
                .unwrap()
                .redeliver(id, clock.now_ms());
            oracle.note(&format!("redeliver {id} as {made}"));
            oracle.count("redeliveries");
            oracle.observe();
            oracle.same_bytes(id, made);
        }
    }

    pub(super) fn step_clock(&mut self, clock: &Clock) {
        let most = *self.rng.of(&[MINUTE_MS, HOUR_MS, DAY_MS]);
        let by_ms =
            i64::try_from(self.rng.from(0, u64::try_from(2 * most).unwrap())).unwrap() - most;
        self.latest_ms = self.latest_ms.max(clock.now_ms());
        let mut oracle = lock(&self.oracle);
        oracle.observe();
        clock.step(by_ms);
        oracle.forward_ms += by_ms.max(0);
        oracle.turned_back |= by_ms < 0;
        oracle.disturbed_ms = oracle.mono_ms();
        oracle.hold_at_most_from(clock.now_ms());
        let set_until_ms = oracle.mono_ms() + by_ms.abs() + 2 * HOUR_MS;
        oracle.set_until_ms = oracle.set_until_ms.max(set_until_ms);
        oracle.note(&format!("the clock steps by {by_ms}"));
        oracle.count("clock steps");
    }

    pub(super) fn try_the_log(&mut self, kind: Kind) {
        let lasts = match kind {
            Kind::Quiet => self.rng.from(1_000, 1_200_000),
            Kind::Busy | Kind::Peace => self.rng.from(100, 60_000),
        };
        let in_thousand = *self.rng.of(&[20, 100, 300, 700, 1_000]);
        let mut oracle = lock(&self.oracle);
        oracle.note(&format!(
            "the log fails {in_thousand} of 1,000 for {lasts} ms"
        ));
        let until_ms = oracle.mono_ms() + i64::try_from(lasts).unwrap();
        *self.trying.lock() = Trying {
            until_ms,
            in_thousand,
        };
    }

    /// Somebody backs the outbox up.
    pub(super) fn copy(&mut self) {
        drop(std::fs::remove_file(&self.files.copy));
        application::back_up(self.files.outbox(), &self.files.copy);
        let mut oracle = lock(&self.oracle);
        self.copied = Some(oracle.rows.clone());
        oracle.note("the outbox is copied");
    }

    /// And puts the copy back.
    pub(super) fn restore(&mut self) {
        let Some(rows) = self.copied.take() else {
            return;
        };
        self.application = None;
        application::restore(&self.files.outbox, &self.files.copy);
        let mut oracle = lock(&self.oracle);
        oracle.restored(rows);
        oracle.note("the outbox is put back");
        oracle.count("outboxes put back");
    }
}
