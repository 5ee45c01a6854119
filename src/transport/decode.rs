//! The body of an answer as the log keeps it: decoded and cut.
//!
//! The body is for people who look for a reason, so it is read for a bounded time and size, decoded
//! where a gzip or deflate stream is announced, and kept raw where that stream is broken. A small body
//! that would unpack to gigabytes is unpacked only as far as it is kept.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::http1::BODY_BYTES;
use crate::model::Headers;

/// The body as it is kept: decoded where it can be, at most [`BODY_BYTES`] of it, and whether
/// something is missing. `cut` says whether `raw` is itself not the whole body.
pub(super) fn decode(headers: &Headers, raw: Vec<u8>, cut: bool) -> (Vec<u8>, bool) {
    let mut encodings = headers.get_all("content-encoding");
    let encoding = match (encodings.next(), encodings.next()) {
        (Some(one), None) if !raw.is_empty() => one.trim_ascii(),
        _ => return (raw, cut),
    };
    let is = |name: &str| encoding.eq_ignore_ascii_case(name);
    let decoded = if is("gzip") || is("x-gzip") {
        unpack(MultiGzDecoder::new(&raw[..]), cut)
    } else if is("deflate") {
        // RFC 9110 means zlib (8.4.1.2); some servers send the bare stream.
        unpack(ZlibDecoder::new(&raw[..]), cut)
            .or_else(|| unpack(DeflateDecoder::new(&raw[..]), cut))
    } else {
        None
    };
    decoded.unwrap_or((raw, cut))
}

/// Unpacks as much as is kept. `None` where the stream is broken; but of a stream that was cut by
/// ourselves, what came before the cut is good.
fn unpack(decoder: impl Read, cut: bool) -> Option<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    let limit = u64::try_from(BODY_BYTES).ok()? + 1;
    match decoder.take(limit).read_to_end(&mut body) {
        Ok(_) => {
            let more = body.len() > BODY_BYTES;
            body.truncate(BODY_BYTES);
            Some((body, more || cut))
        }
        Err(_) if cut && !body.is_empty() => {
            body.truncate(BODY_BYTES);
            Some((body, true))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn encoded(name: &str) -> Headers {
        let mut headers = Headers::default();
        headers.push("Content-Encoding", name.as_bytes());
        headers
    }

    #[test]
    fn each_encoding_is_decoded() {
        let text = b"the queue is full, the queue is full".repeat(20);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(&text).unwrap();
        for (name, raw) in [
            ("gzip", gzip(&text)),
            ("X-GZip", gzip(&text)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", bare.finish().unwrap()),
            ("identity", text.clone()),
        ] {
            assert_eq!(decode(&encoded(name), raw, false), (text.clone(), false));
        }
    }

    #[test]
    fn a_bomb_is_unpacked_only_as_far_as_it_is_kept() {
        let bomb = gzip(&vec![b'a'; 32 * 1024 * 1024]);
        assert!(bomb.len() > BODY_BYTES);
        let (body, truncated) = decode(&encoded("gzip"), bomb, false);
        assert_eq!((body.len(), truncated), (BODY_BYTES, true));
        assert!(body.capacity() <= 4 * BODY_BYTES);
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_whole() {
        let text = vec![b'a'; BODY_BYTES];
        let kept = decode(&encoded("gzip"), gzip(&text), false);
        assert_eq!(kept, (text, false));
    }

    #[test]
    fn a_broken_stream_is_kept_raw_and_a_cut_one_as_far_as_it_goes() {
        let raw = b"no gzip at all".to_vec();
        assert_eq!(decode(&encoded("gzip"), raw.clone(), false), (raw, false));
        let half = gzip(b"0123456789").split_at(14).0.to_vec();
        assert_eq!(decode(&encoded("gzip"), half.clone(), false), (half, false));

        let noise: Vec<u8> = (0..10_000_u32)
            .flat_map(|n| n.wrapping_mul(n).wrapping_mul(2_654_435_761).to_be_bytes())
            .collect();
        let whole = gzip(&noise);
        let half = whole.split_at(whole.len() / 2).0.to_vec();
        let (body, truncated) = decode(&encoded("gzip"), half, true);
        assert!(truncated && !body.is_empty() && noise.starts_with(&body));
    }
}
