//! What the log keeps of some rows that were taken, so as to know them again.
//!
//! Column by column, for an application may change any of them but the id: a digest of the whole row
//! could not tell a row that was changed from another row under its id. Sixteen bytes in the log.
//! How prints are made and compared is the pipeline's.

/// What is kept of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    /// Its columns, apart.
    Columns(Columns),
    /// The first half of SHA-256 of the whole row, as version 0.1 kept it.
    Whole([u8; 16]),
}

/// The columns of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// `time`, exactly: UNIX milliseconds below 2^48.
    pub time_ms: i64,
    /// A hash of `data`.
    pub data: u32,
    /// A hash of `key` that is not 0; 0 where it is NULL.
    pub key: u32,
    /// A hash of `event` and `tenant`.
    pub rest: u16,
}

impl Columns {
    /// As the log keeps them: 6 bytes of time, 4 of data, 4 of key, 2 of the rest, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let wide = u128::from(self.time_ms.cast_unsigned() & 0xffff_ffff_ffff)
            | u128::from(self.data) << 48
            | u128::from(self.key) << 80
            | u128::from(self.rest) << 112;
        wide.to_le_bytes()
    }

    /// From the bytes of the log.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut time = [0; 8];
        time[..6].copy_from_slice(&bytes[..6]);
        let four = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| bytes[at + n]));
        Self {
            time_ms: i64::from_le_bytes(time),
            data: four(6),
            key: four(10),
            rest: u16::from_le_bytes([bytes[14], bytes[15]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::MAX_TIME_MS;

    proptest! {
        #[test]
        fn columns_come_back_from_their_bytes(
            time_ms in 0..=MAX_TIME_MS, data: u32, key: u32, rest: u16,
        ) {
            let columns = Columns { time_ms, data, key, rest };
            prop_assert_eq!(Columns::from_bytes(columns.to_bytes()), columns);
        }
    }
}
