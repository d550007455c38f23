use micro_sdk::http::{Request, Response};

/// `GET /hello?name=John`
pub async fn hello(request: Request) -> Response {
    match request.query("name").filter(|name| !name.is_empty()) {
        Some(name) => Response::text(format!("Hello {name}")),
        None => Response::text("Name cannot be blank").with_status(400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(url: &str) -> Response {
        crate::router().handle(Request::get(url)).await
    }

    #[micro_sdk::test]
    async fn it_greets_by_name() {
        let response = get("/page/hello?name=John").await;
        assert_eq!(response.body, b"Hello John");
        assert_eq!(get("/hello").await.status, 400);
    }

    #[micro_sdk::test]
    async fn the_page_is_served() {
        let page = get("/page/").await;
        assert_eq!(page.status, 200);
        let kind = page.header("content-type");
        assert_eq!(kind, Some("text/html; charset=utf-8"));
    }
}
