//! The pieces of HTTP that receiver and bare client share.
//!
//! The response is the one that every figure is measured with: 200, two headers, 11 bytes.

/// With a kept connection.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";

/// With a connection for each request.
pub(crate) const ANSWER_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";

/// The body of a request, in bytes.
pub(crate) const BODY_BYTES: usize = 1_024;

/// What an event holds, so that the body with its envelope has [`BODY_BYTES`] (give or take the
/// digits of an id).
pub(crate) fn data(event: &str) -> String {
    let envelope = r#"{"v1":{"event":{"id":12345,"name":"","time":1700000000000},"data":}}"#;
    let wrapping = r#"{"text":""}"#;
    let length = BODY_BYTES - envelope.len() - event.len() - wrapping.len();
    let text: String = "lorem ipsum dolor sit amet "
        .chars()
        .cycle()
        .take(length)
        .collect();
    format!(r#"{{"text":"{text}"}}"#)
}

/// What the daemon sends in its envelope, for the bare client.
pub(crate) fn body(event: &str) -> String {
    format!(
        r#"{{"v1":{{"event":{{"id":12345,"name":"{event}","time":1700000000000}},"data":{}}}}}"#,
        data(event)
    )
}
