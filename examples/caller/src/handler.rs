use std::time::Duration;

use micro_sdk::streaming::Replies;
use micro_sdk::{Client, Context, Error};

use crate::helloworld::{self, HelloworldClient};
use crate::ticker::{Ping, TickerClient};
use crate::{CallerHandler, RallyRequest, Request, Response};

pub struct Caller;

impl CallerHandler for Caller {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        let client = Client::new("helloworld").timeout(Duration::from_secs(2));
        let hello = HelloworldClient::with(client)
            .call(helloworld::Request { name: request.name })
            .await?;
        let msg = format!("helloworld says: {}", hello.msg);
        Ok(Response { msg })
    }

    async fn rally(
        &self,
        _ctx: &Context,
        request: RallyRequest,
        replies: Replies<Response>,
    ) -> Result<(), Error> {
        let rally = TickerClient::new("ticker").ping_pong().await?;
        for stroke in 1..=i64::from(request.strokes) {
            rally.send(&Ping { stroke }).await?;
            let Some(pong) = rally.next().await? else {
                break;
            };
            let msg = format!("ticker says: pong {}", pong.stroke);
            replies.send(&Response { msg }).await?;
        }
        // Dropping it would cancel what `ticker` still does.
        rally.finish().await?;
        while rally.next().await?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::streaming::Requests;
    use micro_sdk::test::World;

    use super::*;
    use crate::ticker::Pong;

    fn call(world: &World) -> Result<Response, Error> {
        let (service, context) = (crate::service(), Context::default());
        let request = Request {
            name: "John".into(),
        };
        world.call(&service, &context, "Caller.Call", &request)
    }

    #[test]
    fn it_passes_on_what_helloworld_says() {
        let world = World::new();
        world.fake("helloworld", |request: helloworld::Request| {
            let msg = format!("Hello {}", request.name);
            Ok(helloworld::Response { msg })
        });
        let response = call(&world).unwrap();
        assert_eq!(response.msg, "helloworld says: Hello John");
        let wanted = [
            "[wrapper] server request from a client to endpoint: Caller.Call",
            "[wrapper] client request to service: helloworld endpoint: Helloworld.Call",
        ];
        assert_eq!(world.logs(), wanted);
    }

    #[test]
    fn errors_are_the_callers_too() {
        let world = World::new();
        world.fake("helloworld", |_: helloworld::Request| {
            Err::<helloworld::Response, _>(Error::conflict("helloworld", "busy"))
        });
        assert_eq!(call(&world), Err(Error::conflict("helloworld", "busy")));
    }
    fn rally(world: &World, strokes: u32) -> micro_sdk::test::Streamed<Response> {
        let (service, context) = (crate::service(), Context::default());
        world.stream(
            &service,
            &context,
            "Caller.Rally",
            [RallyRequest { strokes }],
        )
    }

    #[test]
    fn it_tells_each_stroke_of_a_rally() {
        let world = World::new();
        world.fake_stream(
            "ticker",
            |pings: Requests<Ping>, pongs: Replies<Pong>| async move {
                while let Some(ping) = pings.next().await? {
                    if ping.stroke == 3 {
                        return Err(Error::conflict("ticker", "the ball is lost"));
                    }
                    pongs
                        .send(&Pong {
                            stroke: ping.stroke,
                        })
                        .await?;
                }
                Ok(())
            },
        );
        let told = rally(&world, 2).into_result().unwrap();
        let told: Vec<_> = told.iter().map(|reply| reply.msg.as_str()).collect();
        assert_eq!(told, ["ticker says: pong 1", "ticker says: pong 2"]);
        let lost = rally(&world, 5);
        assert_eq!(
            (lost.replies.len(), lost.end.expect_err("no ball").code),
            (2, 409)
        );
    }
}
