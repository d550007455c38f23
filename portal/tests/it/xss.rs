//! Text of tenants and strangers is text, wherever it is shown.

use reqwest::Method;

use crate::browser::{Browser, PAGES, Page};
use crate::fake::data::HOSTILE;
use crate::fake::{Fake, Mode};

/// Nothing of `HOSTILE` became markup. What is between quotes must not hold a quote, what is outside no tag.
fn check(page: &Page, path: &str) {
    for markup in
        ["<script>alert", "<img src=x", "<b>`", "\" onmouseover", "</textarea></pre>", "onerror=alert(2)>"]
    {
        assert!(!page.text.contains(markup), "{path} holds {markup}: {}", page.text);
    }
}

#[tokio::test]
async fn hostile_text_is_shown_as_text_on_every_page() {
    let mut shown = 0;
    for mode in [Mode::Full, Mode::Error] {
        let browser = Browser::signed_in(mode).await;
        for path in PAGES {
            let page = browser.get(path).await;
            check(&page, path);
            shown += usize::from(page.text.contains("&lt;script&gt;alert(1)"));
        }
    }
    assert!(shown > 20, "hostile text is on {shown} pages only, so this test would not find much");
}

#[tokio::test]
async fn hostile_text_in_answers_to_forms_is_text() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/projects").await;
    let at = "/n/quiet-amber-river/services/helloworld/call";
    for (path, fields) in [
        ("/projects", vec![("name", HOSTILE.get(..30).unwrap()), ("description", HOSTILE)]),
        ("/n/quiet-amber-river/new", vec![("url", HOSTILE), ("name", HOSTILE)]),
        ("/settings/keys", vec![("description", HOSTILE), ("days", HOSTILE)]),
        ("/settings/token", vec![("description", HOSTILE), ("in", HOSTILE)]),
        ("/settings/email", vec![("email", HOSTILE)]),
        ("/settings/totp/confirm", vec![("totp", HOSTILE), ("secret", HOSTILE), ("uri", HOSTILE)]),
        ("/n/quiet-amber-river/invitations", vec![("email", HOSTILE)]),
        ("/n/quiet-amber-river/members/u2/remove", vec![("name", HOSTILE)]),
        ("/n/quiet-amber-river/rules", vec![("id", HOSTILE), ("resource", HOSTILE), ("priority", HOSTILE)]),
        ("/n/quiet-amber-river/accounts", vec![("account", HOSTILE), ("scopes", HOSTILE)]),
        ("/device", vec![("user_code", HOSTILE)]),
        (at, vec![("endpoint", "Helloworld.Call"), ("f.name", "fail")]),
        (at, vec![("endpoint", HOSTILE), ("request", HOSTILE)]),
    ] {
        check(&browser.post(&page, path, &fields).await, path);
    }
    let stranger = Browser::with(Fake::new(Mode::Full), false).await;
    let page = stranger.get("/login").await;
    for path in ["/login", "/signup/code", "/signup", "/reset/code", "/reset"] {
        let fields = [
            ("id", HOSTILE),
            ("email", HOSTILE),
            ("code", HOSTILE),
            ("name", HOSTILE),
            ("redirect_to", HOSTILE),
        ];
        check(&stranger.post(&page, path, &fields).await, path);
    }
}

#[tokio::test]
async fn live_lines_are_data() {
    let browser = Browser::signed_in(Mode::Full).await;
    let path = "/n/quiet-amber-river/deployments/d-helloworld-v2-beta-building/live?since=0.0";
    let page = browser.send(browser.request(Method::GET, path).header("accept", "text/event-stream")).await;
    assert_eq!(page.headers["content-type"], "text/event-stream");
    let events: Vec<_> = page.text.lines().filter(|line| line.starts_with("event:")).collect();
    assert_eq!(events.iter().filter(|line| line.contains("line")).count(), 8, "{}", page.text);
    assert_eq!(events.last().map(|line| line.trim()), Some("event: end"), "{}", page.text);
    for line in page.text.lines().filter(|line| line.starts_with("data:")) {
        let data: serde_json::Value = serde_json::from_str(line.trim_start_matches("data:").trim()).unwrap();
        if let Some(html) = data["html"].as_str() {
            assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
        }
    }
}

#[tokio::test]
async fn headers_cannot_be_split() {
    let browser = Browser::signed_in(Mode::Full).await;
    for path in [
        "/login?redirect_to=/%0d%0aX-Evil:%201",
        "/n/quiet%0d%0aX-Evil:%201",
        "/projects?done=x%0d%0aX-Evil:1",
    ] {
        let page = browser.get(path).await;
        assert!(page.headers.get("x-evil").is_none(), "{path}");
        assert!(!page.location().contains(['\r', '\n']), "{path}");
    }
    browser.cookies.lock().insert("micro-namespace".into(), "a%0d%0ab".into());
    assert_eq!(browser.get("/settings").await.status.as_u16(), 200);
}
