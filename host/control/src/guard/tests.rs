use super::*;
use axum::body::Body;

fn check(request: axum::http::request::Builder) -> u16 {
    let guard = Guard {
        hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
        origins: vec!["http://localhost:8082".to_owned()],
    };
    guard.check(&request.body(Body::empty()).unwrap()).map_or_else(|error| error.code, |()| 200)
}

fn get(host: &str) -> axum::http::request::Builder {
    Request::builder().uri("/v1/version").header(header::HOST, host)
}

fn post(host: &str, content_type: &str) -> axum::http::request::Builder {
    get(host).method(Method::POST).header(header::CONTENT_TYPE, content_type)
}

#[test]
fn only_our_hosts() {
    for host in ["localhost", "localhost:8081", "LOCALHOST:1", "127.0.0.1:8081", "[::1]:8081", "[::1]"] {
        assert_eq!(check(get(host)), 200, "{host}");
    }
    for host in
        ["evil.example", "localhost.evil.example:8081", "127.0.0.1.nip.io", "[::2]", "", "localhost:80:80"]
    {
        assert_eq!(check(get(host)), 421, "{host}");
    }
    assert_eq!(check(Request::builder().uri("/")), 400, "no host at all");
    assert_eq!(check(get("localhost").header(header::HOST, "localhost")), 400, "two hosts");
    assert_eq!(check(Request::builder().uri("http://localhost:8081/")), 200, "as HTTP/2 sends it");
    assert_eq!(check(Request::builder().uri("http://evil.example/").header(header::HOST, "localhost")), 400);
}

#[test]
fn no_foreign_origin() {
    let with =
        |origin: &str| check(post("localhost:8081", "application/json").header(header::ORIGIN, origin));
    assert_eq!(with("http://localhost:8081"), 200);
    assert_eq!(with("http://localhost:8082"), 200, "the operator named it");
    for origin in ["http://evil.example", "null", "http://localhost:3000", "http://localhost", "file://"] {
        assert_eq!(with(origin), 403, "{origin}");
    }
    assert_eq!(check(get("localhost").header(header::ORIGIN, "http://evil.example")), 403, "reads too");
    assert_eq!(check(get("localhost").header("sec-fetch-site", "cross-site")), 403);
    assert_eq!(check(get("localhost").header("sec-fetch-site", "same-origin")), 200);
}

#[test]
fn a_form_changes_nothing() {
    for content_type in
        ["application/json", "application/json; charset=utf-8", "application/gzip", "application/grpc+proto"]
    {
        assert_eq!(check(post("localhost", content_type)), 200, "{content_type}");
    }
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    {
        assert_eq!(check(post("localhost", content_type)), 415, "{content_type}");
    }
    assert_eq!(check(get("localhost").method(Method::POST)), 415, "none at all");
    assert_eq!(check(get("localhost").method(Method::DELETE)), 200, "nothing to type");
    let delete = get("localhost").method(Method::DELETE).header(header::CONTENT_LENGTH, "5");
    assert_eq!(check(delete.header(header::CONTENT_TYPE, "text/plain")), 415);
}
