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

    async fn get(url: &str) -> (u16, String) {
        let response = crate::router().handle(Request::get(url)).await;
        (response.status, String::from_utf8_lossy(&response.body).into_owned())
    }

    #[micro_sdk::test]
    async fn it_greets_by_name() {
        assert_eq!(get("/__alias__/hello?name=John").await, (200, "Hello John".into()));
        assert_eq!(get("/hello").await.0, 400);
    }

    #[micro_sdk::test]
    async fn the_page_is_served() {
        let (status, body) = get("/__alias__/").await;
        assert_eq!(status, 200);
        assert!(body.contains("<title>__Title__</title>"), "{body}");
    }
}
