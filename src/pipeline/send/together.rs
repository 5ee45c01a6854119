//! The attempt of several deliveries in one POST.
//!
//! The batch stands in the log before it is sent, so that a crash, or an answer that never came, has it go
//! again with the same bytes. Each delivery gets an attempt of its own, with its own verdict. Left out: which
//! of them go together (`lane/gather.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::dispatch::Dispatch;
use super::lane::{Lane, Leased};
use super::schedule::Permit;
use super::target::Target;
use super::worker::kept;
use crate::dialect::{self, Judged, Sending};
use crate::model::{
    Attempt, Batch, Due, Exchange, Fate, Fault, Posted, SentHeaders, Verdict, crash,
};
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Whether what was taken goes as an array.
    pub(super) fn goes_together(taken: &Leased<T::Endpoint>) -> bool {
        taken.target.webhook.batch.is_some() && dialect::is_batched(taken.due.dialect)
    }

    /// Whether it was taken for another form of request than today's configuration has.
    pub(super) fn was_taken_otherwise(taken: &Leased<T::Endpoint>) -> bool {
        match Self::goes_together(taken) {
            true => taken.due.batch.is_none(),
            false => !taken.more.is_empty(),
        }
    }

    /// One POST of what was formed.
    pub(super) async fn attempt_together(
        self: &Arc<Self>,
        permit: &mut Permit<T>,
        taken: &Leased<T::Endpoint>,
    ) -> Result<(), Fault> {
        let dues = || std::iter::once(&taken.due).chain(&taken.more);
        let body = dialect::array(dues().map(|due| &due.body));
        let Some(batch) = taken.due.batch.clone() else {
            return Err(Fault("a batch is sent that was not formed".into()));
        };
        let target = &taken.target;
        let started_at_ms = self.clock.now_ms();
        let lowest = dues().find(|due| due.id == batch.first());
        let lowest = lowest.unwrap_or(&taken.due);
        let trace = self.trace_of(&target.webhook, lowest, Some(&batch));
        let sending = Sending {
            batch: Some(&batch.name),
            message: None,
            event_id: taken.due.event_id,
            now_ms: started_at_ms,
            trace: trace.as_deref(),
        };
        let request = dialect::request_of(taken.due.dialect, &target.webhook, &body, &sending);
        let dues: Vec<Due> = dues().cloned().collect();
        if let Some(tell) = self.log.runtime().sending {
            dues.iter().for_each(|due| tell(due, &target.webhook));
        }
        crash::point("send", "before the request");
        self.begins(&permit.lane, taken);
        let mut exchange = self.transport.send(&target.endpoint, &request).await?;
        crash::point("send", "answered");
        let finished_at_ms = self.clock.now_ms();
        let max_attempts = target.webhook.max_attempts;
        let Judged {
            verdicts,
            fate,
            warning,
        } = dialect::verdicts(&dues, max_attempts, &exchange, finished_at_ms);
        if let Some(warning) = warning {
            warn(&target.webhook.name, &batch, &warning, &mut exchange);
        }
        let is_taken = verdicts.iter().any(|(v, _)| *v == Verdict::Delivered);
        Self::ask_about_arrays(&permit.lane, target, &exchange, (is_taken, dues.len() == 1));
        let held_until_ms = dialect::held_until_ms(taken.due.dialect, &exchange, finished_at_ms);
        let posted = Arc::new(Posted {
            halves: (fate == Fate::Split).then(|| halves(&dues)),
            batch,
            fate,
        });
        let headers = sent(request.header_lines(), body.len());
        let mut attempts = dues
            .iter()
            .zip(verdicts)
            .map(|(due, (verdict, error))| Attempt {
                due: kept(due),
                number: due.number(),
                started_at_ms,
                finished_at_ms,
                url: target.url.clone(),
                request_headers: headers.clone(),
                trace: trace.clone(),
                exchange: exchange.clone(),
                verdict: verdict.not_before(held_until_ms),
                error,
                posted: Some(posted.clone()),
                held_until_ms,
            });
        if let Some(first) = attempts.next() {
            self.hand_over(permit, first, attempts.collect());
        }
        Ok(())
    }

    /// Where nothing is taken though all goes alone, a person is asked whether the receiver takes arrays.
    fn ask_about_arrays(
        lane: &Lane<T::Endpoint>,
        target: &Target<T::Endpoint>,
        exchange: &Exchange,
        (is_taken, is_alone): (bool, bool),
    ) {
        let status = exchange.status_of_the_endpoint();
        let is_refused = is_alone && status.is_some_and(dialect::splits);
        if lane.note_array(is_taken, is_refused) {
            let webhook = &*target.webhook.name;
            tracing::warn!(
                webhook,
                status,
                hint = "leave batch out if it takes single events only",
                "every event is refused alone in its array as well: does this receiver take arrays?"
            );
        }
    }

    /// Makes a batch of what was taken, which is in the order of its body, and has the log have it.
    pub(super) async fn form(
        self: &Arc<Self>,
        taken: &mut Leased<T::Endpoint>,
    ) -> Result<(), Fault> {
        if taken.due.batch.is_some() {
            return Ok(());
        }
        crash::point("send", "taken");
        let all: Vec<&Due> = std::iter::once(&taken.due).chain(&taken.more).collect();
        let body = dialect::array(all.iter().map(|due| &due.body));
        let batch = Arc::new(batch_of(&all, &body));
        let written = batch.clone();
        self.with_store(move |_, store| store.form(&written))
            .await
            .map_err(|error| Fault(format!("the batch can't be written into the log: {error}")))?;
        taken.due.batch = Some(batch.clone());
        for due in &mut taken.more {
            due.batch = Some(batch.clone());
        }
        Ok(())
    }
}

/// Tells a person of it, in the journal and in the log.
fn warn(webhook: &str, batch: &Batch, warning: &str, exchange: &mut Exchange) {
    tracing::warn!(webhook, batch = &*batch.name, warning);
    let before = exchange.note.take();
    let before = before.map_or(String::new(), |note| format!("{note}; "));
    exchange.note = Some(format!("{before}{warning}").into());
}

/// The two halves of a batch that was refused; the first has the one more.
fn halves(dues: &[Due]) -> Arc<[Batch; 2]> {
    let (first, second) = dues.split_at(dues.len().div_ceil(2));
    Arc::new([first, second].map(|half| {
        let body = dialect::array(half.iter().map(|due| &due.body));
        let all: Vec<&Due> = half.iter().collect();
        batch_of(&all, &body)
    }))
}

fn batch_of(dues: &[&Due], body: &Bytes) -> Batch {
    let mut batch = Batch {
        name: Box::default(),
        members: dues.iter().map(|due| due.id).collect(),
    };
    batch.name = dialect::batch_id(batch.first(), body).into();
    batch
}

/// The headers as the log keeps them, once for all.
fn sent(lines: String, length: usize) -> SentHeaders {
    // A brace may be a place holder's.
    if lines.contains('{') {
        return SentHeaders::Whole(lines);
    }
    SentHeaders::Shared {
        lines: lines.into(),
        length,
        signature: None,
    }
}
