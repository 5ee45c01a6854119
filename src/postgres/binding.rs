//! What SCRAM is bound to: the hash of the server's certificate (RFC 5929, `tls-server-end-point`).
//!
//! The hash is the one that the certificate is signed with. It is read from the outer algorithm's object
//! identifier; of a certificate whose algorithm is not known here nothing is bound, as libpq does.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// 1.2.840.113549.1.1: RSA with a hash, which the last byte names.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4.3: ECDSA with a hash of the second kind.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// 1.2.840.10045.4.1: ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// The hash of a certificate, DER.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (outer, _) = value(certificate, 0x30)?;
    let (_, behind) = value(outer, 0x30)?;
    let (algorithm, _) = value(behind, 0x30)?;
    let (oid, _) = value(algorithm, 0x06)?;
    let (last, family) = oid.split_last()?;
    // MD5 and SHA-1 count as SHA-256 (RFC 5929, 4.1).
    let bits = match (family, last) {
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => 256,
        (RSA, 12) | (ECDSA, 3) => 384,
        (RSA, 13) | (ECDSA, 4) => 512,
        _ if oid == ECDSA_SHA1 => 256,
        _ => return None,
    };
    Some(match bits {
        256 => Sha256::digest(certificate).to_vec(),
        384 => Sha384::digest(certificate).to_vec(),
        _ => Sha512::digest(certificate).to_vec(),
    })
}

/// The value of an element of that tag at the beginning of `der`, and what is behind it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0, |all, byte| (all << 8) | usize::from(*byte));
        (length, rest)
    };
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let of = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        of.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&der).unwrap(), Sha256::digest(&der).to_vec());
        let der = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&der).unwrap(), Sha384::digest(&der).to_vec());
        let der = certificate(&rcgen::PKCS_ED25519);
        assert_eq!(end_point(&der), None, "it has no hash of its own");
    }

    #[test]
    fn what_is_no_certificate_binds_nothing() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..der.len().min(600) {
            if let Some(cut) = der.get(..end) {
                assert_eq!(end_point(cut), None, "{end}");
            }
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
