use super::fixture::{PUBLIC, Server, get, post, tenant};

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

#[tokio::test]
async fn a_host_is_what_it_is_and_nothing_around_it() {
    let server = Server::with_tenants(|_| ()).await;
    server.tenants(&[("default", tenant(&[PUBLIC]))]);
    let ask = async |target: &str, host: &str, more: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
        server.ask(&request).await
    };
    for host in [
        "localhost@evil.example",
        "evil.example#.localhost",
        "evil.example/.localhost",
        "acme.localhost.evil.example",
        "xlocalhost",
        "a.acme.localhost",
        "localhost, evil.example",
        "[::1",
        "",
    ] {
        let (status, text) = ask("/svc/echo", host, "").await;
        assert!(matches!(status, 400 | 421), "{host}: {text}");
    }
    // The target's host counts where it has one (RFC 9112, 3.2.2), and no other header says another.
    for (target, host, more, status) in [
        ("http://localhost/svc/echo", "acme.localhost", "", 200),
        ("http://acme.localhost/svc/echo", "localhost", "", 401),
        ("/svc/echo", "default.localhost", "X-Forwarded-Host: acme.localhost\r\n", 200),
        ("/svc/echo", "default.localhost", "Forwarded: host=acme.localhost\r\n", 200),
        ("/svc/echo", "default.localhost", "Micro-Namespace: acme\r\n", 400),
        ("/svc/echo", "acme.localhost", "Micro-Namespace: default\r\n", 400),
        ("/svc/echo", "ACME.LOCALHOST.:80", "", 401),
        ("/echo", "svc--acme.localhost", "", 401),
        ("/echo", "svc--default.localhost", "", 200),
    ] {
        let (got, text) = ask(target, host, more).await;
        assert_eq!(got, status, "{target} {host} {more}: {text}");
    }
}

#[tokio::test]
async fn what_anybody_can_forge_does_not_reach_a_service() {
    let forged = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Real-Ip: 1.2.3.4\r\n\
                  Forwarded: for=1.2.3.4;proto=https\r\nX-Forwarded-Host: evil.example\r\n";
    let server = Server::with_web(|_| ()).await;
    let (_, told) = server.ask(&get("/as/metadata", forged)).await;
    assert!(told.contains("x-forwarded-for=127.0.0.1\n"), "{told}");
    assert!(told.contains("x-forwarded-proto=http\n"), "{told}");
    assert!(!told.contains("1.2.3.4") && !told.contains("evil"), "{told}");
    let (_, about) = server.ask(&get("/web/about", forged)).await;
    assert!(about.contains("scheme Some(Scheme::Http)"), "{about}");

    let server = Server::with_web(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let through = "X-Forwarded-For: 1.2.3.4, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let (_, told) = server.ask(&get("/as/metadata", through)).await;
    assert!(told.contains("x-forwarded-for=192.0.2.7\n"), "{told}");
    assert!(told.contains("x-forwarded-proto=https\n") && !told.contains("1.2.3.4"), "{told}");
    let (_, about) = server.ask(&get("/web/about", through)).await;
    assert!(about.contains("scheme Some(Scheme::Https)"), "{about}");
}

#[tokio::test]
async fn huge_and_deeply_nested_json_is_refused_and_costs_no_process() {
    let server = Server::start(|config| config.message_bytes_max = 1 << 20).await;
    let deep = |count: usize| "[".repeat(count) + &"]".repeat(count);
    let deeper = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    for body in [
        deep(200_000),
        deeper.clone(),
        format!(r#"{{"service":"svc","endpoint":"Svc.Echo","request":{}}}"#, deep(200_000)),
        format!(r#"{{"service":"svc","endpoint":"Svc.Echo","request":"{}"}}"#, deep(200_000)),
        format!(r#"{{"service":{}}}"#, deep(100_000)),
    ] {
        let (status, text) = server.ask(&post("/rpc", &body)).await;
        assert_eq!(status, 400, "{text}");
    }
    // A query makes the gateway read the body of another call too.
    assert_eq!(server.ask(&post("/svc/echo?a=1", &deeper)).await.0, 400);
    let names = (0..20_000).map(|number| format!("a{number}[b]=1&")).collect::<String>();
    let form = post("/svc/echo", &format!("{names}{}=1", "a.".repeat(100_000)));
    let form = form.replace("Connection", "Content-Type: application/x-www-form-urlencoded\r\nConnection");
    assert_eq!(server.ask(&form).await.0, 200);
    assert_eq!(server.ask(&post("/rpc", &"x".repeat((1 << 20) + 1))).await.0, 413);
    assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 200, "it still answers");
}

#[tokio::test]
async fn nothing_that_is_sent_ends_a_header_of_an_answer() {
    let server = Server::with_web(|_| ()).await;
    let injected = "%0d%0aSet-Cookie:%20micro-token=evil%0d%0a%0d%0aHTTP/1.1%20200";
    for request in [
        get(&format!("/{injected}/x"), ""),
        get(&format!("/svc/{injected}"), ""),
        get("/", &format!("Micro-Namespace: {injected}\r\n")),
        get("/svc/echo", &format!("Authorization: {injected}\r\n")),
        get("/svc/echo", &format!("Traceparent: {injected}\r\nTimeout: {injected}\r\n")),
        post("/rpc", r#"{"service":"a\r\nb: c","endpoint":"a\r\nSet-Cookie: micro-token=evil"}"#),
        post("/rpc", r#"{"service":"svc","endpoint":"Svc.\r\n\r\nHTTP/1.1 200"}"#),
    ] {
        let (_, text) = server.ask(&request).await;
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
        assert_eq!(head.matches("HTTP/1.1 ").count(), 1, "{head}");
    }
}
