use super::*;
use crate::test::block_on;

const FILES: Files = &[
    File::new("index.html", b"<h1>hi</h1>"),
    File::new("style.css", b"h1 {}"),
    File::new("docs/index.html", b"docs"),
];

fn router() -> Router {
    Router::new()
        .base("/page")
        .files(FILES)
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

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let first = get("/style.css");
    let etag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let ask = |method: &str, tags: &str| {
        let request = Request::new(method, "/style.css").with_header("If-None-Match", tags);
        block_on(router().handle(request))
    };
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = ask(method, &tags);
            let said = (answer.status, answer.body.len(), answer.header("etag"));
            assert_eq!(said, (304, 0, Some(etag.as_str())));
            assert_eq!(answer.header("content-length"), None);
        }
    }
    assert_eq!(ask("GET", "\"x\"").status, 200);
    // Another content has another tag, also where it is as long.
    let other = File::new("style.css", b"h2 {}").answer(Some(&etag));
    assert_eq!(other.status, 200);
    assert_ne!(other.header("etag"), Some(etag.as_str()));
}

#[test]
fn no_path_leads_out_of_the_files() {
    for url in [
        "/docs/../style.css",
        "/docs/%2e%2e/style.css",
        "/..%2fstyle.css",
        "//style.css",
        "/docs//index.html",
    ] {
        assert_eq!(get(url).status, 404, "{url}");
    }
}

#[test]
fn the_rest_of_a_path_is_one_parameter() {
    let router = Router::new().get("/files/{*path}", async |request: Request| {
        Response::text(request.param("path").unwrap_or_default().to_owned())
    });
    let get = |url: &str| block_on(router.handle(Request::get(url)));
    assert_eq!(get("/files/a/b%20c/").body, b"a/b c/");
    assert_eq!((get("/files/").status, get("/files").status), (404, 404));
}

#[test]
fn the_fallback_answers_what_nothing_else_does() {
    let router = router().fallback(async |request: Request| {
        Response::text(format!("{} {}", request.method, request.path())).with_status(410)
    });
    let said = |method: &str, url: &str| {
        let response = block_on(router.handle(Request::new(method, url)));
        (response.status, String::from_utf8(response.body).unwrap())
    };
    assert_eq!(said("PUT", "/nope"), (410, "PUT /nope".to_owned()));
    assert_eq!(said("GET", "/style.css").0, 200);
    assert_eq!(said("DELETE", "/hello/x").0, 405);
    assert_eq!(said("HEAD", "/nope"), (410, String::new()));
}

#[test]
fn embedded_files_count_where_none_were_named() {
    const OTHER: Files = &[File::new("index.html", b"other")];
    assert_eq!(block_on(Router::new().or_files(OTHER).handle(Request::get("/"))).body, b"other");
    assert_eq!(block_on(router().or_files(OTHER).handle(Request::get("/"))).body, b"<h1>hi</h1>");
    let routed = Router::new().get("/", async |_| Response::text("route")).or_files(OTHER);
    assert_eq!(block_on(routed.handle(Request::get("/"))).body, b"route");
}
