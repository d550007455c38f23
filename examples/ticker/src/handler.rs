use std::time::Duration;

use micro_sdk::streaming::{Replies, Requests};
use micro_sdk::{Context, Error, time};

use crate::TickerHandler;
use crate::{Number, Ping, Pong, Request, Response, StreamingRequest, StreamingResponse, Total};

pub struct Ticker;

impl TickerHandler for Ticker {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        let msg = format!("Hello {}", request.name);
        Ok(Response { msg })
    }

    async fn stream(
        &self,
        _ctx: &Context,
        request: StreamingRequest,
        replies: Replies<StreamingResponse>,
    ) -> Result<(), Error> {
        let interval = Duration::from_millis(request.interval_ms.into());
        let mut count = 0;
        while request.count == 0 || count < request.count {
            let next = StreamingResponse { count: count + 1 };
            // Waits while the caller reads slowly, and fails when it is gone.
            if let Err(error) = replies.send(&next).await {
                micro_sdk::info!("counted to {count}, then {}: {}", error.code, error.detail);
                return Err(error);
            }
            count += 1;
            if !interval.is_zero() {
                time::sleep(interval).await;
            }
        }
        micro_sdk::info!("counted to {count}, which is all");
        Ok(())
    }

    async fn sum(&self, _ctx: &Context, requests: Requests<Number>) -> Result<Total, Error> {
        let mut total = Total::default();
        while let Some(number) = requests.next().await? {
            total.numbers += 1;
            total.sum += i64::from(number.value);
        }
        Ok(total)
    }

    async fn ping_pong(
        &self,
        _ctx: &Context,
        requests: Requests<Ping>,
        replies: Replies<Pong>,
    ) -> Result<(), Error> {
        while let Some(ping) = requests.next().await? {
            micro_sdk::info!("Got ping {}", ping.stroke);
            if ping.stroke < 0 {
                // The pongs before it were sent: the error comes after them.
                return Err(Error::bad_request("ticker", "a stroke is not below 0"));
            }
            let pong = Pong {
                stroke: ping.stroke,
            };
            replies.send(&pong).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::{Streamed, World};

    use super::*;
    use crate::TickerClient;

    fn stream(
        world: &World,
        request: StreamingRequest,
        most: usize,
    ) -> Streamed<StreamingResponse> {
        let (service, context) = (crate::service(), Context::default());
        world.stream_some(&service, &context, "Ticker.Stream", [request], most)
    }

    fn pings(strokes: &[i64]) -> Vec<Ping> {
        strokes.iter().map(|&stroke| Ping { stroke }).collect()
    }

    #[test]
    fn it_counts_as_far_as_it_was_told() {
        let world = World::new();
        let request = StreamingRequest {
            count: 3,
            interval_ms: 1,
        };
        let replies = stream(&world, request, usize::MAX).into_result();
        let counts: Vec<_> = replies.unwrap().iter().map(|reply| reply.count).collect();
        assert_eq!(counts, [1, 2, 3]);
        assert_eq!(world.logs(), ["counted to 3, which is all"]);
    }

    #[test]
    fn it_ends_when_nobody_reads() {
        let world = World::new();
        let some = stream(&world, StreamingRequest::default(), 2);
        assert_eq!((some.replies.len(), some.end), (2, Ok(())));
        let log = world.logs().pop().unwrap_or_default();
        assert!(log.ends_with("then 499: the caller is gone"), "{log}");
    }

    #[test]
    fn it_adds_up_what_it_is_sent() {
        let world = World::new();
        let (service, context) = (crate::service(), Context::default());
        let numbers = [1, -3, 40].map(|value| Number { value });
        let total = world.stream::<_, Total>(&service, &context, "Ticker.Sum", numbers);
        assert_eq!(
            total.into_result().unwrap(),
            [Total {
                numbers: 3,
                sum: 38
            }]
        );
    }

    #[test]
    fn an_error_comes_after_the_pongs() {
        let world = World::new();
        let (service, context) = (crate::service(), Context::default());
        let rally =
            world.stream::<_, Pong>(&service, &context, "Ticker.PingPong", pings(&[1, 2, -1, 3]));
        let strokes: Vec<_> = rally.replies.iter().map(|pong| pong.stroke).collect();
        assert_eq!(strokes, [1, 2]);
        assert_eq!(rally.end.expect_err("a stroke below 0").code, 400);
    }

    #[micro_sdk::test]
    async fn a_pong_comes_before_the_last_ping() -> Result<(), Error> {
        let world = World::new();
        world.serve("ticker", crate::service());
        let rally = TickerClient::new("ticker").ping_pong().await?;
        for ping in pings(&[1, 2, 3]) {
            rally.send(&ping).await?;
            let pong = rally.next().await?;
            assert_eq!(pong.map(|pong| pong.stroke), Some(ping.stroke));
        }
        rally.finish().await?;
        assert_eq!(rally.next().await?, None);
        Ok(())
    }
}
