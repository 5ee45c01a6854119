//! Kept connections that somebody on the way has forgotten: requests on them meet silence.

use tokio::sync::Barrier;
use tokio::time::Instant;

use super::super::keep_alive::{IDLE, Keep};
use super::super::pool::Pool;
use super::kept::connection;
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Connections that are kept before all of them are forgotten.
const MANY: usize = 4;

#[tokio::test]
async fn one_that_meets_silence_takes_the_others_along() {
    // The first requests are answered when all are there, so that each has its own connection.
    let all = Arc::new(Barrier::new(MANY));
    let to = serve(move |number, mut stream| {
        let all = Arc::clone(&all);
        async move {
            read_request(&mut stream).await;
            if number < MANY {
                all.wait().await;
            }
            stream.write_all(OK).await.unwrap();
            // What follows on the first ones gets no answer.
            closed(&mut stream).await;
        }
    })
    .await;
    let client = hasty();
    let to = kept(&client, to);
    let first = tokio::join!(
        send(&client, &to),
        send(&client, &to),
        send(&client, &to),
        send(&client, &to)
    );
    for exchange in [first.0, first.1, first.2, first.3] {
        answer(exchange);
    }
    assert_eq!(to.sweep_idle(), MANY);
    // The attempt stays failed; the next one goes over a new connection.
    assert_eq!(failed(send(&client, &to).await).0, Class::ResponseTimeout);
    assert_eq!(to.sweep_idle(), 0);
    let next = send(&client, &to).await;
    assert!(next.phases.connect_us.is_some());
    assert_eq!(answer(next).status, 200);
}

#[tokio::test]
async fn what_answered_since_or_leads_elsewhere_stays() {
    let keep = Keep {
        idle: IDLE,
        requests: u32::MAX,
    };
    let pool = Pool::new(4);
    let taken = Instant::now();
    let later = taken + Duration::from_millis(1);
    let (old, _old) = connection(taken).await;
    let (elsewhere, _elsewhere) = connection(taken).await;
    let peer = old.peer();
    let stays = elsewhere.peer();
    pool.put(old, keep, taken);
    pool.put(elsewhere, keep, taken);
    pool.doubt(peer, taken);
    assert_eq!(pool.sweep(later), 1);
    assert_eq!(pool.take(later).await.unwrap().connection.peer(), stays);
    let (new, _new) = connection(taken).await;
    let peer = new.peer();
    pool.put(new, keep, later);
    pool.doubt(peer, taken);
    assert_eq!(pool.sweep(later), 1);
}

/// Whoever begins to answer has not forgotten it.
#[tokio::test]
async fn the_others_stay_where_an_answer_began() {
    let all = Arc::new(Barrier::new(2));
    let to = serve(move |_, mut stream| {
        let all = Arc::clone(&all);
        async move {
            read_request(&mut stream).await;
            all.wait().await;
            stream.write_all(OK).await.unwrap();
            read_request(&mut stream).await;
            drop(stream.write_all(b"HTTP/1.1 2").await);
            closed(&mut stream).await;
        }
    })
    .await;
    let client = hasty();
    let to = kept(&client, to);
    let (one, two) = tokio::join!(send(&client, &to), send(&client, &to));
    answer(one);
    answer(two);
    assert_eq!(failed(send(&client, &to).await).0, Class::ResponseTimeout);
    assert_eq!(to.sweep_idle(), 1);
}
