use super::fixture::{Server, get};

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let server = Server::start(|_| ()).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
        ("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ] {
        assert_eq!(server.ask(request).await.0, status, "{request}");
    }
    for (origin, status) in [
        ("http://localhost:8080", 200),
        ("http://web--default.localhost", 200),
        ("http://127.0.0.1", 200),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
    ] {
        let answer = server.ask(&get("/", &format!("Origin: {origin}\r\n"))).await;
        assert_eq!(answer.0, status, "{}", answer.1);
    }
}

#[tokio::test]
async fn answers_that_http_forbids_are_502() {
    let server = Server::with_web(|_| ()).await;
    for path in [
        "/as/status",
        "/as/name",
        "/as/value",
        "/web/status?101",
        "/web/status?103",
        "/web/status?600",
        "/web/status?999",
    ] {
        let (status, text) = server.ask(&get(path, "")).await;
        assert_eq!(status, 502, "{path}: {text}");
        assert!(text.contains(r#""status":"Bad Gateway""#), "{path}: {text}");
    }
    assert_eq!(server.ask(&get("/web/status?299", "")).await.0, 299);
}
