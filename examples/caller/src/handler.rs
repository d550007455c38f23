use std::time::Duration;

use micro_sdk::{Client, Context, Error};

use crate::helloworld::{self, HelloworldClient};
use crate::{CallerHandler, Request, Response};

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
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

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
}
