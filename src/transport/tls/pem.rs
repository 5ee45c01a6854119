//! The text of a `ca_file`, or of a client's certificate and key: certificates by all the names that OpenSSL, and so curl, takes them by, and
//! what a file is that has none.
//!
//! The TLS library knows `CERTIFICATE` alone, at the very beginning of a line, and passes over the rest.

use super::der::{self, Container};

const MARK: &[u8] = b"\xef\xbb\xbf";
/// Older names of a certificate, and of one with OpenSSL's notes behind it.
const KINDS: [&[u8]; 2] = [b"X509 ", b"TRUSTED "];
const BEGIN: &[u8] = b"-----BEGIN ";
const EDGES: [&[u8]; 2] = [BEGIN, b"-----END "];

/// The text with one name for all certificates, and without a byte-order mark.
pub(super) fn plain(text: &[u8]) -> Vec<u8> {
    let text = without_mark(text);
    let mut plain = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        match renamed(line) {
            Some((edge, rest)) => plain.extend([edge, rest].concat()),
            None => plain.extend(line),
        }
    }
    plain
}

/// The text without a byte-order mark.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

fn renamed(line: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let edge = EDGES.into_iter().find(|edge| line.starts_with(edge))?;
    let label = line.strip_prefix(edge)?;
    let rest = KINDS
        .into_iter()
        .find_map(|kind| label.strip_prefix(kind))?;
    rest.starts_with(b"CERTIFICATE-----")
        .then_some((edge, rest))
}

/// What a file is that has no certificate in PEM, and what to do.
pub(super) fn what_else(file: &[u8]) -> &'static str {
    match der::container(file) {
        Some(Container::Pkcs7) => {
            return "it is PKCS #7 in DER, and not PEM; this makes PEM of it: \
                    openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem";
        }
        Some(Container::Pkcs12) => {
            return "it is PKCS #12, and not PEM; this makes PEM of it: \
                    openssl pkcs12 -nokeys -in FILE -out FILE.pem";
        }
        None => {}
    }
    if der::facts(file).is_some() {
        return "it is a certificate in DER, and not PEM; this makes PEM of it: \
                openssl x509 -inform DER -in FILE -out FILE.pem";
    }
    if has(file, b"B\0E\0G\0I\0N\0") || has(file, b"\0B\0E\0G\0I\0N") {
        return "it is PEM in UTF-16, where one byte for each character is needed; this makes that of it: \
                iconv -f UTF-16 -t UTF-8 FILE > FILE.pem";
    }
    let labels = file.split(|byte| matches!(byte, b'\n' | b'\r'));
    let labels = labels.filter_map(|line| {
        line.strip_prefix(BEGIN)?
            .trim_ascii()
            .strip_suffix(b"-----")
    });
    for label in labels {
        if label == b"PKCS7" {
            return "it is PKCS #7, and not certificates one by one; this makes those of it: \
                    openssl pkcs7 -print_certs -in FILE -out FILE.pem";
        }
        if label.ends_with(b"PRIVATE KEY") {
            return "it holds a private key and no certificate: name the file with the certificate, \
                    which is no secret";
        }
        if label.ends_with(b"CERTIFICATE REQUEST") {
            return "it holds a request for a certificate: name the file with the certificate that the \
                    authority made of it";
        }
    }
    "there is no certificate in it"
}

/// The private keys of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    None,
    One,
    Several,
    /// One that needs a passphrase.
    Encrypted,
    /// One in a form that no TLS library reads.
    Foreign,
}

/// Which keys a text has, by the lines that they begin with.
pub(super) fn keys(text: &[u8]) -> Keys {
    let mut found = Keys::None;
    for line in without_mark(text).split(|byte| matches!(byte, b'\n' | b'\r')) {
        // RFC 1421, 4.6.1.1, in what OpenSSL wrote before PKCS #8.
        if found == Keys::One && line.starts_with(b"Proc-Type:") && has(line, b"ENCRYPTED") {
            found = Keys::Encrypted;
        }
        let Some(label) = line
            .strip_prefix(BEGIN)
            .and_then(|l| l.trim_ascii().strip_suffix(b"-----"))
        else {
            continue;
        };
        let key = match label {
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Keys::One,
            b"ENCRYPTED PRIVATE KEY" => Keys::Encrypted,
            label if label.ends_with(b"PRIVATE KEY") => Keys::Foreign,
            _ => continue,
        };
        found = if found == Keys::None {
            key
        } else {
            return Keys::Several;
        };
    }
    found
}

/// What a file is that has no key in PEM.
pub(super) fn no_key(file: &[u8]) -> &'static str {
    if der::container(file) == Some(Container::Pkcs12) {
        return "it is PKCS #12, and not PEM; this makes PEM of it: openssl pkcs12 -nodes -nocerts -in FILE -out FILE.key";
    }
    if has(file, b"-----BEGIN CERTIFICATE") {
        return "it holds a certificate and no key";
    }
    if has(file, b"PUBLIC KEY-----") {
        return "it holds a public key, and the private one is wanted";
    }
    if der::is_sequence(file) {
        return "it is DER, and not PEM; this makes PEM of a key: openssl pkey -inform DER -in FILE -out FILE.key";
    }
    "there is no key in it"
}

fn has(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|some| some == part)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::super::check_ca;

    /// What `openssl x509 -trustout -addtrust serverAuth` writes, of a certificate of localhost.
    const TRUSTED: &str = "\
-----BEGIN TRUSTED CERTIFICATE-----\n\
MIIBlDCCATmgAwIBAgIUEpuF8sxOyEawmdXF4Gl9sgr3b0UwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyODE0MDQzOFoXDTM2MTEyNTE0\n\
MDQzOFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
AQcDQgAEVi0mD9JJfbeZXYGGpzVhjpR0+RKsLNoS44am2NvUI7BQz0dqoU1/nbRf\n\
3wvNzPPL5rMfNRK2/5R9iroexds+vqNpMGcwHQYDVR0OBBYEFK8EAZNMW9uRkUB9\n\
TNFA7IL/h2OcMB8GA1UdIwQYMBaAFK8EAZNMW9uRkUB9TNFA7IL/h2OcMA8GA1Ud\n\
EwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0MAoGCCqGSM49BAMCA0kA\n\
MEYCIQDbgv6fSgLf9DjO32i2M9cyUC1icQ0rL+e2KnvQSD6OnwIhAKEjxrz6YHOI\n\
Wn+TU3n/zFv1N4spD5RS9JxB9sRv1SIJMAwwCgYIKwYBBQUHAwE=\n\
-----END TRUSTED CERTIFICATE-----\n";

    fn certificate() -> rcgen::Certificate {
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn certificates_are_taken_by_all_their_names() {
        let pem = certificate().pem();
        for text in [
            pem.clone(),
            pem.replace("CERTIFICATE", "X509 CERTIFICATE"),
            pem.replace("CERTIFICATE", "X509 CERTIFICATE")
                .replace('\n', "\r\n"),
            format!("\u{feff}{pem}"),
            format!("words before\n{pem}words behind"),
            TRUSTED.to_owned(),
            TRUSTED.to_owned() + &pem,
        ] {
            assert_eq!(check_ca(text.as_bytes()), Ok(()), "{text}");
        }
        // Each of them counts: a second one that is broken is told of.
        let broken = pem
            .replace("CERTIFICATE", "X509 CERTIFICATE")
            .replace("MII", "!!!");
        let told = check_ca((pem + &broken).as_bytes()).unwrap_err();
        assert!(told.starts_with("certificate 2 is no PEM"), "{told}");
    }

    #[test]
    fn what_is_no_pem_is_named_with_the_way_to_it() {
        let (pem, der) = (certificate().pem(), certificate().der().to_vec());
        let key = KeyPair::generate().unwrap().serialize_pem();
        let utf16 = |text: &str| -> Vec<u8> {
            let units = ['\u{feff}' as u16].into_iter().chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        };
        let big_endian =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        // The beginnings of a PKCS #7 structure and of a PKCS #12 one.
        let pkcs7 = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x00".to_vec();
        let pkcs12 = b"\x30\x05\x02\x01\x03\x30\x00".to_vec();
        for (file, words, command) in [
            (der, "a certificate in DER", "openssl x509 -inform DER "),
            (pkcs7, "PKCS #7 in DER", "openssl pkcs7 -inform DER "),
            (pkcs12, "PKCS #12", "openssl pkcs12 -nokeys "),
            (
                pem.replace("CERTIFICATE", "PKCS7").into_bytes(),
                "PKCS #7, ",
                "openssl pkcs7 -print_certs ",
            ),
            (utf16(&pem), "UTF-16", "iconv -f UTF-16 "),
            (big_endian(&pem), "UTF-16", "iconv -f UTF-16 "),
            (key.into_bytes(), "a private key and no certificate", ""),
            (
                pem.replace("CERTIFICATE", "CERTIFICATE REQUEST")
                    .into_bytes(),
                "a request",
                "",
            ),
            (b"words".to_vec(), "there is no certificate", ""),
            (Vec::new(), "there is no certificate", ""),
        ] {
            let told = check_ca(&file).unwrap_err();
            assert!(told.contains(words) && told.contains(command), "{told}");
        }
    }
}
