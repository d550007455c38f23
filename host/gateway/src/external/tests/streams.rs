//! Calls that stream, to a server of HTTP/1.1.

use std::convert::Infallible;

use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use micro_capability::client::Replies;
use micro_runtime::{Body, BoxError, Requests};

use super::*;
use crate::envelope::{self, Decoder, Envelope};

/// The envelopes of a request as they come.
struct Reader {
    body: Incoming,
    decoder: Decoder,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(Envelope::Message(message)) = self.decoder.next().unwrap() {
                return Some(message);
            }
            let part = self.body.frame().await?.ok()?.into_data().ok()?;
            self.decoder.push(&part);
        }
    }
}

/// Answers each message as it comes: `end` ends the answer, `fail` with an error, `cut` without an end.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/connect+json");
    assert_eq!(request.uri().path(), "/Greeter/Chat");
    let reader = Reader { body: request.into_body(), decoder: Decoder::new(1 << 20) };
    let parts = futures::stream::unfold(Some(reader), |state| async move {
        let mut reader = state?;
        match reader.next().await {
            None => Some((envelope::end(None), None)),
            Some(message) if message == "end" => Some((envelope::end(None), None)),
            Some(message) if message == "cut" => Some((envelope::message(b"x").slice(..3), None)),
            Some(message) if message == "fail" => {
                Some((envelope::end(Some(&Error::conflict("legacy", "taken"))), None))
            }
            Some(message) => Some((envelope::message(&message), Some(reader))),
        }
    });
    let body = StreamBody::new(parts.map(|part| Ok::<_, BoxError>(Frame::data(part)))).boxed_unsync();
    Ok(Response::builder().header("content-type", "application/connect+json").body(body).unwrap())
}

/// Where [`answer`] listens, and how many connections are open.
async fn streaming_server() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let open = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&open);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                let _ = connection.await;
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

fn stream(external: &Arc<External>, requests: Requests) -> Replies {
    external.stream("Greeter.Chat", Codec::Json, requests, context(PATIENCE), &Choice::default())
}

fn messages(texts: &[&'static str]) -> Requests {
    let all: Vec<_> = texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
    Box::pin(futures::stream::iter(all))
}

async fn all(replies: Replies) -> (Vec<Bytes>, Option<Error>) {
    let all: Vec<_> = tokio::time::timeout(PATIENCE, replies.collect::<Vec<_>>()).await.unwrap();
    let error = all.iter().find_map(|reply| reply.clone().err());
    (all.into_iter().filter_map(Result::ok).collect(), error)
}

#[tokio::test]
async fn messages_pass_both_ways_and_errors_end_them() {
    let (address, _) = streaming_server().await;
    let external = Arc::new(external(&[&nowhere().await, &address], true));
    for (sent, wanted, code) in [
        (&["a", "", "b"][..], &["a", "", "b"][..], None),
        (&[], &[], None),
        (&["a", "end", "never"], &["a"], None),
        (&["a", "fail"], &["a"], Some(409)),
        (&["a", "cut"], &["a"], Some(502)),
    ] {
        let (replies, error) = all(stream(&external, messages(sent))).await;
        assert_eq!(
            (replies, error.as_ref().map(|error| error.code)),
            (wanted.iter().map(|text| Bytes::from(*text)).collect(), code),
            "{sent:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn who_leaves_closes_the_connection() {
    let (address, open) = streaming_server().await;
    let external = Arc::new(external(&[&address], true));
    let mut replies = stream(&external, Box::pin(messages(&["a"]).chain(futures::stream::pending())));
    assert_eq!(replies.next().await.unwrap().unwrap(), "a");
    assert_eq!(open.load(Ordering::SeqCst), 1);
    assert_eq!(external.nodes[0].in_flight.load(Ordering::SeqCst), 1);
    drop(replies);
    while open.load(Ordering::SeqCst) > 0 || external.nodes[0].in_flight.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_nothing_past_the_deadline() {
    let (address, open) = streaming_server().await;
    let external = Arc::new(external(&[&address], true));
    let requests = Box::pin(messages(&["a"; 20]).chain(futures::stream::pending()));
    let context = context(Duration::from_secs(1));
    let mut replies = external.stream("Greeter.Chat", Codec::Json, requests, context, &Choice::default());
    assert_eq!(replies.next().await.unwrap().unwrap(), "a");
    let closed = async {
        while open.load(Ordering::SeqCst) > 0 || external.nodes[0].in_flight.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    let (_, error) = all(replies).await;
    assert_eq!(error.unwrap().code, 408);
}

#[tokio::test]
async fn a_caller_that_breaks_off_is_no_fault_of_the_node() {
    let (address, _) = streaming_server().await;
    let external = Arc::new(external(&[&address], true));
    for _ in 0..6 {
        let broken = Err(Error::bad_request("go.micro.gateway", "broke off"));
        let requests = messages(&["a"]).chain(futures::stream::iter([broken]));
        let (_, error) = all(stream(&external, Box::pin(requests))).await;
        assert_eq!(error.unwrap().detail, "broke off");
    }
    assert!(external.nodes[0].breaker.is_closed());
}

#[tokio::test]
async fn a_node_that_cannot_stream_is_said() {
    for (answer, code) in [
        ("HTTP/1.1 415 Unsupported Media Type\r\nContent-Length: 0\r\n\r\n", 415),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 502),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            std::future::pending::<()>().await;
        });
        let external = Arc::new(external(&[&address], true));
        let (replies, error) = all(stream(&external, messages(&["a"]))).await;
        assert_eq!((replies.len(), error.unwrap().code), (0, code));
    }
}
