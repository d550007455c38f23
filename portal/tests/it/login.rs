//! Sessions: how they begin and end, and what a cookie says.

use micro_api::person::SignupMode;
use reqwest::{Method, StatusCode};

use crate::browser::Browser;
use crate::fake::{CODE, EMAIL, Fake, Mode, PASSWORD};

async fn log_in(browser: &Browser, more: &[(&str, &str)]) -> crate::browser::Page {
    let page = browser.get("/login").await;
    let mut fields = vec![("id", EMAIL), ("password", PASSWORD)];
    fields.extend_from_slice(more);
    browser.post(&page, "/login", &fields).await
}

#[tokio::test]
async fn signing_up_by_code_gives_a_session() {
    let browser = Browser::new(Mode::Empty).await;
    let page = browser.get("/signup").await;
    let page = browser.post(&page, "/signup/code", &[("email", "new@example.com")]).await;
    assert!(page.text.contains("Step 2 of 2"), "{}", page.text);
    let wrong = [("email", "new@example.com"), ("code", "999999"), ("password", "long enough")];
    let page = browser.post(&page, "/signup", &wrong).await;
    assert!(page.text.contains("The code is wrong"), "{}", page.text);
    assert!(page.text.contains("value=\"new@example.com\""), "what was typed is lost");
    assert!(!page.text.contains("long enough"), "a password came back");
    let right = [("email", "new@example.com"), ("code", CODE), ("password", "long enough")];
    let page = browser.post(&page, "/signup", &right).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/n/quiet-amber-river?done=welcome"));
    let home = browser.get(page.location()).await;
    assert!(
        home.text.contains("Your account is ready") && home.text.contains("Logged in as"),
        "{}",
        home.text
    );
    assert!(home.text.contains("micro login --platform"), "a new account is not told what to do");
}

#[tokio::test]
async fn somebody_who_is_invited_chooses_where_to_go() {
    let mut fake = Fake::new(Mode::Empty);
    fake.waits_for = "calm-violet-harbour".into();
    let browser = Browser::with(fake, false).await;
    let page = browser.get("/signup?step=code").await;
    let mut fields = vec![("email", "new@example.com"), ("code", CODE), ("password", "long enough")];
    let asked = browser.post(&page, "/signup", &fields).await;
    assert!(asked.text.contains("You are invited to <code>calm-violet-harbour"), "{}", asked.text);
    assert!(browser.fake.sessions.lock().is_empty(), "an account was made before the choice");
    fields.push(("choice", "join"));
    assert_eq!(browser.post(&asked, "/signup", &fields).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_sign_up_page_follows_the_operators_choice() {
    for (mode, has, has_not) in [
        (SignupMode::Code, "name=\"email\"", "name=\"password\""),
        (SignupMode::Invitation, "name=\"invitation\"", "/signup/code"),
        (SignupMode::Open, "name=\"password\"", "name=\"invitation\""),
        (SignupMode::Closed, "Sign-up is closed", "name=\"email\""),
    ] {
        let mut fake = Fake::new(Mode::Empty);
        fake.signup = mode;
        fake.mail_file = Some("/tmp/mail's \"file\"".into());
        let page = Browser::with(fake, false).await.get("/signup").await;
        assert!(page.text.contains(has) && !page.text.contains(has_not), "{mode:?}: {}", page.text);
        if mode == SignupMode::Code {
            assert!(page.text.contains("mail&#x27;s"), "the page does not say where mails go: {}", page.text);
        }
    }
}

#[tokio::test]
async fn cookies_are_as_strict_as_the_address_allows() {
    let browser = Browser::new(Mode::Full).await;
    let page = log_in(&browser, &[]).await;
    let cookies = page.set_cookies();
    let session = cookies.iter().find(|line| line.starts_with("micro-session=micros_")).unwrap();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax"] {
        assert!(session.contains(part), "{session}");
    }
    assert!(!session.contains("Secure") && !session.contains("Domain"), "{session}");

    let browser = Browser::with(Fake::new(Mode::Full), true).await;
    let page = log_in(&browser, &[]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    for line in page.set_cookies() {
        assert!(line.starts_with("__Host-micro-"), "{line}");
        assert!(
            line.contains("; Secure") && line.contains("; Path=/;") && !line.contains("Domain"),
            "{line}"
        );
    }
    assert_eq!(browser.get("/settings").await.status, StatusCode::OK);
    // A cookie without the prefix may have been set by a neighbour.
    let session = browser.cookies.lock().remove("__Host-micro-session").unwrap();
    browser.cookies.lock().insert("micro-session".into(), session);
    assert_eq!(browser.get("/settings").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_gives_a_new_session_and_ends_the_old_one() {
    let browser = Browser::new(Mode::Full).await;
    // Somebody else planted a session that they know.
    let planted = browser.fake.open("mallory@example.com").session;
    browser.cookies.lock().insert("micro-session".into(), planted.clone());
    let page = browser.get("/projects").await;
    let page = browser.post(&page, "/login", &[("id", EMAIL), ("password", PASSWORD)]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let session = browser.cookie("micro-session").unwrap();
    assert_ne!(session, planted);
    let sessions = browser.fake.sessions.lock();
    assert!(!sessions.contains_key(&planted), "the planted session still counts");
    assert_eq!(sessions.get(&session).map(String::as_str), Some(EMAIL));
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let browser = Browser::new(Mode::Full).await;
    let mut answers = Vec::new();
    for (id, password) in [(EMAIL, "wrong"), ("nobody@example.com", "wrong")] {
        let page = browser.get("/login").await;
        let page = browser.post(&page, "/login", &[("id", id), ("password", password)]).await;
        assert_eq!(page.status, StatusCode::OK);
        let token = page.token();
        answers.push(page.text.replace(id, "").replace(&token, ""));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("The name or the password is wrong"));
}

#[tokio::test]
async fn a_second_factor_is_asked_for() {
    let mut fake = Fake::new(Mode::Full);
    fake.totp = Some(EMAIL.into());
    let browser = Browser::with(fake, false).await;
    let page = log_in(&browser, &[]).await;
    assert!(
        page.text.contains("<details class=\"more\" open>") && page.text.contains("second factor"),
        "{}",
        page.text
    );
    let page = log_in(&browser, &[("totp", "111111")]).await;
    assert!(page.text.contains("This code is not right"), "{}", page.text);
    assert_eq!(log_in(&browser, &[("totp", "000 000")]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_leads_back_to_own_paths_only() {
    for (target, expected) in [
        ("/settings/keys", "/settings/keys"),
        ("/n/quiet-amber-river/services?q=a&after=b", "/n/quiet-amber-river/services?q=a&after=b"),
        ("//evil.example", "/n/quiet-amber-river"),
        ("https://evil.example", "/n/quiet-amber-river"),
        ("/\\evil.example", "/n/quiet-amber-river"),
        ("/\t/evil.example", "/n/quiet-amber-river"),
        ("/x\r\nSet-Cookie: a=b", "/n/quiet-amber-river"),
        ("javascript:alert(1)", "/n/quiet-amber-river"),
    ] {
        let browser = Browser::new(Mode::Full).await;
        let page = log_in(&browser, &[("redirect_to", target)]).await;
        assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, expected), "{target:?}");
        assert!(page.headers.get("a").is_none());
        // Who is signed in already is sent on by the page itself.
        let request = browser.request(Method::GET, "/login").query(&[("redirect_to", target)]);
        let page = browser.send(request).await;
        let expected = if expected == "/n/quiet-amber-river" { "/" } else { expected };
        assert_eq!(page.location(), expected, "{target:?}");
    }
}

#[tokio::test]
async fn an_ended_session_leads_to_the_login_and_back() {
    let browser = Browser::signed_in(Mode::Full).await;
    browser.fake.sessions.lock().clear();
    let page = browser.get("/n/quiet-amber-river/services?q=a%22").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.location(), "/login?redirect_to=%2Fn%2Fquiet-amber-river%2Fservices%3Fq%3Da%2522");
    assert_eq!(browser.cookie("micro-session"), None, "a dead session stays in the browser");
    let login = browser.get(page.location()).await;
    assert!(login.text.contains("value=\"&#x2f;n&#x2f;quiet-amber-river"), "{}", login.text);
    // A script gets a status that it can tell apart.
    browser.cookies.lock().insert("micro-session".into(), "micros_dead".into());
    let request = browser.request(Method::GET, "/n/quiet-amber-river/services/helloworld/logs/live");
    let page = browser.send(request.header("accept", "text/event-stream")).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn logging_out_ends_the_session_at_the_platform() {
    let browser = Browser::signed_in(Mode::Full).await;
    let page = browser.get("/settings").await;
    let page = browser.post(&page, "/logout", &[]).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/login?done=bye"));
    assert!(browser.fake.sessions.lock().is_empty());
    assert_eq!(browser.cookie("micro-session"), None);
}
