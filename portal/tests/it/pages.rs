//! What every page has.

use reqwest::{Method, StatusCode};

use crate::browser::{Browser, OUTSIDE, PAGES, Page};
use crate::fake::{EMAIL, Fake, Mode};

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                   form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

fn check_headers(page: &Page, path: &str) {
    let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("content-security-policy"), CSP, "{path}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("referrer-policy"), "same-origin", "{path}");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
    assert_eq!(header("cache-control"), "no-store", "{path}");
    assert_eq!(header("x-request-id").len(), 32, "{path}");
}

/// What the policy would block, so that a page that needs it is broken: inline scripts, styles and handlers.
fn check_policy(page: &Page, path: &str) {
    let text = &page.text;
    assert!(!text.contains(" style=") && !text.contains("<style"), "{path} has an inline style");
    for script in text.split("<script").skip(1) {
        assert!(script.starts_with(" type=\"module\" src=\"/assets/"), "{path}: {}", &script[..40]);
    }
    for origin in ["src=\"http", "src=\"//", "<link rel=\"stylesheet\" href=\"http"] {
        assert!(!text.contains(origin), "{path} loads from another origin");
    }
}

#[tokio::test]
async fn every_page_renders_in_every_mode_with_its_headers() {
    for mode in [Mode::Full, Mode::Empty, Mode::Error] {
        let browser = Browser::signed_in(mode).await;
        for path in PAGES {
            let page = browser.get(path).await;
            let told = matches!(page.status.as_u16(), 200 | 404 | 503);
            let expected = mode != Mode::Full || page.status == StatusCode::OK;
            assert!(told && expected, "{mode:?} {path} gave {}: {}", page.status, page.text);
            check_headers(&page, path);
            check_policy(&page, path);
        }
    }
    let stranger = Browser::new(Mode::Full).await;
    for path in OUTSIDE {
        let page = stranger.get(path).await;
        assert!(matches!(page.status.as_u16(), 200 | 404), "{path} gave {}: {}", page.status, page.text);
        check_headers(&page, path);
        check_policy(&page, path);
    }
}

#[tokio::test]
async fn an_error_page_names_the_request_and_whose_fault_it_is() {
    let browser = Browser::signed_in(Mode::Error).await;
    let page = browser.get("/n/quiet-amber-river/usage").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    let id = page.headers["x-request-id"].to_str().unwrap();
    assert!(page.text.contains(id), "the page does not show its request id");
    assert!(page.text.contains("on our side"), "{}", page.text);
    let page = browser.get("/n/quiet-amber-river/nothing").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("in the request"), "{}", page.text);
}

#[tokio::test]
async fn a_control_api_that_is_gone_is_said_so() {
    let fake = std::sync::Arc::new(Fake::new(Mode::Full));
    // Bound and closed again: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let browser = Browser::at(fake, gone, false).await;
    let page = browser.get("/signup").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The platform does not answer"), "{}", page.text);
    assert!(!page.text.contains(&gone.to_string()), "an internal address is shown");
    assert_eq!(browser.get("/healthz").await.text, "ok");
}

#[tokio::test]
async fn another_namespace_is_not_found() {
    let browser = Browser::signed_in(Mode::Full).await;
    for path in
        ["/n/somebody-elses-place", "/n/somebody-elses-place/services/helloworld/logs", "/n/Not%20one"]
    {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        browser.get("/n/quiet-amber-river/services/no-such-thing/x").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_namespace_that_was_left_is_forgotten() {
    let browser = Browser::signed_in(Mode::Full).await;
    browser.cookies.lock().insert("micro-namespace".into(), "somebody-elses-place".into());
    let page = browser.get("/settings").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(browser.cookie("micro-namespace").as_deref(), Some("quiet-amber-river"));
}

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let browser = Browser::signed_in(Mode::Full).await;
    for (host, status) in [
        ("127.0.0.1", 303),
        ("LOCALHOST:9999", 303),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.", 421),
        ("", 421),
    ] {
        let page = browser.send(browser.request(Method::GET, "/").header("host", host)).await;
        assert_eq!(page.status.as_u16(), status, "{host}");
        assert_eq!(page.headers["content-security-policy"], CSP, "{host}");
    }
}

#[tokio::test]
async fn a_host_is_shown_as_text() {
    let browser = Browser::new(Mode::Full).await;
    let request = browser.request(Method::GET, "/login").header("host", "\"><script>alert(1)</script>");
    let page = browser.send(request).await;
    assert!(page.status.is_client_error());
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_their_digest() {
    let browser = Browser::new(Mode::Full).await;
    let page = browser.get("/login").await;
    let mut bytes = page.text.len();
    let mut files = 0;
    for part in page.text.split("\"/assets/").skip(1) {
        let file = part.split('"').next().unwrap();
        let asset = browser.get(&format!("/assets/{file}")).await;
        assert_eq!(asset.status, StatusCode::OK, "{file}");
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable");
        bytes += asset.text.len();
        files += 1;
    }
    assert!(files >= 4, "{}", page.text);
    assert!(bytes < 60 << 10, "the first page has {bytes} bytes");
    assert_eq!(browser.get("/assets/style.000000000000.css").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/assets/..%2f..%2fCargo.toml").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_proxys_word_counts_for_the_visitors_address() {
    let browser = Browser::signed_in(Mode::Full).await;
    let told = [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 127.0.0.2", "203.0.113.9"),
        ("nonsense", "127.0.0.1"),
    ];
    for (header, address) in told {
        browser.send(browser.request(Method::GET, "/settings").header("x-forwarded-for", header)).await;
        let seen = browser.fake.seen.lock().last().cloned().unwrap();
        assert_eq!(seen.2, address, "{header}");
    }
}

#[tokio::test]
async fn an_operators_page_is_of_operators() {
    let mut fake = Fake::new(Mode::Full);
    fake.operator = false;
    let browser = Browser::with(fake, false).await;
    let session = browser.fake.open(EMAIL).session;
    browser.cookies.lock().insert("micro-session".into(), session);
    let page = browser.get("/settings").await;
    assert!(!page.text.contains("href=\"/operator\""), "the way to a page that is not there is shown");
    for path in ["/operator", "/operator/people", "/operator/plans", "/operator/audit"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/operator/namespaces/x", "/operator/people/x", "/operator/invitations"] {
        let refused = browser.post(&page, path, &[("blocked", "yes"), ("email", "a@b.example")]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    let seen = browser.fake.seen.lock();
    assert!(seen.iter().all(|(_, path, _)| !path.starts_with("/v1/operator")), "{seen:?}");
}

#[tokio::test]
async fn the_audit_log_is_exported_line_by_line() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/n/quiet-amber-river/audit.ndjson").await;
    assert_eq!(page.headers["content-type"], "application/x-ndjson");
    assert!(page.headers["content-disposition"].to_str().unwrap().starts_with("attachment;"));
    let lines: Vec<serde_json::Value> =
        page.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
}
