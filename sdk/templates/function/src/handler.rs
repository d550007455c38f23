use micro_sdk::{Context, Error};

use crate::{Request, Response, __Service__Handler};

pub struct __Service__;

impl __Service__Handler for __Service__ {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::info!("Received __Service__.Call request");
        Ok(Response { msg: format!("Hello {}", request.name) })
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    #[micro_sdk::test]
    async fn it_greets_by_name() -> Result<(), Error> {
        let response = __Service__.call(&Context::default(), Request { name: "John".into() }).await?;
        assert_eq!(response.msg, "Hello John");
        Ok(())
    }

    #[test]
    fn the_platform_finds_the_endpoint() {
        let request = Request { name: "Jane".into() };
        let response: Response = World::new()
            .call(&crate::service(), &Context::default(), "__Service__.Call", &request)
            .unwrap();
        assert_eq!(response.msg, "Hello Jane");
    }
}
