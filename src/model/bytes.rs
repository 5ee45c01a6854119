//! Sizes as people write them, with a unit: powers of 1,000 and of 1,024.

/// Every unit, the smaller ones first.
pub(crate) const UNITS: [(&str, u64); 8] = [
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// The size as it would be typed: by the largest unit of which it is a whole number, or else rounded up
/// to whole MB.
pub(crate) fn typed(bytes: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    match UNITS.iter().rev().find(whole) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{}MB", bytes.div_ceil(1_000_000)),
    }
}

/// The size for people to read, with three digits that matter.
pub(crate) fn read(bytes: u64) -> String {
    let (name, unit) = match bytes {
        0..1_000_000 => ("kB", 1_000),
        1_000_000..1_000_000_000 => ("MB", 1_000_000),
        1_000_000_000..1_000_000_000_000 => ("GB", 1_000_000_000),
        _ => ("TB", 1_000_000_000_000),
    };
    let tenths = bytes / (unit / 10);
    if tenths < 1_000 && !tenths.is_multiple_of(10) {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_short_as_they_can_be() {
        for (bytes, text) in [
            (10_000_000_000, "10GB"),
            (64_000_000, "64MB"),
            (1_500_000_000, "1500MB"),
            (64 << 20, "64MiB"),
            (3 << 30, "3GiB"),
            (2 << 40, "2TiB"),
            (64_000_001, "65MB"),
            (0, "0MB"),
        ] {
            assert_eq!(typed(bytes), text);
        }
    }

    #[test]
    fn sizes_are_read_with_three_digits() {
        for (bytes, text) in [
            (9_876_543_210, "9.8 GB"),
            (10_000_000_000, "10 GB"),
            (123_456_789, "123 MB"),
            (64_000_000, "64 MB"),
            (8_192, "8.1 kB"),
            (0, "0 kB"),
            (1_230_000_000_000, "1.2 TB"),
        ] {
            assert_eq!(read(bytes), text);
        }
    }
}
