use micro_sdk::{Context, Error};

use crate::__Service__Handler;
use crate::{Request, Response};

pub struct __Service__;

impl __Service__Handler for __Service__ {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::info!("Received __Service__.Call request");
        let msg = format!("Hello {}", request.name);
        Ok(Response { msg })
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

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
}
