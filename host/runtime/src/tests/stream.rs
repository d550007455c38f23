//! Calls whose endpoint streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use micro_api::Error;
use micro_api::manifest::{Manifest, Reuse};

use super::fixture::{Fixture, call, guest_error, limits, reuse, streaming};
use crate::{Fault, Replies, Requests, Revision, StreamCall};

fn revision(fixture: &Fixture, settings: Manifest) -> Arc<Revision> {
    fixture.revision("streaming", streaming(), settings)
}

fn messages(texts: &[&'static str]) -> Requests {
    let all: Vec<_> = texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
    Box::pin(futures::stream::iter(all))
}

/// Messages that a test sends one by one.
fn live() -> (tokio::sync::mpsc::Sender<Result<Bytes, Error>>, Requests) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    (sender, Box::pin(futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))))
}

async fn begin(
    fixture: &Fixture,
    revision: &Arc<Revision>,
    endpoint: &str,
    requests: Option<Requests>,
    replies_stream: bool,
) -> Replies {
    let request: &[u8] = if requests.is_some() { b"" } else { b"x" };
    let call = StreamCall { call: call(endpoint, request), requests, replies_stream };
    fixture.runtime.stream(revision, call).await.unwrap()
}

/// The messages, and what came after them.
async fn all(replies: Replies) -> (Vec<Bytes>, Option<Fault>) {
    let (mut sent, mut fault) = (Vec::new(), None);
    let mut replies = replies;
    while let Some(reply) = replies.next().await {
        assert!(fault.is_none(), "a fault is the last item");
        match reply {
            Ok(message) => sent.push(message),
            Err(found) => fault = Some(found),
        }
    }
    (sent, fault)
}

/// Waits until no instance is left.
async fn until_gone(revision: &Revision) {
    let began = Instant::now();
    while revision.stats().instances > 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn messages_pass_in_each_direction() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let (sent, fault) = all(begin(&fixture, &revision, "send", None, true).await).await;
    assert!(sent.len() == 20 && sent.iter().all(|message| message == "x") && fault.is_none(), "{fault:?}");
    let requests = Some(messages(&["ab", "", "c"]));
    let (sent, fault) = all(begin(&fixture, &revision, "count", requests, false).await).await;
    assert!(sent == ["3"] && fault.is_none(), "{sent:?} {fault:?}");
    let requests = Some(messages(&["ab", "", "c"]));
    let (sent, fault) = all(begin(&fixture, &revision, "echo", requests, true).await).await;
    assert!(sent == ["ab", "", "c"] && fault.is_none(), "{sent:?} {fault:?}");
    let stats = revision.stats();
    assert_eq!((stats.requests, stats.errors), (3, 0));
}

#[tokio::test]
async fn both_sides_take_turns() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, reuse(Reuse::Sequential));
    let (sender, requests) = live();
    let mut replies = begin(&fixture, &revision, "echo", Some(requests), true).await;
    for text in ["one", "two", "three"] {
        sender.send(Ok(Bytes::from_static(text.as_bytes()))).await.unwrap();
        assert_eq!(replies.next().await.unwrap().unwrap(), text);
    }
    drop(sender);
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn what_was_sent_comes_before_the_end_whatever_that_is() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let (sent, fault) = all(begin(&fixture, &revision, "fail", None, true).await).await;
    assert_eq!((sent.len(), guest_error(fault.unwrap()).code), (1, 409));
    let (sent, fault) = all(begin(&fixture, &revision, "trap", None, true).await).await;
    assert!(sent.len() == 1 && matches!(fault, Some(Fault::Trap(_))), "{fault:?}");
    let (sent, fault) = all(begin(&fixture, &revision, "other", None, true).await).await;
    assert!(sent.len() == 1 && matches!(fault, Some(Fault::NoAnswer(_))), "{fault:?}");
    assert_eq!(revision.stats().errors, 3);
}

#[tokio::test]
async fn each_message_has_the_limits_of_a_call() {
    let fixture = Fixture::new();
    let settings = limits(|limits| {
        limits.request = Some("1KiB".to_owned());
        limits.response = Some("1MiB".to_owned());
    });
    let revision = revision(&fixture, settings);
    let (sent, fault) = all(begin(&fixture, &revision, "big", None, true).await).await;
    assert!(sent.is_empty() && matches!(fault, Some(Fault::ResponseLimit)), "{fault:?}");
    let large: &'static str = Box::leak("x".repeat(1025).into_boxed_str());
    let requests = Some(messages(&["fits", large]));
    let (sent, fault) = all(begin(&fixture, &revision, "echo", requests, true).await).await;
    assert!(sent.len() <= 1 && matches!(fault, Some(Fault::RequestLimit)), "{fault:?}");
}

#[tokio::test]
async fn a_guest_whose_caller_leaves_is_told_and_ends() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let mut replies = begin(&fixture, &revision, "loop", None, true).await;
    for _ in 0..100 {
        replies.next().await.unwrap().unwrap();
    }
    drop(replies);
    until_gone(&revision).await;
    let (_sender, requests) = live();
    let mut waiting = begin(&fixture, &revision, "echo", Some(requests), true).await;
    assert!(futures::poll!(waiting.next()).is_pending());
    drop(waiting);
    until_gone(&revision).await;
    assert!(!fixture.log("streaming").await.iter().any(|line| line.contains("limit")), "it was told in time");
}

#[tokio::test]
async fn silence_in_both_directions_has_an_end() {
    let fixture = Fixture::with(|config| config.service.http_idle = Duration::from_millis(500));
    let revision = revision(&fixture, Manifest::default());
    let (sender, requests) = live();
    let mut replies = begin(&fixture, &revision, "count", Some(requests), false).await;
    for _ in 0..6 {
        // One direction is enough.
        let pause = tokio::time::timeout(Duration::from_millis(100), replies.next()).await;
        assert!(pause.is_err(), "{pause:?}");
        sender.send(Ok(Bytes::from_static(b"x"))).await.unwrap();
    }
    let fault = replies.next().await.unwrap().unwrap_err();
    assert!(matches!(fault, Fault::WallLimit), "{fault:?}");
}

#[tokio::test]
async fn a_slow_reader_gets_no_more_than_the_time_of_a_stream() {
    let fixture = Fixture::with(|config| config.service.http_total = Duration::from_millis(500));
    let revision = revision(&fixture, Manifest::default());
    let mut replies = begin(&fixture, &revision, "loop", None, true).await;
    let began = Instant::now();
    let fault = loop {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the next message is there before it is asked for"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Err(fault) = replies.next().await.unwrap() {
            break fault;
        }
    };
    assert!(matches!(fault, Fault::WallLimit), "{fault:?}");
}

/// Its reader may be a connection that cannot send, and looks for nothing more to send until it can.
#[tokio::test]
async fn a_guest_runs_on_while_no_reply_is_taken() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let replies = begin(&fixture, &revision, "fails", None, true).await;
    until_gone(&revision).await;
    let (sent, fault) = all(replies).await;
    assert_eq!((sent.len(), guest_error(fault.unwrap()).code), (1, 409));
}

#[tokio::test]
async fn messages_go_in_while_no_reply_is_taken() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let (sender, requests) = live();
    let call = StreamCall { call: call("echo", b""), requests: Some(requests), replies_stream: true };
    // As for a call that another guest makes.
    let replies = fixture.runtime.stream_apart(&revision, call).unwrap();
    let send = async {
        for _ in 0..10 {
            sender.send(Ok(Bytes::from_static(b"x"))).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), send).await.unwrap();
    drop(sender);
    let (sent, fault) = all(replies).await;
    assert!(sent.len() == 10 && fault.is_none(), "{} {fault:?}", sent.len());
}

#[tokio::test]
async fn a_caller_that_breaks_off_fails_the_call() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let broken = Error::bad_request("go.micro.gateway", "broke off");
    let items = vec![Ok(Bytes::from_static(b"x")), Err(broken.clone())];
    let requests: Requests = Box::pin(futures::stream::iter(items));
    let (_, fault) = all(begin(&fixture, &revision, "count", Some(requests), false).await).await;
    assert_eq!(fault.unwrap().error("streaming", "r"), broken);
}

#[tokio::test]
async fn a_call_that_does_not_stream_is_told_so() {
    let fixture = Fixture::new();
    let revision = revision(&fixture, Manifest::default());
    let fault = fixture.runtime.call(&revision, call("count", b"")).await.unwrap_err();
    assert_eq!(guest_error(fault).code, 400);
    let (_, fault) = all(begin(&fixture, &revision, "echo", None, true).await).await;
    assert_eq!(guest_error(fault.unwrap()).code, 400, "it takes one message");
}
