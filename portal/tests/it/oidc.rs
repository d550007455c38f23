//! Logging in with an account elsewhere, as far as the pages go.

use reqwest::StatusCode;

use crate::browser::{Browser, Page};
use crate::fake::data::HOSTILE;
use crate::fake::{Fake, Mode, PROVIDER};

/// Where the provider sends the browser back to, with a code that says what comes of it.
fn back(code: &str) -> String {
    format!("/login/oidc/callback?code={code}&state=s&iss={PROVIDER}")
}

/// A browser that is at the provider.
async fn away(fake: Fake, redirect_to: &str) -> Browser {
    let browser = Browser::with(fake, false).await;
    let page = browser.get("/login").await;
    let page = browser.post(&page, "/login/oidc", &[("redirect_to", redirect_to)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    browser
}

fn text(page: &Page) -> &str {
    for markup in ["<script>alert", "\"><script", "<img src=x"] {
        assert!(!page.text.contains(markup), "{}", page.text);
    }
    &page.text
}

#[tokio::test]
async fn the_button_leads_to_the_provider_by_a_page() {
    let mut fake = Fake::new(Mode::Full);
    fake.oidc = Some(HOSTILE.into());
    let browser = Browser::with(fake, false).await;
    let page = browser.get("/login").await;
    assert!(text(&page).contains("Continue with &lt;&#x2f;textarea&gt;"), "{}", page.text);
    let left = browser.post(&page, "/login/oidc", &[]).await;
    let target =
        "content=\"0;url=https:&#x2f;&#x2f;provider.example&#x2f;auth?state=s&amp;x=%22%3E%3Cscript%3E\"";
    assert!(text(&left).contains(target), "{}", left.text);
    let cookies = left.set_cookies();
    let cookie = cookies.iter().find(|line| line.starts_with("micro-oidc=")).expect("the browser's secret");
    for part in ["; HttpOnly", "; SameSite=Lax", "; Max-Age=1200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    // Without a form of ours nothing begins.
    let flows = browser.fake.flows.lock().len();
    let foreign =
        browser.send(browser.request(reqwest::Method::POST, "/login/oidc").form(&[("csrf", "x")])).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/login/oidc").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(browser.fake.flows.lock().len(), flows);
}

#[tokio::test]
async fn without_a_provider_there_is_no_button() {
    let mut fake = Fake::new(Mode::Full);
    fake.oidc = None;
    let browser = Browser::with(fake, false).await;
    let page = browser.get("/login").await;
    assert!(!page.text.contains("/login/oidc"), "{}", page.text);
    let page = browser.post(&page, "/login/oidc", &[]).await;
    assert!(page.text.contains("no single sign-on"), "{}", page.text);
}

#[tokio::test]
async fn coming_back_gives_a_session_and_leads_on_within_this_site() {
    for (wanted, code, arrives) in [
        ("", "good", "/n/quiet-amber-river"),
        ("", "new", "/n/quiet-amber-river?done=welcome"),
        ("/device?code=ABCD", "good", "/device?code=ABCD"),
        ("https://evil.example/", "good", "/n/quiet-amber-river"),
        ("//evil.example", "good", "/n/quiet-amber-river"),
        ("/\\evil.example", "new", "/n/quiet-amber-river?done=welcome"),
        // Not even if the platform said so.
        ("/settings", "evil", "/n/quiet-amber-river"),
    ] {
        let browser = away(Fake::new(Mode::Full), wanted).await;
        let page = browser.get(&back(code)).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::SEE_OTHER, arrives),
            "{wanted} {}",
            page.text
        );
        assert!(browser.cookie("micro-session").is_some() && browser.cookie("micro-oidc").is_none());
    }
}

#[tokio::test]
async fn another_browser_does_not_finish_what_one_began() {
    let browser = away(Fake::new(Mode::Full), "").await;
    let other = browser.another();
    let page = other.get(&back("good")).await;
    assert!(text(&page).contains("began in another browser"), "{}", page.text);
    other.cookies.lock().insert("micro-oidc".into(), "guessed".into());
    let page = other.get(&back("good")).await;
    assert!(text(&page).contains("finished before"), "{}", page.text);
    assert!(other.cookie("micro-session").is_none() && browser.fake.sessions.lock().is_empty());
}

#[tokio::test]
async fn what_goes_wrong_is_told_on_the_login_page() {
    for (path, words) in [
        (back("wrong"), "&lt;script&gt;"),
        (back("link"), "link the account again"),
        ("/login/oidc/callback?error=access_denied&state=s".to_owned(), "Nothing has changed"),
        (format!("/login/oidc/callback?error={HOSTILE}&error_description={HOSTILE}"), "could not log you in"),
        ("/login/oidc/callback".to_owned(), "finished before"),
    ] {
        let browser = away(Fake::new(Mode::Full), "").await;
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(
            text(&page).contains(words) && page.text.contains("name=\"password\""),
            "{path}: {}",
            page.text
        );
        assert!(browser.fake.sessions.lock().is_empty() && browser.cookie("micro-oidc").is_none());
    }
    let browser = away(Fake::new(Mode::Full), "").await;
    assert_eq!(browser.get(&back("down")).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_second_factor_is_asked_for() {
    let browser = away(Fake::new(Mode::Full), "/projects").await;
    let page = browser.get(&back("factor")).await;
    assert!(page.text.contains("name=\"ticket\" value=\"ticket\""), "{}", page.text);
    assert!(browser.cookie("micro-session").is_none());
    for wrong in ["", "123456"] {
        let again = browser.post(&page, "/login/oidc/factor", &[("ticket", "ticket"), ("totp", wrong)]).await;
        assert!(again.text.contains("id=\"totp-problem\""), "{}", again.text);
    }
    let other = browser.another();
    let login = other.get("/login").await;
    let stolen = other.post(&login, "/login/oidc/factor", &[("ticket", "ticket"), ("totp", "000000")]).await;
    assert!(stolen.text.contains("finished before") && other.cookie("micro-session").is_none());
    let page = browser.post(&page, "/login/oidc/factor", &[("ticket", "ticket"), ("totp", "000 000")]).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/projects"), "{}", page.text);
    assert!(browser.cookie("micro-session").is_some());
}

#[tokio::test]
async fn an_account_elsewhere_is_linked_and_unlinked_in_the_settings() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/settings/sessions").await;
    let session = browser.cookie("micro-session");
    let left = browser.post(&page, "/settings/identities", &[]).await;
    assert!(text(&left).contains("provider.example"), "{}", left.text);
    let done = browser.get(&back("link")).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/settings/sessions?done=linked"));
    assert_eq!(browser.cookie("micro-session"), session, "the session goes on");
    // A failure is told where the link began.
    browser.post(&page, "/settings/identities", &[]).await;
    let failed = browser.get(&back("wrong")).await;
    assert!(text(&failed).contains("Where you are logged in"), "{}", failed.text);
    let id = browser.fake.identities.lock()[0].id.clone();
    let path = format!("/settings/identities/{id}/unlink");
    let gone = browser.post(&page, &path, &[]).await;
    assert_eq!((gone.status, gone.location()), (StatusCode::SEE_OTHER, "/settings/sessions?done=unlinked"));
    let page = browser.get(gone.location()).await;
    assert!(page.text.contains("Nothing linked"), "{}", page.text);
    assert!(browser.post(&page, &path, &[]).await.text.contains("Identity not found"));
}
