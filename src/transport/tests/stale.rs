//! Answers at the wrong time: to nothing at all, or before the request.
//!
//! The peer is a thread with blocking sockets, which hands over its end of each connection: so a
//! test can act on it while the runtime is held up, and has not heard of what the kernel has.

use std::io::{Read, Write};
use std::net::{TcpListener as Listener, TcpStream as Stream};
use std::sync::mpsc;

use super::*;

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &[u8] = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";

/// A peer that answers 200 on its first connection and 500 on all others, once on each.
fn peer() -> (SocketAddr, mpsc::Receiver<Stream>) {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (hand_over, handed) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            take_request(&mut stream);
            stream
                .write_all(if number == 0 { GOOD } else { BAD })
                .unwrap();
            if hand_over.send(stream).is_err() {
                return;
            }
        }
    });
    (address, handed)
}

fn take_request(stream: &mut Stream) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 512];
    while !bytes.ends_with(b"\r\n\r\n{}") {
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "no whole request");
        bytes.extend_from_slice(&chunk[..n]);
    }
}

/// The status of the second request, where the peer did `meanwhile` to the kept connection.
async fn second(meanwhile: impl FnOnce(&mut Stream)) -> u16 {
    let (address, handed) = peer();
    let client = client();
    let to = kept(&client, address);
    assert_eq!(answer(send(&client, &to).await).status, 200);
    assert_eq!(to.sweep_idle(), 1, "it was not kept");
    // From here on the runtime does not run until the next request is sent.
    let mut first = handed.recv().unwrap();
    meanwhile(&mut first);
    let exchange = send(&client, &to).await;
    assert!(exchange.phases.connect_us.is_some(), "it was used again");
    answer(exchange).status
}

#[tokio::test]
async fn an_answer_to_nothing_is_not_taken_for_the_next_one() {
    let status = second(|stream| stream.write_all(GOOD).unwrap()).await;
    assert_eq!(status, 500, "the stale 200 was taken");
    let status = second(|stream| stream.write_all(b"H").unwrap()).await;
    assert_eq!(status, 500);
}

#[tokio::test]
async fn a_connection_that_was_just_closed_costs_no_try() {
    let closed = |stream: &mut Stream| stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(second(closed).await, 500);
}

/// Some receivers answer as soon as they have accepted: theirs is an answer, whoever is faster.
#[tokio::test]
async fn an_answer_before_the_request_counts() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = client();
    let to = plain(&client, address);
    for _ in 0..20 {
        let (stream, _) = tokio::join!(send(&client, &to), async {
            // The kernel has made the connection, and the runtime runs on only after this.
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(GOOD).unwrap();
            stream
        });
        assert_eq!(answer(stream).status, 200);
    }
}
