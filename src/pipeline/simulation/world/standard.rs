//! Weeks in which some webhooks speak `standard-webhooks`, or have its headers beside their own.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. At the begin of each request the oracle holds that a
//! body goes out as the same message whenever it does, under its batch's id in a batch, and is signed with a secret of
//! the webhook.

use super::ordered;
use crate::dialect::standard_signature;
use crate::model::{Dialect, Request, Secret, StandardSecrets, Webhook};
use crate::pipeline::simulation::hooks::Sending;
use crate::pipeline::simulation::oracle::Oracle;
use crate::pipeline::simulation::rng::Rng;
use crate::pipeline::simulation::traced;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 26_000_000_000;

const SECRET: &[u8] = b"a secret of the simulation";

/// What a webhook asks for besides what its edits say; what it speaks, by its name and its count of sends, which an
/// edit may change.
pub(in super::super) fn ask(seed: u64, webhook: &mut Webhook) {
    ordered::ask(seed, webhook);
    traced::ask(seed, webhook);
    if seed < FROM {
        return;
    }
    let name: u64 = webhook.name.bytes().map(u64::from).sum();
    let mut rng = Rng::new(seed, 26_000 + name * 16 + u64::from(webhook.max_attempts));
    let secrets = |previous: bool| StandardSecrets {
        current: Secret::new(SECRET),
        previous: previous.then(|| Secret::new(*b"whsec_c2ltdWxhdGlvbg==")),
    };
    let previous = rng.in_thousand(500);
    webhook.standard = rng.in_thousand(700).then(|| secrets(previous).into());
    if webhook.standard.is_some() && rng.in_thousand(600) {
        webhook.dialect = Dialect::StandardWebhooks;
        webhook.batch = None;
    } else if webhook.dialect == Dialect::StandardWebhooks {
        // That of another week of its life, which the file no longer says.
        webhook.dialect = Dialect::BoldFactory;
    }
}

/// How long peace lasts: the ladder of this dialect is four days, and one may begin late in them.
pub(super) fn peace_ms(seed: u64, others_ms: i64) -> u64 {
    let days = if seed < FROM { 1 } else { 3 };
    days * others_ms.unsigned_abs()
}

impl Oracle {
    /// A request begins; where it has the headers, they are those of its body.
    pub(in super::super) fn is_message(&mut self, sending: &[Sending], request: &Request) {
        let value = |name: &str| {
            let mut all = request.headers.iter().filter(|header| header.name == name);
            all.next().map(|header| header.value.to_string())
        };
        let (Some(id), Some(at)) = (value("webhook-id"), value("webhook-timestamp")) else {
            return;
        };
        self.count("messages");
        if let Some(batch) = value("X-Webhook-Batch") {
            self.count("batches as messages");
            if batch != id {
                self.broke(&format!("{batch} is the message {id}"));
            }
        } else {
            for one in sending {
                let payload = one.due.payload_id.get();
                let before = self
                    .batches
                    .messages
                    .entry(payload)
                    .or_insert_with(|| id.clone());
                if *before != id {
                    let before = before.clone();
                    self.broke(&format!("{payload} is the message {id}, and was {before}"));
                }
            }
        }
        let expected = standard_signature(&Secret::new(SECRET), &id, &at, &request.body);
        let signed = value("webhook-signature");
        // Of one that was made before its webhook left the dialect, and has no secret of it any more.
        let Some(signed) = signed else {
            self.count("messages without a secret");
            return;
        };
        if !signed.split(' ').any(|one| one == expected) {
            self.broke(&format!("{id} is not signed with the webhook's secret"));
        }
    }
}
