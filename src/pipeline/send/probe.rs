//! The one delivery by which a webhook that paused itself is tried, though its gate is shut: see `gate`.

use crate::model::DeliveryId;

/// Whether a delivery of a webhook that paused itself is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Probe {
    #[default]
    No,
    /// The next that is due shall be.
    Wanted,
    /// This one is.
    Of(DeliveryId),
}
