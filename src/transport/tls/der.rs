//! What a certificate says of itself, read from its DER (RFC 5280, 4.1): its dates, what it is for,
//! and whether it has names.
//!
//! The TLS library reads all of it as well, but tells of none but the names. Only certificates that
//! were given to be trusted, or to be shown as our own, are read here, so what can't be read is `None` and no reason is needed.

use std::time::Duration;

use rustls::pki_types::UnixTime;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    /// It says that it is for servers, or not what it is for.
    pub(super) for_servers: bool,
    pub(super) has_names: bool,
    /// It says that it is for clients, or not what it is for.
    pub(super) for_clients: bool,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;
/// `[0]`, explicit: the version.
const VERSION: u8 = 0xa0;
/// `[3]`, explicit: the extensions.
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.37
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// 1.3.6.1.5.5.7.3.2
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// 2.5.29.37.0
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

/// Reads a certificate.
pub(super) fn facts(der: &[u8]) -> Option<Facts> {
    let mut certificate = Der(Der(der).expect(SEQUENCE)?);
    let mut fields = Der(certificate.expect(SEQUENCE)?);
    fields.skip(VERSION);
    fields.expect(INTEGER)?;
    fields.expect(SEQUENCE)?; // signature
    fields.expect(SEQUENCE)?; // issuer
    let mut validity = Der(fields.expect(SEQUENCE)?);
    let mut facts = Facts {
        not_before: validity.time()?,
        not_after: validity.time()?,
        for_servers: true,
        has_names: false,
        for_clients: true,
    };
    while let Some((tag, content)) = fields.next() {
        if tag != EXTENSIONS {
            continue;
        }
        let mut extensions = Der(Der(content).expect(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = extensions.next() {
            extension_of(extension, &mut facts)?;
        }
    }
    Some(facts)
}

fn extension_of(extension: &[u8], facts: &mut Facts) -> Option<()> {
    let mut extension = Der(extension);
    let id = extension.expect(OBJECT)?;
    let mut value = extension.next()?;
    if value.0 != OCTETS {
        // That was whether it is critical.
        value = extension.next()?;
    }
    match id {
        EXTENDED_KEY_USAGE => {
            let mut purposes = Der(Der(value.1).expect(SEQUENCE)?);
            facts.for_servers = false;
            facts.for_clients = false;
            while let Some((_, purpose)) = purposes.next() {
                facts.for_servers |= purpose == SERVER_AUTH;
                facts.for_clients |= purpose == CLIENT_AUTH || purpose == ANY_USAGE;
            }
        }
        SUBJECT_ALT_NAME => facts.has_names = true,
        _ => {}
    }
    Some(())
}

/// Whether it is one sequence to its end, as certificates and keys are.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    let mut rest = Der(der);
    rest.expect(SEQUENCE).is_some() && rest.0.is_empty()
}

/// Whether a certificate is of X.509 version 1, which has no field for its version.
pub(super) fn is_version_1(der: &[u8]) -> bool {
    let fields = Der(der)
        .expect(SEQUENCE)
        .and_then(|c| Der(c).expect(SEQUENCE));
    fields.is_some_and(|fields| fields.first() == Some(&INTEGER))
}

/// The element that some DER begins with, without what follows it: OpenSSL writes whom it trusts a
/// certificate for behind that.
pub(super) fn first(der: &[u8]) -> Option<&[u8]> {
    let mut rest = Der(der);
    rest.expect(SEQUENCE)?;
    der.get(..der.len() - rest.0.len())
}

/// The kind of a PKCS #7 or PKCS #12 structure, by the identifier that it begins with.
pub(super) fn container(der: &[u8]) -> Option<Container> {
    let mut content = Der(Der(der).expect(SEQUENCE)?);
    match content.next()? {
        (OBJECT, SIGNED_DATA) => Some(Container::Pkcs7),
        (INTEGER, [3]) => Some(Container::Pkcs12),
        _ => None,
    }
}

/// What holds certificates without being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Pkcs7,
    Pkcs12,
}

/// What is left of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|next| next.0 == tag).map(|next| next.1)
    }

    fn skip(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }

    /// A time, in one of its two forms: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
    fn time(&mut self) -> Option<UnixTime> {
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z")?;
        let (century, digits) = match (tag, digits.len()) {
            (UTC_TIME, 12) => (None, digits),
            (LONG_TIME, 14) => {
                let (century, digits) = digits.split_at_checked(2)?;
                (Some(two(century)?), digits)
            }
            _ => return None,
        };
        let mut pairs = digits.chunks(2).map(two);
        let mut pair = || pairs.next().flatten();
        let year = pair()?;
        // RFC 5280, 4.1.2.5.1
        let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
        let days = days(century * 100 + year, pair()?, pair()?)?;
        let seconds = (pair()? * 60 + pair()?) * 60 + pair()?;
        let since = u64::try_from(days * 86_400 + seconds).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(since)))
    }
}

fn two(digits: &[u8]) -> Option<i64> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Days since 1970, by the calendar of today for all times.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: UnixTime) -> u64 {
        time.as_secs()
    }

    #[test]
    fn dates_are_counted_as_the_calendar_has_them() {
        for (text, tag, expected) in [
            ("19700101000000Z", LONG_TIME, Some(0)),
            ("20000229235959Z", LONG_TIME, Some(951_868_799)),
            ("20000301000000Z", LONG_TIME, Some(951_868_800)),
            ("21000301000000Z", LONG_TIME, Some(4_107_542_400)),
            ("241114093217Z", UTC_TIME, Some(1_731_576_737)),
            ("691231235959Z", UTC_TIME, Some(0)),
            ("99991231235959Z", LONG_TIME, Some(253_402_300_799)),
            ("20001301000000Z", LONG_TIME, None),
            ("2000-1-1000000Z", LONG_TIME, None),
            ("20000101000000", LONG_TIME, None),
            ("20000101000000Z", UTC_TIME, None),
        ] {
            let length = u8::try_from(text.len()).unwrap();
            let der = [&[tag, length], text.as_bytes()].concat();
            assert_eq!(Der(&der).time().map(seconds), expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_or_no_certificate_is_nothing() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let der = params.self_signed(&key).unwrap();
        let read = facts(der.der()).unwrap();
        assert_eq!(seconds(read.not_before), 1_709_164_800);
        assert_eq!(seconds(read.not_after), 2_840_140_800);
        assert!(!read.for_servers && read.for_clients && read.has_names);
        assert!(!is_version_1(der.der()));
        let whole: &[u8] = der.der();
        for length in 0..whole.len() {
            assert_eq!(facts(&whole[..length]), None, "{length}");
        }
        assert_eq!(facts(b"-----BEGIN CERTIFICATE-----"), None);
    }
}
