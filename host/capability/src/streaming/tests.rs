//! Both ends of a call that streams.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use micro_api::manifest::Grants;

use super::*;
use crate::tests::{World, context};
use crate::{Ctx, Handle};

const BOTH: Shape = Shape { takes: true, replies: true };

fn handle_of(world: &World, near: &Arc<Near>) -> Handle {
    let mut ctx = Ctx::new(world.guest(Grants::default()));
    let call = ctx.begin(context(Duration::from_secs(10)));
    ctx.attach(call, Arc::clone(near));
    ctx.handle()
}

#[tokio::test]
async fn messages_pass_in_both_directions() {
    let (near, mut far) = duplex(BOTH, 10);
    let guest = handle_of(&World::new(), &near);
    let requests = far.requests.take().unwrap();
    requests.send(Bytes::from_static(b"ask")).await.unwrap();
    drop(requests);
    assert_eq!(guest.stream_receive().await.unwrap().unwrap(), b"ask");
    assert_eq!(guest.stream_receive().await.unwrap(), None);
    guest.stream_send(b"answer".to_vec()).await.unwrap();
    assert_eq!(far.replies.as_mut().unwrap().recv().await.unwrap(), "answer");
}

#[tokio::test]
async fn what_the_endpoint_does_not_stream_is_refused() {
    let world = World::new();
    for (takes, replies) in [(false, false), (true, false), (false, true)] {
        let (near, far) = duplex(Shape { takes, replies }, 10);
        let guest = handle_of(&world, &near);
        assert_eq!((far.requests.is_some(), far.replies.is_some()), (takes, replies));
        if !takes {
            assert_eq!(guest.stream_receive().await.unwrap_err().code, 400);
        }
        if !replies {
            assert_eq!(guest.stream_send(Vec::new()).await.unwrap_err().code, 400);
        }
    }
    let unary = Handle::new(world.guest(Grants::default()), context(Duration::from_secs(1)));
    let error = unary.stream_receive().await.unwrap_err();
    assert_eq!((error.code, error.detail.as_str()), (400, "the call does not stream"));
}

#[tokio::test]
async fn a_guest_whose_caller_is_gone_is_told() {
    let (near, far) = duplex(BOTH, 10);
    let guest = handle_of(&World::new(), &near);
    let leave = async {
        tokio::task::yield_now().await;
        drop(far);
    };
    let (waiting, ()) = tokio::join!(guest.stream_receive(), leave);
    let error = waiting.unwrap_err();
    assert_eq!((error.code, error.status.as_str()), (499, "Client Closed Request"));
    assert_eq!(guest.stream_send(vec![1]).await.unwrap_err().code, 499);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_the_last() {
    let (near, mut far) = duplex(BOTH, 4);
    let guest = handle_of(&World::new(), &near);
    guest.stream_send(b"fits".to_vec()).await.unwrap();
    assert!(!far.is_over());
    let error = guest.stream_send(b"large".to_vec()).await.unwrap_err();
    assert!(error.code == 413 && error.detail.contains("limit: response"), "{error}");
    assert_eq!(guest.stream_send(b"fits".to_vec()).await.unwrap_err().code, 499);
    let replies = far.replies.as_mut().unwrap();
    assert_eq!(replies.recv().await.unwrap(), "fits");
    assert_eq!(replies.recv().await, None);
    assert!(far.is_over());
}

#[tokio::test]
async fn whoever_sends_too_much_waits() {
    let (sender, mut receiver) = queue();
    for _ in 0..MESSAGES_MAX {
        sender.send(Bytes::new()).await.unwrap();
    }
    assert!(sender.send(Bytes::new()).now_or_never().is_none());
    while receiver.try_recv().is_some() {}
    let large = Bytes::from(vec![0; BYTES_MAX * 2]);
    sender.send(large.clone()).await.unwrap();
    assert!(sender.send(Bytes::from_static(b"x")).now_or_never().is_none(), "it waits alone");
    assert_eq!(receiver.recv().await.unwrap().len(), large.len());
    sender.send(Bytes::from_static(b"x")).await.unwrap();
    sender.send(Bytes::from(vec![0; BYTES_MAX - 1])).await.unwrap();
    let wait = sender.send(large);
    let leave = async { drop(receiver) };
    let (waited, ()) = tokio::join!(wait, leave);
    assert_eq!(waited, Err(Closed));
}

#[tokio::test]
async fn bytes_that_wait_to_be_sent_are_bounded() {
    let (near, _far) = duplex(BOTH, 10 << 20);
    let guest = handle_of(&World::new(), &near);
    let message = vec![0; 8 << 20];
    guest.stream_send(message.clone()).await.unwrap();
    let send = || Box::pin(guest.stream_send(message.clone()));
    let mut waiting: Vec<_> = (0..4).map(|_| send()).collect();
    for send in &mut waiting {
        assert!(futures::poll!(send).is_pending());
    }
    for bytes in [0, 8 << 20] {
        let error = guest.stream_send(vec![0; bytes]).await.unwrap_err();
        assert!(error.code == 429 && error.detail.contains("limit: streams"), "{error}");
    }
    waiting.pop();
    let mut next = send();
    assert!(futures::poll!(&mut next).is_pending(), "it waits as those before");
}

#[tokio::test]
async fn of_several_calls_none_takes_the_messages_of_another() {
    let world = World::new();
    let mut ctx = Ctx::new(world.guest(Grants::default()));
    let (one, _far) = duplex(BOTH, 10);
    let first = ctx.begin(context(Duration::from_secs(1)));
    ctx.attach(first, one);
    let second = ctx.begin(context(Duration::from_secs(1)));
    let error = ctx.handle().stream_receive().await.unwrap_err();
    assert!(error.code == 500 && error.detail.contains("several calls"), "{error}");
    ctx.end(second);
    ctx.handle().stream_send(vec![1]).await.unwrap();
    ctx.end(first);
    assert_eq!(ctx.handle().stream_send(vec![1]).await.unwrap_err().code, 400, "no call runs");
}
