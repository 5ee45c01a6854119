//! What a webhook shows to a server that asks who its requests are from: a certificate, and the key that
//! proves it.

use std::fmt;

use super::secret::Secret;

/// A client certificate with its chain, and its key, both as the files have them: PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// The webhook's own certificate first, then those of the authorities between.
    pub certificate: Box<[u8]>,
    /// The key of the first of them.
    pub key: Secret,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(..)")
    }
}
