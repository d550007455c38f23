//! Forms: only our own pages can send them, in the session that they were made for.

use reqwest::{Method, StatusCode};

use crate::browser::Browser;
use crate::fake::{Mode, PASSWORD};

/// The paths that take forms, from the router itself, so that a new one is tested too.
fn posts() -> Vec<String> {
    let source = include_str!("../../src/router.rs");
    let lines =
        source.lines().map(str::trim).filter(|line| line.starts_with(".route(") && line.contains(", post("));
    let paths = lines.map(|line| line.split('"').nth(1).unwrap().to_owned());
    let fill = |path: String| {
        path.replace("{namespace}", "quiet-amber-river")
            .replace("{name}", "helloworld")
            .replace("{id}", "d-helloworld-latest-running")
            .replace("{code}", "good")
            .replace("{environment}", "bright-paper-kite")
            .replace("{changed}", "bright-paper-kite")
    };
    let paths: Vec<_> = paths.map(fill).collect();
    assert!(paths.len() > 25 && paths.iter().all(|path| !path.contains('{')), "{paths:?}");
    paths
}

/// What changed something at the platform.
fn changes(browser: &Browser) -> Vec<(String, String, String)> {
    browser.fake.seen.lock().iter().filter(|(method, ..)| method != "GET").cloned().collect()
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let browser = Browser::signed_in(Mode::Full).await;
    let other = browser.another();
    let session = browser.fake.open("mallory@example.com").session;
    other.cookies.lock().insert("micro-session".into(), session);
    let foreign = other.get("/settings").await.token();
    let stranger = browser.another().get("/login").await.token();
    for path in posts() {
        for token in [None, Some(""), Some("AAAA"), Some(foreign.as_str()), Some(stranger.as_str())] {
            let mut fields =
                vec![("id", "jane@example.com"), ("password", PASSWORD), ("confirm", "helloworld")];
            fields.extend(token.map(|token| ("csrf", token)));
            let page = browser.send(browser.request(Method::POST, &path).form(&fields)).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} with {token:?}: {}", page.text);
        }
    }
    assert_eq!(changes(&browser), [], "a form without its token reached the platform");
}

#[tokio::test]
async fn a_visitors_token_is_tied_to_the_visitors_cookie() {
    let browser = Browser::new(Mode::Full).await;
    let page = browser.get("/login").await;
    let other = browser.another();
    other.get("/login").await;
    let fields = [("id", "jane@example.com"), ("password", PASSWORD)];
    assert_eq!(other.post(&page, "/login", &fields).await.status, StatusCode::FORBIDDEN);
    let bare = browser.another();
    assert_eq!(bare.post(&page, "/login", &fields).await.status, StatusCode::FORBIDDEN, "no cookie at all");
    assert_eq!(browser.post(&page, "/login", &fields).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_from_another_origin_is_refused() {
    let browser = Browser::signed_in(Mode::Full).await;
    let token = browser.get("/settings").await.token();
    let own = format!("http://{}", browser.address);
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("origin", own.as_str(), 303),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 303),
    ] {
        let request = browser.request(Method::POST, "/settings/sessions/s2/end").form(&[("csrf", &token)]);
        let page = browser.send(request.header(name, value)).await;
        assert_eq!(page.status.as_u16(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn other_content_types_and_methods_are_refused() {
    let browser = Browser::signed_in(Mode::Full).await;
    let token = browser.get("/settings").await.token();
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let request = browser.request(Method::POST, "/settings/token").header("content-type", kind);
        let page = browser.send(request.body(format!("csrf={token}"))).await;
        assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let page = browser.send(browser.request(method, "/settings/token")).await;
        assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn forms_are_bounded() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/settings").await;
    let long = "a".repeat(9 << 10);
    let too_long = browser.post(&page, "/settings/token", &[("description", &long)]).await;
    assert_eq!(too_long.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(too_long.text.contains("8192 bytes"), "{}", too_long.text);
    let huge = browser
        .request(Method::POST, "/settings/token")
        .header("content-type", "application/x-www-form-urlencoded");
    let huge = browser.send(huge.body(format!("csrf={}&a={}", page.token(), "a".repeat(2 << 20)))).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    let many: Vec<(String, String)> = (0..300).map(|at| (format!("f{at}"), "x".into())).collect();
    let many = browser.send(browser.request(Method::POST, "/settings/token").form(&many)).await;
    assert_eq!(many.status, StatusCode::PAYLOAD_TOO_LARGE);
    // The JSON of a call may be longer.
    let json = format!("{{\"name\": \"{}\"}}", "a".repeat(100 << 10));
    let call = [("endpoint", "Helloworld.Call"), ("request", json.as_str())];
    let called = browser.post(&page, "/n/quiet-amber-river/services/helloworld/call", &call).await;
    assert_eq!(called.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_shown_once_with_the_whole_line() {
    let browser = Browser::signed_in(Mode::Empty).await;
    let page = browser.get("/settings").await;
    let fields = [("description", "My laptop"), ("in", "quiet-amber-river")];
    let page = browser.post(&page, "/settings/token", &fields).await;
    assert!(page.text.contains("micro login --platform --token=micro_k"), "{}", page.text);
    assert!(page.text.contains("micro env add platform 127.0.0.1:8081"), "{}", page.text);
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(!browser.get("/settings").await.text.contains("--token=micro_"), "the token is shown again");
    let keys = browser.get("/settings/keys").await;
    assert!(keys.text.contains("My laptop") && !keys.text.contains("micro_k"), "{}", keys.text);
    let revoked = browser.post(&keys, "/settings/keys/k10/revoke", &[]).await;
    assert_eq!(revoked.location(), "/settings/keys?done=revoked");
    assert!(browser.fake.keys.lock().is_empty());
}

#[tokio::test]
async fn rules_and_accounts_are_made_and_mistakes_stand_beside_their_fields() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/n/quiet-amber-river/access").await;
    assert!(page.text.contains("service:helloworld:*") && page.text.contains("everybody"), "{}", page.text);
    let fields = [
        ("id", "of-orders"),
        ("who", "scope"),
        ("scope", "orders"),
        ("resource", "service:orders:*"),
        ("access", "denied"),
        ("priority", "10"),
    ];
    let made = browser.post(&page, "/n/quiet-amber-river/rules", &fields).await;
    assert_eq!(made.location(), "/n/quiet-amber-river/access?done=rule");
    let rule = serde_json::json!(browser.fake.rules.lock().last());
    assert_eq!(rule["scope"], "orders");
    assert_eq!(rule["resource"], serde_json::json!({"type": "service", "name": "orders", "endpoint": "*"}));
    assert_eq!((&rule["access"], &rule["priority"]), (&"denied".into(), &10.into()));
    for (field, wrong) in [("id", ""), ("scope", ""), ("resource", "orders"), ("priority", "high")] {
        let mut fields = fields.to_vec();
        fields.iter_mut().filter(|(name, _)| *name == field).for_each(|(_, value)| *value = wrong);
        let again = browser.post(&page, "/n/quiet-amber-river/rules", &fields).await;
        assert!(again.text.contains(&format!("id=\"{field}-problem\"")), "{field}: {}", again.text);
        assert!(again.text.contains("value=\"of-orders\"") || field == "id", "what was typed is gone");
    }
    let fields = [("account", "night"), ("scopes", "orders, stock")];
    let made = browser.post(&page, "/n/quiet-amber-river/accounts", &fields).await;
    assert!(
        made.text.contains("micro login --platform --namespace=quiet-amber-river night x7-made"),
        "{}",
        made.text
    );
    let again = browser.get("/n/quiet-amber-river/access").await;
    assert!(!again.text.contains("x7-made"), "the secret is shown again");
    let others = browser.get("/n/calm-violet-harbour/access").await;
    assert_eq!(others.status, StatusCode::FORBIDDEN, "a developer there");
    assert!(others.text.contains("for owners of the namespace"), "{}", others.text);
}

#[tokio::test]
async fn what_destroys_asks_for_the_name() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/projects").await;
    for (path, wrong, right) in [
        (
            "/n/quiet-amber-river/services/helloworld/kill",
            [("version", "latest"), ("confirm", "hello")],
            [("version", "latest"), ("confirm", "helloworld")],
        ),
        (
            "/environments/bright-paper-kite/delete",
            [("x", ""), ("confirm", "")],
            [("x", ""), ("confirm", "bright-paper-kite")],
        ),
        (
            "/projects/p1/delete",
            [("name", "Shop"), ("confirm", "shop")],
            [("name", "Shop"), ("confirm", "Shop")],
        ),
        (
            "/n/quiet-amber-river/members/u2/remove",
            [("name", "arjun"), ("confirm", "")],
            [("name", "arjun"), ("confirm", "arjun")],
        ),
        (
            "/n/quiet-amber-river/accounts/billing-job/delete",
            [("x", ""), ("confirm", "billing")],
            [("x", ""), ("confirm", "billing-job")],
        ),
        (
            "/settings/delete",
            [("password", PASSWORD), ("confirm", "x")],
            [("password", PASSWORD), ("confirm", "jane")],
        ),
    ] {
        let before = changes(&browser).len();
        let refused = browser.post(&page, path, &wrong).await;
        assert!(refused.text.contains("Type <code>"), "{path}: {}", refused.text);
        assert_eq!(changes(&browser).len(), before, "{path} was done without the name");
        let done = browser.post(&page, path, &right).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{path}: {}", done.text);
        assert_eq!(changes(&browser).len(), before + 1, "{path}");
    }
    assert_eq!(browser.cookie("micro-session"), None, "a deleted account keeps its cookie");
}

#[tokio::test]
async fn a_call_shows_the_reply_with_and_without_scripts() {
    let browser = Browser::signed_in(Mode::Full).await;
    let path = "/n/quiet-amber-river/services/helloworld/call";
    let page = browser.get("/n/quiet-amber-river/services/helloworld").await;
    assert!(page.text.contains("value=\"Jane\""), "no example is filled in: {}", page.text);
    assert!(page.text.contains("micro call --platform helloworld Helloworld.Call"), "{}", page.text);
    let fields = [("endpoint", "Helloworld.Call"), ("f.name", "Ada \"<b>\"")];
    let called = browser.post(&page, path, &fields).await;
    assert!(called.text.contains("Hello Ada \\&quot;&lt;b&gt;\\&quot;"), "{}", called.text);
    assert!(called.text.contains("200 OK"), "{}", called.text);
    let token = page.token();
    let fields = [fields[0], fields[1], ("csrf", &token)];
    let script = browser.request(Method::POST, path).header("accept", "application/json").form(&fields);
    let answer: serde_json::Value = serde_json::from_str(&browser.send(script).await.text).unwrap();
    assert!(answer["html"].as_str().unwrap().contains("&lt;b&gt;"), "{answer}");
    // A field of the wrong type is told beside the field.
    let wrong = [("endpoint", "Orders.Create"), ("f.items", "[nonsense"), ("csrf", &token)];
    let script = browser.request(Method::POST, path).header("accept", "application/json").form(&wrong);
    let answer: serde_json::Value = serde_json::from_str(&browser.send(script).await.text).unwrap();
    assert_eq!(answer["field"], "f.items");
}
