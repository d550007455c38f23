//! How streams are read and written.

use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use micro_runtime::BoxError;
use proptest::prelude::*;

use super::*;
use crate::envelope;

/// A body in these parts.
fn parts_of(wire: &[u8], size: usize) -> Body {
    let parts: Vec<_> = wire.chunks(size).map(Bytes::copy_from_slice).collect();
    let frames = parts.into_iter().map(|part| Ok::<_, BoxError>(Frame::data(part)));
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

fn all(messages: micro_runtime::Requests) -> Vec<Result<Bytes, u16>> {
    let codes = messages.map(|message| message.map_err(|error| error.code));
    futures::executor::block_on(codes.collect())
}

fn replies(items: Vec<Result<&'static str, Error>>) -> Replies {
    Box::pin(futures::stream::iter(items.into_iter().map(|item| item.map(Bytes::from))))
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #[test]
    fn lines_survive_however_they_are_cut(
        lines in prop::collection::vec("[a-z]{1,20}", 0..8),
        ends in any::<bool>(),
        size in 1..16usize,
    ) {
        let mut wire = lines.join("\r\n \n");
        if ends && !lines.is_empty() {
            wire.push('\n');
        }
        let read = all(read::lines(parts_of(wire.as_bytes(), size), 21));
        let read: Vec<_> = read.into_iter().map(|line| line.unwrap().trim_ascii().to_vec()).collect();
        let wanted: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), size in 1..16usize) {
        all(read::lines(parts_of(&bytes, size), 8));
        all(read::envelopes(parts_of(&bytes, size), 8));
    }
}

#[test]
fn what_is_too_large_or_cut_is_the_last() {
    let wire = [envelope::message(b"fits"), envelope::message(b"too large")].concat();
    assert_eq!(all(read::envelopes(parts_of(&wire, 3), 8)), [Ok(Bytes::from("fits")), Err(413)]);
    let wire = envelope::message(b"fits");
    assert_eq!(all(read::envelopes(parts_of(&wire[..7], 3), 8)), [Err(400)]);
    assert_eq!(all(read::envelopes(parts_of(&[1, 0, 0, 0, 0], 3), 8)), [Err(415)]);
    assert_eq!(all(read::envelopes(parts_of(&envelope::end(None), 3), 8)), [Err(400)]);
    assert_eq!(all(read::lines(parts_of(b"fits\ntoo large", 3), 8)), [Ok(Bytes::from("fits")), Err(413)]);
    assert!(all(read::lines(parts_of(b"", 3), 8)).is_empty());
}

#[tokio::test]
async fn one_message_is_exactly_one() {
    for (count, wanted) in [(0, Err(400)), (1, Ok(Bytes::from("x"))), (2, Err(400))] {
        let wire = envelope::message(b"x").repeat(count);
        let only = read::only(read::envelopes(parts_of(&wire, 64), 8)).await;
        assert_eq!(only.map_err(|error| error.code), wanted, "{count}");
    }
}

#[tokio::test]
async fn replies_are_lines_events_or_envelopes() {
    let error = || Error::conflict("svc", "taken");
    let some = || replies(vec![Ok("{\"a\":\n1}"), Ok(""), Err(error())]);
    let lines = write::plain(some(), false).await.unwrap();
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
    let object = error().to_json();
    assert_eq!(text(lines).await, format!("{{\"a\": 1}}\n{{}}\n{{\"error\":{object}}}\n"));
    let events = write::plain(some(), true).await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let wanted = format!("data: {{\"a\": 1}}\n\ndata: {{}}\n\nevent: error\ndata: {object}\n\n");
    assert_eq!(text(events).await, wanted);
    let envelopes = write::connect(Ok(some()), Codec::Json);
    assert_eq!(envelopes.headers()["content-type"], "application/connect+json");
    let wire = [envelope::message(b"{\"a\":\n1}"), envelope::message(b"{}"), envelope::end(Some(&error()))];
    let body = envelopes.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, wire.concat());
    let proto = write::connect(Ok(replies(vec![Ok("")])), Codec::Protobuf).into_body().collect().await;
    assert_eq!(proto.unwrap().to_bytes(), [envelope::message(b""), envelope::end(None)].concat());
}

#[tokio::test]
async fn an_error_before_the_first_reply_is_an_ordinary_one() {
    let early = || replies(vec![Err(Error::conflict("svc", "taken"))]);
    assert_eq!(write::plain(early(), false).await.unwrap_err().code, 409);
    let connect = write::connect(Err(Error::conflict("svc", "taken")), Codec::Json);
    assert_eq!(connect.status(), 200, "of the Connect protocol it is the end");
    assert_eq!(text(write::plain(replies(Vec::new()), false).await.unwrap()).await, "");
}

#[test]
fn what_a_client_accepts_is_read() {
    let headers = |text: &'static str| HeaderMap::from_iter([(header::ACCEPT, text.parse().unwrap())]);
    assert!(accepts(&headers("text/html, Text/Event-Stream;q=0.9"), EVENTS));
    assert!(!accepts(&headers("text/html, */*"), EVENTS));
    let of = |text: &'static str| {
        connect_codec(&HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]))
    };
    assert_eq!(of("application/connect+json; charset=utf-8"), Some(Codec::Json));
    assert_eq!(of("application/connect+proto"), Some(Codec::Protobuf));
    assert_eq!(of("application/json"), None);
}
