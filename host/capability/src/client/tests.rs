//! Streams of a guest to other services.

use std::sync::Arc;
use std::time::Duration;

use micro_api::Error;
use micro_api::manifest::Grants;

use super::{Codec, HANDLES_MAX, Options, Request, Selector};
use crate::tests::{World, context, eventually};
use crate::{Ctx, Handle};

fn handle_of(world: &World, call: &str) -> Handle {
    let guest = world.guest(Grants { call: vec![call.to_owned()], ..Grants::default() });
    Handle::new(guest, context(Duration::from_secs(10)))
}

fn request(service: &str, body: Option<&str>) -> Request<Option<Vec<u8>>> {
    Request {
        service: service.to_owned(),
        endpoint: "Greeter.Chat".to_owned(),
        codec: Codec::Json,
        body: body.map(|body| body.as_bytes().to_vec()),
        options: Options::default(),
    }
}

fn code<R: std::fmt::Debug>(result: Result<R, Error>) -> u16 {
    result.unwrap_err().code
}

#[tokio::test]
async fn messages_go_there_and_come_back() {
    let world = World::new();
    let guest = handle_of(&world, "*");
    let labels = vec![("region".to_owned(), "eu".to_owned())];
    let options = Options { labels: labels.clone(), selector: Selector::RoundRobin, ..Options::default() };
    let chat = guest.client_open(Request { options, ..request("other", None) }).await.unwrap();
    for text in ["one", "two"] {
        guest.client_send(chat, text.into()).await.unwrap();
        assert_eq!(guest.client_receive(chat).await.unwrap().unwrap(), text.as_bytes());
    }
    guest.client_send(chat, b"last".to_vec()).await.unwrap();
    guest.client_finish(chat).unwrap();
    guest.client_finish(chat).unwrap();
    assert_eq!(code(guest.client_send(chat, vec![1]).await), 400, "the last message was sent");
    assert_eq!(guest.client_receive(chat).await.unwrap().unwrap(), b"last");
    assert_eq!(guest.client_receive(chat).await.unwrap(), None);
    assert_eq!(code(guest.client_receive(chat).await), 400, "its end ends the handle");
    let options = world.calls.lock().pop().unwrap();
    assert_eq!((options.labels, options.selector), (labels, Selector::RoundRobin));
    assert_eq!(options.deadline, guest.context.deadline, "what the inbound call has left");
    assert!(options.metadata.contains(&("Micro-From-Service".to_owned(), "greeter".to_owned())));
}

#[tokio::test]
async fn one_message_goes_along_with_open() {
    let world = World::new();
    let guest = handle_of(&world, "*");
    let feed = guest.client_open(request("other", Some("only"))).await.unwrap();
    assert_eq!(code(guest.client_send(feed, vec![1]).await), 400);
    assert_eq!(code(guest.client_finish(feed)), 400);
    assert_eq!(guest.client_receive(feed).await.unwrap().unwrap(), b"only");
    assert_eq!(guest.client_receive(feed).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_not_granted_is_not_opened() {
    let world = World::new();
    let guest = handle_of(&world, "friend");
    let error = guest.client_open(request("stranger", None)).await.unwrap_err();
    assert!(error.code == 403 && error.detail.contains("`call = [\"stranger\"]`"), "{error}");
    assert!(world.calls.lock().is_empty());
}

#[tokio::test]
async fn handles_are_bounded_and_an_error_ends_one() {
    let world = World::new();
    let guest = handle_of(&world, "*");
    for _ in 0..HANDLES_MAX {
        guest.client_open(request("slow", None)).await.unwrap();
    }
    let error = guest.client_open(request("slow", None)).await.unwrap_err();
    assert!(error.code == 429 && error.detail.contains("limit: streams"), "{error}");
    guest.conversations.close(1);
    guest.conversations.close(1);
    let broken = guest.client_open(request("broken", None)).await.unwrap();
    assert_eq!(code(guest.client_receive(broken).await), 409, "the service's own");
    assert_eq!(code(guest.client_receive(broken).await), 400);
    guest.client_open(request("slow", None)).await.unwrap();
    guest.conversations.clear();
    assert_eq!(code(guest.client_send(2, vec![1]).await), 400);
    guest.client_open(request("slow", None)).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_its_budget_and_with_close() {
    let world = World::new();
    let guest = handle_of(&world, "*");
    let options = Options { timeout_ms: Some(20), ..Options::default() };
    let slow = guest.client_open(Request { options, ..request("slow", None) }).await.unwrap();
    assert_eq!(code(guest.client_receive(slow).await), 408);
    let slow = guest.client_open(request("slow", None)).await.unwrap();
    let close = async {
        tokio::task::yield_now().await;
        guest.conversations.close(slow);
    };
    let (received, ()) = tokio::join!(guest.client_receive(slow), close);
    assert_eq!(code(received), 400, "whoever waits is told");
}

#[tokio::test]
async fn a_stream_past_its_budget_makes_room() {
    let world = World::new();
    let guest = handle_of(&world, "*");
    let open = async |timeout_ms| {
        let options = Options { timeout_ms, ..Options::default() };
        guest.client_open(Request { options, ..request("slow", None) }).await
    };
    let kept = open(None).await.unwrap();
    for _ in 1..HANDLES_MAX {
        open(Some(1)).await.unwrap();
    }
    eventually("those past their budget are closed", async || open(None).await.is_ok()).await;
    guest.client_send(kept, vec![1]).await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_last_call_closes_what_is_open() {
    let world = World::new();
    let mut ctx = Ctx::new(Arc::clone(&handle_of(&world, "*").guest));
    let (one, two) =
        (ctx.begin(context(Duration::from_secs(10))), ctx.begin(context(Duration::from_secs(10))));
    let chat = ctx.handle().client_open(request("other", None)).await.unwrap();
    ctx.end(one);
    ctx.handle().client_send(chat, vec![1]).await.unwrap();
    ctx.end(two);
    assert_eq!(code(ctx.handle().client_send(chat, vec![1]).await), 400);
}
