//! Whose bodies the log keeps once their deliveries have ended.

/// `[log] bodies`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bodies {
    /// Everybody's, for their days.
    #[default]
    All,
    /// Not those of what was delivered.
    Failed,
}

impl Bodies {
    pub(crate) const ALL: [Self; 2] = [Self::All, Self::Failed];

    /// As the file writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failed => "failed",
        }
    }
}
