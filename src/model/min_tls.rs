//! The oldest TLS that a webhook's endpoint may speak.

/// A version of TLS. Older ones are not spoken at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MinTls {
    /// TLS 1.2 (RFC 5246), or newer.
    #[default]
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

impl MinTls {
    /// Reads it as it is typed.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "1.2" => Some(Self::V12),
            "1.3" => Some(Self::V13),
            _ => None,
        }
    }
}
