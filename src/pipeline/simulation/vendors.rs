//! The vendors' documents a second time: how many sends, and how long between them at least.
//!
//! Written from the documents and not from the product's rules, so that a slip in one is seen by
//! the other. Jitter only ever makes a delay longer, so it is not here.

use crate::model::Dialect;

/// How many sends the vendors' documents give a delivery.
pub(super) fn sends(dialect: Dialect, max_attempts: u32) -> u32 {
    match dialect {
        Dialect::BoldCms => 4,
        Dialect::BoldFactory => max_attempts,
        Dialect::OpenboxesLift => 6,
        Dialect::StandardWebhooks => 10,
    }
}

/// How long they wait at least after the attempt of that number.
pub(super) fn delay_ms(dialect: Dialect, number: u32) -> i64 {
    match dialect {
        Dialect::BoldCms => 10_000,
        Dialect::BoldFactory => (1..number).fold(10_000, |ms: i64, _| (ms * 2).min(3_600_000)),
        Dialect::OpenboxesLift => match number {
            1 => 60_000,
            2 => 300_000,
            3 => 1_800_000,
            4 => 7_200_000,
            _ => 43_200_000,
        },
        Dialect::StandardWebhooks => {
            let minutes = [5, 30, 2 * 60, 5 * 60, 10 * 60, 14 * 60, 20 * 60, 24 * 60];
            match number {
                1 => 5_000,
                _ => minutes[number as usize - 2] * 60_000,
            }
        }
    }
}
