//! Where the pass over what is due too late goes on after a clock was set.

/// Where the pass of `clamp_due` is: in that webhook behind `(due_at, id)`, or before the one behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct ClampPass {
    pub(super) webhook: Option<String>,
    pub(super) held_until_ms: Option<i64>,
    pub(super) at: Option<(i64, i64)>,
}
