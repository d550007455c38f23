//! Limits of addresses, accounts and namespaces, each reached by real requests.

use std::time::Duration;

use micro_api::Error;
use micro_auth::Identity;

use super::fixture::{Client, DEFAULT, PUBLIC, Server, get, post, tenant, until};
use crate::{Config, Exceeded, Rate, Tenant};

/// Clients say their address as a proxy would.
fn behind_proxy(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

fn from(address: &str, path: &str, headers: &str) -> String {
    get(path, &format!("X-Forwarded-For: {address}\r\n{headers}"))
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
    }
}

#[tokio::test]
async fn an_address_without_an_account_has_its_limit() {
    let server = Server::start(|config| {
        behind_proxy(config);
        config.rate_of_address = Some(Rate::new(1, 2));
    })
    .await;
    server.known.key("key", "default", "ann");
    let ask = async |request: String| server.ask(&request).await;
    let (_, text) = ask(from("192.0.2.1", "/svc/echo", "")).await;
    has(&text, &["ratelimit-policy: \"address\";q=2;w=2", "ratelimit: \"address\";r=1;t=1"]);
    // A client behind the proxy writes what it likes, and is counted by what the proxy saw.
    assert_eq!(ask(from("203.0.113.9, 192.0.2.1", "/svc/echo", "")).await.0, 200);
    let mut statuses = Vec::new();
    for forged in ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"] {
        let (status, text) = ask(from(&format!("{forged}, 192.0.2.1"), "/svc/echo", "")).await;
        statuses.push(status);
        if status == 429 {
            has(&text, &["retry-after: 1", "ratelimit: \"address\";r=0;t=1"]);
            assert!(text.contains("limit: address: 1 a second and 2 at once"), "{text}");
        }
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(from("192.0.2.2", "/svc/echo", "")).await.0, 200, "another address");
    let known = from("192.0.2.1", "/svc/echo", "Authorization: Bearer key\r\n");
    assert_eq!(ask(known).await.0, 200, "an account has its own limit");
    assert_eq!(ask(get("/svc/echo", "")).await.0, 200, "a program on this machine");
}

#[tokio::test]
async fn guessing_credentials_is_slow_and_using_one_is_not() {
    let server = Server::start(|config| {
        behind_proxy(config);
        config.rate_of_refused_credentials = Some(Rate::new(1, 3));
    })
    .await;
    server.known.key("key", "default", "ann");
    let ask = async |token: &str, address: &str| {
        server.ask(&from(address, "/svc/echo", &format!("Authorization: Bearer {token}\r\n"))).await
    };
    for _ in 0..10 {
        assert_eq!(ask("key", "192.0.2.1").await.0, 200);
    }
    let mut tries = Vec::new();
    while tries.len() < 20 && !tries.contains(&429) {
        tries.push(ask(&format!("guess{}", tries.len()), "192.0.2.1").await.0);
    }
    assert!((4..10).contains(&tries.len()), "{tries:?}");
    let (status, text) = ask("key", "192.0.2.1").await;
    assert!(status == 200 || text.contains("limit: credentials"), "{text}");
    assert_eq!(ask("key", "192.0.2.2").await.0, 200, "another address");
}

#[tokio::test]
async fn an_account_has_its_limit_wherever_it_is() {
    let server = Server::start(|config| {
        behind_proxy(config);
        config.rate_of_account = Some(Rate::new(1, 2));
    })
    .await;
    server.known.key("one", "default", "ann");
    let two = server.known.key("two", "default", "bob");
    server.known.set("also-one", Ok(Identity { id: "ann".to_owned(), ..two }));
    let ask = async |token: &str, address: &str| {
        server.ask(&from(address, "/svc/echo", &format!("Authorization: Bearer {token}\r\n"))).await
    };
    let (_, text) = ask("one", "192.0.2.1").await;
    has(&text, &["ratelimit-policy: \"account\";q=2;w=2", "ratelimit: \"account\";r=1;t=1"]);
    let mut statuses = Vec::new();
    for (token, address) in [("also-one", "192.0.2.2"), ("one", "192.0.2.3"), ("one", "192.0.2.4")] {
        let (status, text) = ask(token, address).await;
        assert!(status == 200 || text.contains("limit: account: 1 a second"), "{text}");
        statuses.push(status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask("two", "192.0.2.1").await.0, 200, "another account");
}

#[tokio::test]
async fn a_namespace_has_the_rate_of_its_plan_and_strangers_do_not_use_it_up() {
    let server = Server::with_tenants(|_| ()).await;
    let limited = |rules| Tenant { requests_per_second: Some(1), burst: 3, ..tenant(rules) };
    server.tenants(&[("acme", limited(&[DEFAULT])), ("default", tenant(&[PUBLIC]))]);
    server.known.key("key", "acme", "ann");
    let asks = |headers: &str| get("/svc/echo", &format!("Micro-Namespace: acme\r\n{headers}"));
    for _ in 0..10 {
        assert_eq!(server.ask(&asks("")).await.0, 401);
    }
    let own = asks("Authorization: Bearer key\r\n");
    let (status, text) = server.ask(&own).await;
    assert_eq!(status, 200, "{text}");
    has(&text, &["ratelimit-policy: \"namespace\";q=3;w=3", "ratelimit: \"namespace\";r=2;t=1"]);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(server.ask(&own).await);
    }
    let (_, text) = answers.iter().find(|(status, _)| *status == 429).expect("the limit is reached");
    has(text, &["retry-after: 1", "ratelimit: \"namespace\";r=0;t=1"]);
    let wanted = "limit: requests_per_second: 1 a second and 3 at once are allowed of requests to the namespace `acme`";
    assert!(text.contains(wanted) && text.contains("a larger plan"), "{text}");
    let rpc = post("/rpc", r#"{"service":"svc","endpoint":"A.B"}"#);
    let rpc = rpc.replace("Connection", "Micro-Namespace: acme\r\nAuthorization: Bearer key\r\nConnection");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(server.ask(&rpc).await.0);
    }
    assert!(statuses.contains(&429), "by `/rpc` too: {statuses:?}");
    assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 200, "others are served");
}

#[tokio::test]
async fn a_used_up_budget_is_429_and_only_admitted_requests_count() {
    let server = Server::with_web(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    server.known.key("key", "default", "ann");
    let own = |path: &str| get(path, "Authorization: Bearer key\r\n");
    let rpc = post("/rpc", r#"{"service":"svc","endpoint":"A.B"}"#);
    let rpc = rpc.replace("Connection", "Authorization: Bearer key\r\nConnection");
    for request in [own("/svc/echo"), own("/web/hello"), rpc.clone()] {
        assert_eq!(server.ask(&request).await.0, 200);
    }
    for refused in [get("/svc/echo", ""), own("/nothing/there")] {
        assert!(matches!(server.ask(&refused).await.0, 401 | 404));
    }
    assert_eq!(*server.budget.counted.lock(), ["default/svc", "default/web", "default/svc"]);
    *server.budget.used_up.lock() = Some(Exceeded {
        limit: "requests_per_month",
        max: 1000,
        resets_ms: Some(i64::MAX / 2),
        what_to_do: "ask the operator for a larger plan".to_owned(),
    });
    for request in [own("/svc/echo"), own("/web/hello"), rpc] {
        let (status, text) = server.ask(&request).await;
        assert_eq!(status, 429);
        assert!(
            text.contains("limit: requests_per_month: the 1000 of the namespace's plan are used up"),
            "{text}"
        );
        assert!(text.contains("retry-after: ") && text.contains("\"requests_per_month\";q=1000"), "{text}");
    }
    assert_eq!(server.budget.counted.lock().len(), 3);
}

/// An answer that is never read to its end: its request counts until the connection is closed.
async fn hold(server: &Server, namespace: &str) -> Client {
    let mut client = server.connect().await;
    let request =
        format!("GET /web/stream?100000 HTTP/1.1\r\nHost: localhost\r\nMicro-Namespace: {namespace}\r\n\r\n");
    client.send(&request).await;
    client.read_until("line ").await;
    client
}

#[tokio::test]
async fn a_namespace_at_its_cap_waits_and_slows_nobody_else() {
    let server = Server::with_tenants(|config| {
        config.waiting_per_namespace_max = 1;
        config.waiting_time_max = Duration::from_secs(30);
    })
    .await;
    let capped = Tenant { concurrency: Some(2), ..tenant(&[PUBLIC]) };
    server.tenants(&[("acme", capped), ("default", tenant(&[PUBLIC]))]);
    let held = [hold(&server, "acme").await, hold(&server, "acme").await];
    let asks = get("/svc/echo", "Micro-Namespace: acme\r\n");
    let mut waiting = server.connect().await;
    waiting.send(&asks).await;
    until(|| server.gateway.gate.waiting() == 1).await;
    let (status, text) = server.ask(&asks).await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("limit: concurrency: 2 requests of the namespace `acme`"), "{text}");
    has(&text, &["retry-after: 1"]);
    for _ in 0..20 {
        assert_eq!(server.ask(&get("/svc/echo", "")).await.0, 200, "others are served at once");
    }
    assert_eq!(server.gateway.gate.waiting(), 1);
    drop(held);
    assert!(waiting.rest().await.starts_with("HTTP/1.1 200"), "its turn came");
    server.quiet().await;
}

#[tokio::test]
async fn who_waits_too_long_is_told_so() {
    let server = Server::with_tenants(|config| config.waiting_time_max = Duration::from_millis(50)).await;
    let capped = Tenant { concurrency: Some(1), ..tenant(&[PUBLIC]) };
    server.tenants(&[("acme", capped)]);
    let _held = hold(&server, "acme").await;
    let (status, text) = server.ask(&get("/svc/echo", "Micro-Namespace: acme\r\n")).await;
    let error = Error::parse(text.split_once("\r\n\r\n").unwrap().1);
    assert_eq!((status, error.code), (429, 429), "{text}");
    assert_eq!(server.gateway.gate.waiting(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_waits_no_longer() {
    let server = Server::with_tenants(|config| config.waiting_time_max = Duration::from_secs(60)).await;
    let capped = Tenant { concurrency: Some(1), ..tenant(&[PUBLIC]) };
    server.tenants(&[("acme", capped)]);
    let _held = hold(&server, "acme").await;
    let mut waiting = server.connect().await;
    waiting.send(&get("/svc/echo", "Micro-Namespace: acme\r\n")).await;
    until(|| server.gateway.gate.waiting() == 1).await;
    drop(waiting);
    until(|| server.gateway.gate.waiting() == 0).await;
}

#[tokio::test]
async fn on_a_full_node_every_namespace_gets_its_turn() {
    let server = Server::with_tenants(|config| {
        config.requests_max = 1;
        config.waiting_time_max = Duration::from_secs(30);
    })
    .await;
    server.tenants(&[("acme", tenant(&[PUBLIC])), ("default", tenant(&[PUBLIC]))]);
    let held = hold(&server, "acme").await;
    let mut crowd = Vec::new();
    // The first of the crowd holds the node again once its turn has come.
    let stream = "GET /web/stream?100000 HTTP/1.1\r\nHost: localhost\r\nMicro-Namespace: acme\r\n\r\n";
    for count in 1..=20 {
        let mut client = server.connect().await;
        client.send(stream).await;
        crowd.push(client);
        until(|| server.gateway.gate.waiting() == count).await;
    }
    let mut late = server.connect().await;
    late.send(&get("/svc/echo", "")).await;
    until(|| server.gateway.gate.waiting() == 21).await;
    drop(held);
    // One of the crowd comes first; when it goes, it is the other namespace's turn and not the crowd's.
    crowd[0].read_until("line ").await;
    drop(crowd.remove(0));
    assert!(late.rest().await.starts_with("HTTP/1.1 200"));
    assert!(server.gateway.gate.waiting() >= 18, "the crowd waits");
}
