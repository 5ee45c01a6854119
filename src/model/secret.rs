//! A secret: bytes that only who signs or shows them sees.
//!
//! It has no `Display`, and its `Debug` says nothing of it, so that it can't reach a log by accident.

use std::fmt;

/// A signing key, or one of TLS. Its bytes are seen only by who signs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps the key's bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The key's bytes, for signing.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new(*b"marker")), "Secret(..)");
    }
}

/// What the headers of Standard Webhooks are signed with; both sign while a receiver changes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardSecrets {
    /// Today's.
    pub current: Secret,
    /// The one before it.
    pub previous: Option<Secret>,
}
