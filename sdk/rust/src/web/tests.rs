use super::*;
use crate::test::block_on;

fn router() -> Router {
    Router::new()
        .base("/page")
        .files(&[("index.html", b"<h1>hi</h1>"), ("style.css", b"h1 {}"), ("docs/index.html", b"docs")])
        .get("/hello/{name}", async |request: Request| {
            Response::text(format!("Hello {}", request.param("name").unwrap_or_default()))
        })
        .post("/hello/{name}", async |request: Request| Response::json(request.body))
}

fn get(url: &str) -> Response {
    block_on(router().handle(Request::get(url)))
}

#[test]
fn routes_match_with_and_without_the_base() {
    for url in ["/hello/J%C3%B6rg?x=1", "/page/hello/J%C3%B6rg"] {
        let response = get(url);
        assert_eq!((response.status, response.body.as_slice()), (200, "Hello Jörg".as_bytes()), "{url}");
    }
    let posted = block_on(router().handle(Request::post("/hello/x", "application/json", "{}")));
    assert_eq!(posted.body, b"{}");
}

#[test]
fn files_are_found_by_path_only() {
    assert_eq!(get("/page/").header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(get("/style.css").header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get("/docs/").body, b"docs");
    assert_eq!(get("/page").header("location"), Some("/page/"));
    for url in ["/nope", "/pages/", "/../index.html", "//index.html", "/docs", "/hello/", "/hello/a/b"] {
        assert_eq!(get(url).status, 404, "{url}");
    }
}

#[test]
fn methods_are_checked() {
    let refused = block_on(router().handle(Request::new("DELETE", "/hello/x")));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, POST")));
    assert_eq!(block_on(router().handle(Request::new("PUT", "/style.css"))).header("allow"), Some("GET"));
    let head = block_on(router().handle(Request::new("HEAD", "/style.css")));
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("5"), 0));
}
