use micro_sdk::streaming::{Replies, Requests};
use micro_sdk::{Context, Error};

use crate::__Service__Handler;
use crate::{Ping, Pong, Request, Response, StreamingRequest, StreamingResponse};

pub struct __Service__;

impl __Service__Handler for __Service__ {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::info!("Received __Service__.Call request");
        let msg = format!("Hello {}", request.name);
        Ok(Response { msg })
    }

    async fn stream(
        &self,
        _ctx: &Context,
        request: StreamingRequest,
        replies: Replies<StreamingResponse>,
    ) -> Result<(), Error> {
        let count = request.count;
        micro_sdk::info!("Received __Service__.Stream request with count: {count}");
        for count in 0..count {
            replies.send(&StreamingResponse { count }).await?;
        }
        Ok(())
    }

    async fn ping_pong(
        &self,
        _ctx: &Context,
        pings: Requests<Ping>,
        pongs: Replies<Pong>,
    ) -> Result<(), Error> {
        while let Some(ping) = pings.next().await? {
            micro_sdk::info!("Got ping {}", ping.stroke);
            let pong = Pong {
                stroke: ping.stroke,
            };
            pongs.send(&pong).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::{Streamed, World};

    use super::*;

    #[micro_sdk::test]
    async fn it_greets_by_name() -> Result<(), Error> {
        let request = Request {
            name: "John".into(),
        };
        let response = __Service__.call(&Context::default(), request).await?;
        assert_eq!(response.msg, "Hello John");
        Ok(())
    }

    #[test]
    fn the_platform_finds_the_endpoint() {
        let (service, context) = (crate::service(), Context::default());
        let request = Request {
            name: "Jane".into(),
        };
        let response: Response = World::new()
            .call(&service, &context, "__Service__.Call", &request)
            .unwrap();
        assert_eq!(response.msg, "Hello Jane");
    }
    #[test]
    fn it_counts_and_answers_pings() {
        let (world, service, context) = (World::new(), crate::service(), Context::default());
        let request = StreamingRequest { count: 2 };
        let endpoint = "__Service__.Stream";
        let counted: Streamed<StreamingResponse> =
            world.stream(&service, &context, endpoint, [request]);
        let counts = [0, 1].map(|count| StreamingResponse { count });
        assert_eq!(counted.into_result().unwrap(), counts);
        let pings = [1, 2].map(|stroke| Ping { stroke });
        let endpoint = "__Service__.PingPong";
        let rally: Streamed<Pong> = world.stream(&service, &context, endpoint, pings);
        let pongs = [1, 2].map(|stroke| Pong { stroke });
        assert_eq!(rally.into_result().unwrap(), pongs);
    }
}
