//! What other nodes had recorded as this one came, and may be in no roll-up (`rollup`).

/// How far it was counted, and when that was written.
pub(super) type Mark = (i64, i64);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Uncounted {
    /// Behind this attempt, which was the last that was counted.
    pub(super) after: i64,
    /// The mark since then, by this node's own writes.
    pub(super) mark: Mark,
    /// Up to this.
    pub(super) last: i64,
    /// Who was there, and may count them.
    pub(super) nodes: Vec<String>,
}
