//! Logs that keep the bodies of what failed alone: they go while everything else happens.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. After every commit of attempts the oracle
//! holds that whatever is pending, owed or ended without success has its body, and what was delivered no
//! answer's; and a person is refused what has no body.

use super::World;
use crate::model::Bodies;
use crate::pipeline::simulation::oracle::Oracle;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 14_000_000_000;

/// Whose bodies such a week's log keeps.
pub(super) fn bodies(seed: u64) -> Bodies {
    if seed >= FROM {
        Bodies::Failed
    } else {
        Bodies::All
    }
}

impl World {
    /// Whether the log has the body of a delivery; where it has not, a redelivery is refused.
    pub(super) fn is_kept(oracle: &mut Oracle, id: i64) -> bool {
        let person = oracle.person();
        if person.is_kept(id) {
            return true;
        }
        if person.is_redelivered(id) {
            oracle.broke(&format!(
                "delivery {id} has no body, and was taken to be sent again"
            ));
        }
        oracle.count("refused redeliveries");
        false
    }
}
