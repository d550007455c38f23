use micro_sdk::api::{Request, Response};
use micro_sdk::{Context, Error};
use serde_json::json;

use crate::greeter::{self, SayClient};
use crate::{NAME, SayHandler};

pub struct Say;

impl SayHandler for Say {
    async fn hello(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::info!("Received Say.Hello API request");
        let name = request.param("name").unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Error::bad_request(NAME, "Name cannot be blank"));
        }
        let greeting = SayClient::new("greeter")
            .hello(greeter::Request { name })
            .await?;
        let body = json!({ "message": greeting.msg });
        Ok(Response::json(200, body.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::api::Pair;
    use micro_sdk::test::World;

    use super::*;

    async fn get(name: &str) -> Result<Response, Error> {
        let pair = Pair {
            key: "name".into(),
            values: vec![name.into()],
        };
        let mut request = Request::default();
        request.get.insert("name".into(), pair);
        Say.hello(&Context::default(), request).await
    }

    #[micro_sdk::test]
    async fn the_greeter_makes_the_greeting() -> Result<(), Error> {
        World::new().fake("greeter", |request: greeter::Request| {
            let msg = format!("Hello {}", request.name);
            Ok(greeter::Response { msg })
        });
        assert_eq!(get("John").await?.body, r#"{"message":"Hello John"}"#);
        Ok(())
    }

    #[micro_sdk::test]
    async fn a_blank_name_is_a_bad_request() {
        let error = get("").await.expect_err("no name");
        let wanted = Error::bad_request("go.micro.api.greeter", "Name cannot be blank");
        assert_eq!(error, wanted);
    }

    #[micro_sdk::test]
    async fn an_error_of_the_greeter_goes_to_the_client() {
        World::new();
        assert_eq!(get("John").await.expect_err("no greeter").code, 404);
    }
}
