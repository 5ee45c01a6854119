//! Answers whose status line came, and whose head is not proper HTTP.

use super::*;

/// The answer to what is told, and what is noted of it.
async fn odd(reply: &str) -> (Answer, String) {
    let mut exchange = told(reply).await;
    let note = exchange.note.take();
    (answer(exchange), note.unwrap_or_default().into())
}

#[tokio::test]
async fn the_status_counts_and_the_rest_is_kept() {
    const IMPROPER: &str = "the head of the answer is not proper HTTP: ";
    const CUT: &str = "the answer ended within its head";
    for (reply, headers, body, note) in [
        (
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\nhi",
            "no colon",
            "hi",
            IMPROPER,
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\0b\x1b\r\nContent-Length: 2\r\n\r\nhi",
            "x: a\u{fffd}b\u{fffd}\ncontent-length: 2",
            "hi",
            IMPROPER,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "transfer-encoding: chunked",
            "hi",
            IMPROPER,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            "content-length: five",
            "hello",
            IMPROPER,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nhi",
            "content-length: 18446744073709551615",
            "hi",
            "",
        ),
        ("HTTP/1.1 200 OK\r\n", "", "", CUT),
        (
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Le",
            "server: x\nContent-Le",
            "",
            CUT,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "no colon",
            "",
            IMPROPER,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more",
            "content-length: 2",
            "hi",
            "",
        ),
    ] {
        let (answer, is) = odd(reply).await;
        assert_eq!(answer.status, 200, "{reply:?}");
        assert_eq!(answer.headers.lines(), headers, "{reply:?}");
        assert_eq!(str::from_utf8(&answer.body), Ok(body), "{reply:?}");
        assert!(is.starts_with(note), "{reply:?}: {is}");
    }
    let (answer, note) = odd("HTTP/1.1 503 Busy\r\nno colon\r\n\r\n").await;
    assert_eq!(answer.status, 503);
    assert!(note.starts_with(IMPROPER), "{note}");
}

/// In pieces, and with what follows the fault still to come when it is found.
#[tokio::test]
async fn what_comes_later_is_read_too_and_the_connection_is_not_used_again() {
    let to = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        for piece in [
            "HTTP/1.1 200 OK\r\nno co",
            "lon\r\nContent-",
            "Length: 5\r\n\r\nhe",
            "llo",
        ] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        closed(&mut stream).await;
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    for _ in 0..2 {
        let exchange = send(&client, &to).await;
        assert!(exchange.phases.connect_us.is_some(), "it was used again");
        let answer = answer(exchange);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
        assert_eq!(answer.headers.lines(), "no colon\ncontent-length: 5");
        assert!(!answer.truncated);
        assert_eq!(to.sweep_idle(), 0);
    }
}

#[tokio::test]
async fn the_time_outs_hold() {
    for (said, answered) in [
        // The head has to end in its time, and then the body may not.
        ("HTTP/1.1 200 OK\r\nno colon\r\n", false),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\nhe", true),
    ] {
        let to = serve(move |_, mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            closed(&mut stream).await;
        })
        .await;
        let client = hasty();
        let exchange = send(&client, &plain(&client, to)).await;
        assert!(exchange.duration_us < 4 * i64::try_from(SHORT.as_micros()).unwrap());
        match exchange.result {
            Ok(answer) => assert!(answered && answer.truncated && answer.body == b"he"),
            Err(failure) => {
                assert!(!answered);
                assert_eq!(failure.class, Class::ResponseTimeout);
            }
        }
    }
}
