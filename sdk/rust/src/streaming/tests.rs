use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;
use crate::api::Pair;
use crate::test::World;
use crate::{Client, ClientNext, Context, Endpoints, LocalFuture, Next, Request, Service};

/// As `micro proto` writes a server: `Count` replies with a stream, `Sum` takes one, `Echo` does both.
struct Streamer;

impl Endpoints for Streamer {
    fn names(&self) -> &'static [&'static str] {
        &["S.Count", "S.Sum", "S.Echo", "S.Call"]
    }

    fn call<'a>(
        &'a self,
        _context: &'a Context,
        endpoint: &'a str,
        body: Vec<u8>,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async move {
            let (requests, replies) = (Requests::<Pair>::inbound(endpoint), Replies::<Pair>::inbound());
            match endpoint {
                "S.Count" => count(crate::decode(endpoint, &body)?, &replies).await.map(|()| Vec::new()),
                "S.Sum" => {
                    let mut all = String::new();
                    while let Some(one) = requests.next().await? {
                        all.push_str(&one.key);
                    }
                    Ok(crate::encode(&pair(&all)))
                }
                "S.Echo" => {
                    while let Some(one) = requests.next().await? {
                        if one.key == "stop" {
                            return Err(Error::conflict("s", "stopped"));
                        }
                        replies.send(&one).await?;
                    }
                    Ok(Vec::new())
                }
                _ => {
                    let error = replies.send(&pair("")).await.unwrap_err();
                    assert_eq!(requests.next().await.unwrap_err().code, 400);
                    Err(error)
                }
            }
        })
    }

    fn streams(&self, endpoint: &str) -> Streams {
        match endpoint {
            "S.Count" => Streams { requests: false, replies: true },
            "S.Sum" => Streams { requests: true, replies: false },
            "S.Echo" => Streams { requests: true, replies: true },
            _ => Streams::default(),
        }
    }
}

/// Counts to `most`, and logs how the caller left.
async fn count(most: Pair, replies: &Replies<Pair>) -> Result<(), Error> {
    for number in 1..=most.key.parse().unwrap_or(usize::MAX) {
        if let Err(error) = replies.send(&pair(&number.to_string())).await {
            crate::info!("{} after {}", error.code, number - 1);
            return Err(error);
        }
    }
    Ok(())
}

fn pair(key: &str) -> Pair {
    Pair { key: key.to_owned(), values: Vec::new() }
}

fn keys(pairs: &[Pair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.key.as_str()).collect()
}

#[crate::wrapper]
async fn log(ctx: &Context, request: Request, next: Next<'_>) -> Result<Vec<u8>, Error> {
    let endpoint = request.endpoint.clone();
    let reply = next.run(ctx, request).await?;
    crate::info!("{endpoint} gave {} bytes", reply.len());
    Ok(reply)
}

#[crate::wrapper]
async fn client_log(request: Request, next: ClientNext<'_>) -> Result<Vec<u8>, Error> {
    crate::info!("opens {} {} {}", request.endpoint, request.stream, request.body.len());
    next.run(request).await
}

#[crate::wrapper]
async fn cache(_request: Request, _next: ClientNext<'_>) -> Result<Vec<u8>, Error> {
    Ok(Vec::new())
}

fn service() -> Service {
    Service::builder().name("s").handler(Streamer).wrap(log).build()
}

#[test]
fn a_test_calls_every_kind_and_a_wrapper_sees_one_call() {
    let (world, service, context) = (World::new(), service(), Context::default());
    let many = world.stream::<_, Pair>(&service, &context, "S.Count", [pair("40")]);
    assert_eq!((many.replies.len(), many.end.clone()), (40, Ok(())));
    let letters = ["a", "b", "c"].map(pair);
    let sum = world.stream::<_, Pair>(&service, &context, "S.Sum", letters.clone());
    assert_eq!(keys(&sum.into_result().unwrap()), ["abc"]);
    let mut stopped = letters.to_vec();
    stopped.push(pair("stop"));
    let echo = world.stream::<_, Pair>(&service, &context, "S.Echo", stopped);
    assert_eq!((keys(&echo.replies), echo.end), (vec!["a", "b", "c"], Err(Error::conflict("s", "stopped"))));
    assert_eq!(world.logs(), ["S.Count gave 0 bytes", "S.Sum gave 5 bytes"]);
    let none = world.stream::<_, Pair>(&service, &context, "S.None", letters);
    assert_eq!(none.end.unwrap_err().code, 404);
    let unary: Result<Pair, Error> = world.call(&service, &context, "S.Call", &pair(""));
    assert_eq!(unary.unwrap_err().code, 400);
}

#[test]
fn a_sender_waits_for_its_reader_and_learns_that_it_left() {
    let (world, service, context) = (World::new(), service(), Context::default());
    let some = world.stream_some::<_, Pair>(&service, &context, "S.Count", [pair("endless")], 3);
    assert_eq!(keys(&some.replies), ["1", "2", "3"]);
    let logs = world.logs();
    let ["499 after 16" | "499 after 17" | "499 after 18" | "499 after 19"] =
        logs.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        panic!("{logs:?}")
    };
}

#[crate::test]
async fn clients_open_streams_of_services() -> Result<(), Error> {
    let world = World::new();
    world.serve("s", service());
    let client = Client::new("s").label("zone", "a").round_robin().wrap(client_log);

    let counting = client.receiving::<_, Pair>("S.Count", &pair("20")).await?;
    let mut numbers = 0;
    while counting.next().await?.is_some() {
        numbers += 1;
    }
    assert_eq!((numbers, counting.next().await?), (20, None));

    let sum = client.sending::<Pair, Pair>("S.Sum").await?;
    for number in 0..40 {
        sum.send(&pair(&number.to_string())).await?;
    }
    assert!(sum.finish().await?.key.ends_with("3839"));

    let talk = client.converse::<Pair, Pair>("S.Echo").await?;
    for word in ["a", "b"] {
        talk.send(&pair(word)).await?;
        assert_eq!(talk.next().await?, Some(pair(word)), "before the last request");
    }
    talk.send(&pair("stop")).await?;
    // Whether the service has ended by then is seen when the next one is sent.
    assert_eq!(talk.send(&pair("more")).await.unwrap_err().code, 499);
    assert_eq!(talk.next().await, Err(Error::conflict("s", "stopped")));
    assert_eq!(talk.send(&pair("more")).await.unwrap_err().code, 400);
    assert_eq!(talk.next().await?, None);
    let logs = world.logs();
    assert!(logs.contains(&"opens S.Sum true 0".to_owned()), "{logs:?}");
    Ok(())
}

#[crate::test]
async fn both_sides_of_a_conversation_run_side_by_side() -> Result<(), Error> {
    let world = World::new();
    world.serve("s", service());
    let talk = Client::new("s").converse::<Pair, Pair>("S.Echo").await?;
    let mut sending = pin!(async {
        for _ in 0..100 {
            talk.send(&pair("x")).await?;
        }
        talk.finish().await
    });
    let mut sent = false;
    let mut received = 0;
    loop {
        let mut next = pin!(talk.next());
        let reply = poll_fn(|context| {
            if !sent && let Poll::Ready(result) = sending.as_mut().poll(context) {
                result.unwrap();
                sent = true;
            }
            next.as_mut().poll(context)
        });
        if reply.await?.is_none() {
            break;
        }
        received += 1;
    }
    assert_eq!(received, 100);
    Ok(())
}

#[crate::test]
async fn what_cannot_be_opened_is_an_error() -> Result<(), Error> {
    let world = World::new();
    world.serve("s", service());
    world.fake("plain", |request: Pair| Ok(request));
    let code = |result: Result<Conversation<Pair, Pair>, Error>| result.unwrap_err().code;
    assert_eq!(code(Client::new("none").converse("S.Echo").await), 404);
    assert_eq!(code(Client::new("plain").converse("S.Echo").await), 400);
    assert_eq!(code(Client::new("s").converse("S.Call").await), 400);
    assert_eq!(code(Client::new("s").converse("S.Count").await), 400);
    assert_eq!(code(Client::new("s").wrap(cache).converse("S.Echo").await), 500);
    let unary = Client::new("s").call::<_, Pair>("S.Count", &pair("1")).await;
    assert_eq!(unary.unwrap_err().code, 400);
    Ok(())
}

#[crate::test]
async fn fakes_answer_streams_of_every_kind() -> Result<(), Error> {
    let world = World::new();
    world.fake_stream("s", |requests: Requests<Pair>, replies: Replies<Pair>| async move {
        while let Some(one) = requests.next().await? {
            replies.send(&one).await?;
        }
        Ok(())
    });
    let client = Client::new("s");
    let receiving = client.receiving::<_, Pair>("Any.Thing", &pair("one")).await?;
    assert_eq!((receiving.next().await?, receiving.next().await?), (Some(pair("one")), None));
    let sending = client.sending::<_, Pair>("Any.Thing").await?;
    sending.send(&pair("two")).await?;
    assert_eq!(sending.finish().await?, pair("two"));
    let sending = client.sending::<Pair, Pair>("Any.Thing").await?;
    assert_eq!(sending.finish().await.unwrap_err().code, 500, "no reply");
    Ok(())
}
