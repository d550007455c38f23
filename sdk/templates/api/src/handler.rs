use micro_sdk::api::{Request, Response};
use micro_sdk::{Context, Error};
use serde_json::json;

use crate::NAME;
use crate::__Service__Handler;

pub struct __Service__;

impl __Service__Handler for __Service__ {
    async fn call(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::info!("Received __Service__.Call request");
        let name = request.param("name").unwrap_or_default();
        if name.is_empty() {
            return Err(Error::bad_request(NAME, "Name cannot be blank"));
        }
        let body = json!({ "message": format!("Hello {name}") });
        Ok(Response::json(200, body.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::api::Pair;

    use super::*;

    async fn get(name: &str) -> Result<Response, Error> {
        let pair = Pair {
            key: "name".into(),
            values: vec![name.into()],
        };
        let mut request = Request::default();
        request.get.insert("name".into(), pair);
        __Service__.call(&Context::default(), request).await
    }

    #[micro_sdk::test]
    async fn it_greets_by_name() -> Result<(), Error> {
        assert_eq!(get("John").await?.body, r#"{"message":"Hello John"}"#);
        Ok(())
    }

    #[micro_sdk::test]
    async fn a_blank_name_is_a_bad_request() {
        let error = get("").await.expect_err("no name");
        assert_eq!((error.code, error.id.as_str()), (400, NAME));
    }
}
