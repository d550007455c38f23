//! Who asks, what the rules say of it, and what is left of a credential for a service to see.

use std::time::Duration;

use micro_api::Error;
use micro_auth::{Credential, Identity, Refused};

use super::fixture::{DEFAULT, PUBLIC, Server, get, post, tenant};
use crate::{Gateway, respond};

/// The status and the error's text.
async fn refused(server: &Server, request: &str) -> (u16, String) {
    let (status, text) = server.ask(request).await;
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let error = Error::parse(body);
    assert_eq!(error.code, status, "{text}");
    (status, error.detail)
}

fn with(path: &str, token: &str) -> String {
    get(path, &format!("Authorization: Bearer {token}\r\n"))
}

fn at(namespace: &str, path: &str, headers: &str) -> String {
    get(path, &format!("Micro-Namespace: {namespace}\r\n{headers}"))
}

#[tokio::test]
async fn a_private_service_is_for_accounts_of_its_namespace() {
    let server = Server::start(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    server.known.key("key", "default", "ann");
    server.known.key("foreign", "acme", "eve");
    let rpc = r#"{"service":"svc","endpoint":"Svc.Echo"}"#;
    for request in [get("/svc/echo", ""), post("/svc/echo", "{}"), post("/rpc", rpc)] {
        let (status, detail) = refused(&server, &request).await;
        assert_eq!(status, 401, "{request}");
        assert!(detail.starts_with("Unauthorized call made to svc:Svc.Echo: "), "{detail}");
        assert!(detail.contains("`public = true` under [service] in its micro.toml"), "{detail}");
        let foreign = request.replace("Connection", "Authorization: Bearer foreign\r\nConnection");
        let (status, detail) = refused(&server, &foreign).await;
        assert_eq!(status, 403);
        assert!(detail.starts_with("Account not issued by default"), "{detail}");
        assert!(
            detail.contains("`acme`") && detail.contains("`micro user namespace set default`"),
            "{detail}"
        );
        let own = request.replace("Connection", "Authorization: Bearer key\r\nConnection");
        assert_eq!(server.ask(&own).await.0, 200);
    }
    let (_, text) = server.ask(&get("/svc/echo", "")).await;
    assert!(text.contains("www-authenticate: Bearer\r\n"), "{text}");
    // A namespace of which nothing is said is as private.
    server.tenants(&[]);
    assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 401);
    assert_eq!(server.ask(&with("/svc/echo", "key")).await.0, 200);
}

#[tokio::test]
async fn rules_decide_and_a_stranger_passes_only_the_open_ones() {
    let server = Server::start(|_| ()).await;
    server.known.key("ann", "default", "ann");
    server.known.key("eve", "acme", "eve");
    let ask = async |token: &str| {
        let request = if token.is_empty() { get("/svc/echo", "") } else { with("/svc/echo", token) };
        server.ask(&request).await
    };
    for (rules, nobody, ann, eve) in [
        (vec![DEFAULT], 401, 200, 403),
        (vec![DEFAULT, ("", "service:svc:*", 1, true)], 200, 200, 200),
        (vec![DEFAULT, ("+", "service:svc:*", 1, true)], 401, 200, 200),
        (vec![DEFAULT, ("", "api:svc:*", 1, true)], 401, 200, 403),
        (vec![DEFAULT, ("", "service:other:*", 1, true)], 401, 200, 403),
        (vec![DEFAULT, ("viewer", "*:*:*", -1, true)], 401, 200, 403),
        (vec![("owner", "*:*:*", 0, true)], 401, 403, 403),
        (vec![PUBLIC, ("*", "service:svc:Svc.Echo", 9, false)], 200, 403, 200),
        (vec![PUBLIC, ("", "service:svc:svc.echo", 9, false)], 401, 403, 403),
        (vec![], 401, 403, 403),
    ] {
        server.tenants(&[("default", tenant(&rules))]);
        let got = (ask("").await.0, ask("ann").await.0, ask("eve").await.0);
        assert_eq!(got, (nobody, ann, eve), "{rules:?}");
    }
    let (_, detail) = refused(&server, &with("/svc/echo", "ann")).await;
    assert!(detail.starts_with("Forbidden call made to svc:Svc.Echo by ann"), "{detail}");
}

#[tokio::test]
async fn a_credential_that_is_no_good_is_refused_even_where_none_is_needed() {
    let server = Server::start(|_| ()).await;
    server.known.set("expired", Err(Refused::Expired(1_700_000_000)));
    server.known.set("blocked", Err(Refused::Blocked("ann".to_owned())));
    server.known.set("unavailable", Err(Refused::Unavailable));
    let session =
        Identity { credential: Credential::Session, ..server.known.key("session", "default", "ann") };
    server.known.set("session", Ok(session.clone()));
    // What only the control plane takes is not even asked about.
    for prefix in ["micros_", "micror_", "microi_", "microd_"] {
        server
            .known
            .set(&format!("{prefix}x"), Ok(Identity { credential: Credential::Key, ..session.clone() }));
    }
    assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 200, "it is public");
    for (header, status, wanted) in [
        ("Bearer nobody-knows", 401, "Invalid token"),
        ("Bearer expired", 401, "the token expired at 1700000000: run `micro login`"),
        ("Bearer blocked", 403, "ann is blocked"),
        ("Bearer unavailable", 503, "credentials cannot be checked at the moment"),
        ("Bearer session", 401, "Invalid token"),
        ("Bearer micros_x", 401, "Invalid token: sessions"),
        ("Bearer micror_x", 401, "Invalid token: sessions"),
        ("Bearer microi_x", 401, "Invalid token: sessions"),
        ("Bearer microd_x", 401, "Invalid token: sessions"),
        ("Basic YTpi", 401, "invalid authorization header. expected Bearer schema"),
        ("session", 401, "invalid authorization header. expected Bearer schema"),
        ("Bearer a\r\nAuthorization: Bearer b", 401, "invalid authorization header. expected Bearer schema"),
    ] {
        for request in [get("/svc/echo", ""), post("/rpc", "{}"), get("/no/such/thing", "")] {
            let request = request.replace("Connection", &format!("Authorization: {header}\r\nConnection"));
            let (got, detail) = refused(&server, &request).await;
            assert_eq!(got, status, "{request}: {detail}");
            assert!(detail.starts_with(wanted), "{header}: {detail}");
        }
    }
    let (_, text) = server.ask(&with("/svc/echo", "expired")).await;
    assert!(text.contains("www-authenticate: Bearer error=\"invalid_token\"\r\n"), "{text}");
}

#[tokio::test]
async fn a_revoked_token_is_refused_from_then_on() {
    let server = Server::start(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    let mut client = server.connect().await;
    let asks = "GET /svc/echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n\r\n";
    server.known.key("key", "default", "ann");
    client.send(asks).await;
    assert!(client.read_until("{}").await.starts_with("HTTP/1.1 200"));
    server.known.set("key", Err(Refused::Invalid));
    client.send(asks).await;
    assert!(client.read_until("}").await.starts_with("HTTP/1.1 401"), "on the same connection");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_or_its_namespace_blocked() {
    let server = Server::with_web(|config| config.look_again_after = Duration::from_millis(10)).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    server.known.key("key", "default", "ann");
    let asks = "GET /web/stream?100000 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n\r\n";
    for lose in [0, 1] {
        let mut client = server.connect().await;
        client.send(asks).await;
        client.read_until("line ").await;
        // A token that ends by itself cuts nothing: the stream goes on for longer than it takes to notice.
        server.known.set("key", Err(Refused::Expired(0)));
        for _ in 0..5 {
            client.read_until("line ").await;
        }
        if lose == 0 {
            server.known.set("key", Err(Refused::Invalid));
        } else {
            let blocked = crate::Tenant { blocked: Some("unpaid".to_owned()), ..tenant(&[DEFAULT]) };
            server.tenants(&[("default", blocked)]);
        }
        let rest = tokio::time::timeout(Duration::from_secs(5), client.rest()).await.unwrap();
        assert!(!rest.ends_with("0\r\n\r\n"), "a part does not look whole");
        server.quiet().await;
        server.known.key("key", "default", "ann");
    }
}

#[tokio::test]
async fn a_key_for_one_service_opens_no_other() {
    let server = Server::with_tenants(|_| ()).await;
    server.tenants(&[("acme", tenant(&[DEFAULT])), ("default", tenant(&[PUBLIC]))]);
    let key = server.known.key("key", "acme", "ci");
    server.known.set("key", Ok(Identity { service: Some("svc".parse().unwrap()), ..key }));
    let asks = |namespace: &str, path: &str| at(namespace, path, "Authorization: Bearer key\r\n");
    assert_eq!(server.ask(&asks("acme", "/svc/echo")).await.0, 200);
    for (namespace, path) in [("acme", "/svc2/echo"), ("acme", "/web/hello"), ("default", "/svc/echo")] {
        let (status, detail) = refused(&server, &asks(namespace, path)).await;
        assert_eq!(status, 403, "{namespace} {path}");
        assert!(detail.starts_with("Forbidden call made to "), "{detail}");
        assert!(detail.ends_with("by ci: its key is for acme/svc only"), "{detail}");
    }
}

#[tokio::test]
async fn the_cookie_counts_only_for_pages_of_the_same_origin() {
    let server = Server::start(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    server.known.key("key", "default", "ann");
    let cookie = "Cookie: theme=dark; micro-token=key\r\n";
    for (from, status) in [
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Origin: http://localhost\r\n", 200),
        ("", 401),
        ("Sec-Fetch-Site: cross-site\r\n", 401),
        ("Sec-Fetch-Site: same-site\r\n", 401),
        ("Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:3000\r\n", 401),
        ("Origin: http://localhost:3000\r\n", 401),
        ("Origin: http://default.localhost\r\n", 401),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n", 403),
    ] {
        let (got, text) = server.ask(&get("/svc/echo", &format!("{from}{cookie}"))).await;
        assert_eq!(got, status, "{from}: {text}");
    }
    // One that is no good is forgotten, since it would shut a browser out of public pages too.
    server.known.set("key", Err(Refused::Invalid));
    server.tenants(&[("default", tenant(&[PUBLIC]))]);
    let own = get("/svc/echo", &format!("Sec-Fetch-Site: same-origin\r\n{cookie}"));
    let (status, text) = server.ask(&own).await;
    assert!(status == 401 && text.contains("set-cookie: micro-token=; Path=/; Max-Age=0;"), "{text}");
    let foreign = get("/svc/echo", &format!("Sec-Fetch-Site: cross-site\r\n{cookie}"));
    assert_eq!(server.ask(&foreign).await.0, 200, "it was not looked at");
}

#[tokio::test]
async fn a_service_that_echoes_its_headers_shows_no_credential() {
    let server = Server::start(|_| ()).await;
    server.known.key("s3cret-token", "default", "ann");
    let sent = "Cookie: theme=dark; micro-token=s3cret-token; micro-session=s3cret; __Host-micro-session=s3cret\r\n\
                Cookie: micro-account-redirect=s3cret; lang=en\r\n\
                Sec-Fetch-Site: same-origin\r\n\
                Proxy-Authorization: Basic s3cret\r\n\
                Micro-Account-Id: s3cret\r\nX-Mine: 1\r\n";
    for credential in ["", "Authorization: Bearer s3cret-token\r\n"] {
        for path in ["/as/headers", "/as/metadata"] {
            let (status, text) = server.ask(&get(path, &format!("{sent}{credential}"))).await;
            assert_eq!(status, 200, "{text}");
            assert!(!text.contains("s3cret"), "{text}");
            for kept in ["theme=dark", "lang=en", "x-mine"] {
                assert!(text.contains(kept), "{kept}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_is_told_who_calls_and_nobody_else_can_say_so() {
    let server = Server::start(|_| ()).await;
    let key = server.known.key("key", "acme", "ann");
    server.known.set("key", Ok(Identity { scopes: vec!["viewer".into(), "reports".into()], ..key.clone() }));
    let forged = "Micro-Account-Id: root\r\nMicro-Account-Scopes: owner\r\nmicro-from-service: billing\r\n";
    let (_, told) = server.ask(&get("/as/metadata", &format!("{forged}Authorization: Bearer key\r\n"))).await;
    for line in [
        "micro-account-id=ann\n",
        "micro-account-type=apikey\n",
        "micro-account-issuer=acme\n",
        "micro-account-scopes=viewer,reports\n",
        "micro-namespace=default\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!told.contains("root") && !told.contains("owner") && !told.contains("billing"), "{told}");
    let (_, told) = server.ask(&get("/as/metadata", forged)).await;
    assert!(!told.contains("micro-account") && !told.contains("billing"), "{told}");
    assert!(server.ask(&with("/as/id", "key")).await.1.ends_with("\r\n\r\nann"));
    assert_eq!(server.ask(&get("/as/id", "")).await.0, 204, "nobody");
    // An id that is no header's value breaks nothing out of its header.
    server.known.set("key", Ok(Identity { id: "a\r\nx-admin: 1".into(), ..key }));
    let (_, told) = server.ask(&with("/as/metadata", "key")).await;
    assert!(!told.contains("x-admin") && told.contains("micro-account-issuer=acme\n"), "{told}");
}

#[tokio::test]
async fn a_service_sets_no_cookie_and_no_header_of_the_platform() {
    let server = Server::start(|_| ()).await;
    let (status, text) = server.ask(&get("/as/cookies", "")).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(text.matches("set-cookie").count(), 1, "{text}");
    assert!(text.contains("set-cookie: good=1; Path=/\r\n"), "{text}");
    assert!(!text.contains("forged") || text.contains("ratelimit: forged"), "{text}");
    assert!(!text.contains("micro-admin") && text.matches("micro-id").count() == 1, "{text}");
}

#[tokio::test]
async fn names_are_told_only_to_those_who_may_call() {
    let server = Server::with_tenants(|_| ()).await;
    server.tenants(&[("acme", tenant(&[DEFAULT])), ("default", tenant(&[PUBLIC]))]);
    server.known.key("ann", "acme", "ann");
    server.known.key("eve", "default", "eve");
    let near = "did you mean `svc2`";
    let ask = async |namespace: &str, path: &str, token: &str| {
        let header =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        refused(&server, &at(namespace, path, &header)).await
    };
    let (status, detail) = ask("acme", "/svc3/echo", "ann").await;
    assert!(status == 404 && (detail.contains(near) || detail.contains("did you mean `svc`")), "{detail}");
    for token in ["", "eve"] {
        let (status, detail) = ask("acme", "/svc3/echo", token).await;
        assert_eq!((status, detail.as_str()), (404, "service not found"), "{token}");
        let rpc = post("/rpc", r#"{"service":"svc3","endpoint":"A.B"}"#);
        let rpc = rpc.replace("Connection", "Micro-Namespace: acme\r\nConnection");
        assert_eq!(refused(&server, &rpc).await.1, "service not found");
    }
    assert!(ask("default", "/svd/echo", "").await.1.contains("did you mean `svc`"), "it is public");
}

#[tokio::test]
async fn rules_of_paths_hold_however_a_path_is_written() {
    let server = Server::with_web(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT, ("", "service:web:/web/open/*", 1, true)]))]);
    for (path, status) in [
        ("/web/open/hello", 200),
        ("/web/OPEN/hello", 200),
        ("/web/open/a/b/hello", 200),
        ("/web/open/../hello", 401),
        ("/web/open/%2e%2e/hello", 401),
        ("/web/open/%2E./x/hello", 401),
        ("/web/hello", 401),
        ("/web/opened/hello", 401),
    ] {
        let (got, text) = server.ask(&get(path, "")).await;
        assert_eq!(got, status, "{path}: {text}");
    }
    server.tenants(&[("default", tenant(&[PUBLIC, ("", "*:web:/web/closed/*", 1, false)]))]);
    for path in ["/web/closed/hello", "/web/%63losed/hello", "/web//closed/hello", "/web/x/../closed/hello"] {
        assert_eq!(server.ask(&get(path, "")).await.0, 401, "{path}");
    }
    assert_eq!(server.ask(&get("/web/hello", "")).await.0, 200);
}

#[tokio::test]
async fn debug_endpoints_are_never_public() {
    let server = Server::start(|_| ()).await;
    server.known.key("key", "default", "ann");
    let call = |endpoint: &str| post("/rpc", &format!(r#"{{"service":"svc","endpoint":"{endpoint}"}}"#));
    for endpoint in ["Debug.Health", "debug.log", "DEBUG.Trace"] {
        let (status, detail) = refused(&server, &call(endpoint)).await;
        assert_eq!(status, 401, "{detail}");
        let known = call(endpoint).replace("Connection", "Authorization: Bearer key\r\nConnection");
        assert_eq!(server.ask(&known).await.0, 200);
    }
}

#[tokio::test]
async fn a_blocked_namespace_answers_nobody_and_says_why() {
    let server = Server::with_tenants(|_| ()).await;
    let blocked = crate::Tenant { blocked: Some("unpaid".to_owned()), ..tenant(&[PUBLIC]) };
    server.tenants(&[("acme", blocked), ("default", tenant(&[PUBLIC]))]);
    server.known.key("key", "acme", "ann");
    let header = "Micro-Namespace: acme\r\nConnection";
    for request in [get("/svc/echo", ""), get("/web/hello", ""), with("/svc/echo", "key"), post("/rpc", "{}")]
    {
        let (status, detail) = refused(&server, &request.replace("Connection", header)).await;
        assert_eq!(status, 403);
        assert!(detail.starts_with("the namespace `acme` is blocked: unpaid"), "{detail}");
    }
    assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 200, "others are served");
}

#[tokio::test]
async fn the_other_listener_says_who_asks() {
    let server = Server::start(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    let key = server.known.key("key", "default", "ann");
    let ask = async |identity: Option<Identity>| {
        let body = respond::full(r#"{"service":"svc","endpoint":"id"}"#);
        let request = http::Request::post("/rpc")
            .header("authorization", "Bearer key")
            .header("micro-account-id", "root")
            .body(body)
            .unwrap();
        let namespace = micro_api::Namespace::default();
        let answer = Gateway::rpc_call(&server.gateway, &namespace, request, identity.map(Into::into)).await;
        let status = answer.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert_eq!(ask(None).await.0, 401, "the header does not count here");
    // A browser's session counts where the control plane vouches for it.
    for credential in [Credential::Key, Credential::Session] {
        let identity = Identity { credential, ..key.clone() };
        assert_eq!(ask(Some(identity)).await, (200, "ann".to_owned()));
    }
    let foreign = Identity { namespace: "acme".parse().unwrap(), ..key };
    assert_eq!(ask(Some(foreign)).await.0, 403);
}
