//! What a service can do with streams.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use micro_sdk::streaming::Replies;
use micro_sdk::{Error, time};

use crate::{BadNeighbourClient, Request, Response};

/// More than the platform lets an instance open.
const OPEN: usize = 100;

fn part() -> Response {
    Response { body: vec![7; 64 << 10], failed: 0 }
}

/// Sends without end, and logs how many it could send: when it waits for longer than `patience`, and when the caller is
/// gone.
pub async fn torrent(patience: Duration, replies: &Replies<Response>) -> Result<(), Error> {
    let part = part();
    let mut sent = 0u64;
    loop {
        let mut sending = pin!(replies.send(&part));
        let result = match poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
            Poll::Ready(result) => result,
            Poll::Pending => match select(sending, pin!(time::sleep(patience))).await {
                Either::Left((result, _)) => result,
                Either::Right(((), sending)) => {
                    micro_sdk::info!("stalled after {sent}");
                    sending.await
                }
            },
        };
        if let Err(error) = result {
            micro_sdk::info!("sent {sent}, then {}", error.code);
            return Err(error);
        }
        sent += 1;
    }
}

/// Does not hear that nobody listens.
pub async fn deaf(replies: &Replies<Response>) -> Result<(), Error> {
    let part = part();
    loop {
        let _ = replies.send(&part).await;
    }
}

/// How many streams it could open at once.
pub async fn open() -> u32 {
    let client = BadNeighbourClient::new("bad-neighbour");
    let mut open = Vec::new();
    while open.len() < OPEN {
        match client.torrent(Request::default()).await {
            Ok(stream) => open.push(stream),
            Err(error) => {
                micro_sdk::info!("{} streams are open, then {}", open.len(), error.code);
                break;
            }
        }
    }
    u32::try_from(open.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use micro_sdk::Context;
    use micro_sdk::test::World;

    use super::*;

    #[test]
    fn a_torrent_tells_how_much_it_sent() {
        let world = World::new();
        let request = Request { milliseconds: 1, ..Request::default() };
        let (service, context) = (crate::service(), Context::default());
        let some = world.stream_some::<_, Response>(&service, &context, "BadNeighbour.Torrent", [request], 2);
        assert_eq!(some.replies.len(), 2);
        let logs = world.logs();
        assert!(logs.iter().any(|line| line.starts_with("stalled after 16")), "{logs:?}");
        assert!(logs.iter().any(|line| line.ends_with("then 499")), "{logs:?}");
    }
}
