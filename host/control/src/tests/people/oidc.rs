//! Single sign-on through the API, with a provider that lies when it is told to.

mod attacks;
mod provider;

use std::sync::atomic::Ordering;

use micro_auth::Secret;

use super::me::code_at;
use super::*;
use provider::{Back, FakeProvider, Forgery, Mood};

/// A platform with that provider.
async fn with_provider(provider: &FakeProvider, adjust: impl FnOnce(&mut Config)) -> Fixture {
    let oidc = provider.open();
    with(|config| {
        config.people.oidc = Some(oidc);
        adjust(config);
    })
    .await
}

/// What the provider says of somebody whose address it has verified.
fn verified(subject: &str, email: &str) -> Value {
    json!({"sub": subject, "email": email, "email_verified": true})
}

/// A browser that left for the provider.
#[derive(Debug, Clone)]
struct Away {
    url: String,
    browser: String,
}

impl Fixture {
    async fn leave(&self, who: Who<'_>, path: &str) -> Away {
        let (status, started) = self.send_as(who, "POST", path, Some(json!({"redirect_to": "/next"}))).await;
        assert_eq!(status, StatusCode::CREATED, "{started}");
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        assert_eq!(started["expires_in"], 600);
        Away { url: text("url"), browser: text("browser") }
    }

    async fn come_back(&self, who: Who<'_>, back: &Back, browser: &str) -> (StatusCode, Value) {
        let finish = json!({"code": back.code, "state": back.state, "browser": browser});
        self.send_as(who, "POST", "/v1/oidc/finish", Some(finish)).await
    }

    /// All of a sign-in by one browser.
    async fn sign_on(&self, provider: &FakeProvider, claims: Value) -> (StatusCode, Value) {
        let away = self.leave(Who::Nobody, "/v1/oidc").await;
        let back = provider.visit(&away.url, claims);
        self.come_back(Who::Nobody, &back, &away.browser).await
    }

    /// As `sign_on`, which succeeds.
    async fn signed_on(&self, provider: &FakeProvider, claims: Value) -> Someone {
        let email = claims["email"].as_str().unwrap_or_default().to_owned();
        let (status, answer) = self.sign_on(provider, claims).await;
        assert_eq!((status, answer["outcome"].as_str()), (StatusCode::OK, Some("opened")), "{answer}");
        assert_eq!(answer["redirect_to"], "/next");
        self.opened(&email, answer["session"].clone()).await
    }

    /// All of a link by somebody who is signed in.
    async fn link(&self, who: &Someone, provider: &FakeProvider, claims: Value) -> (StatusCode, Value) {
        let holder = Who::Holder(&who.session);
        let away = self.leave(holder, "/v1/me/identities").await;
        let back = provider.visit(&away.url, claims);
        self.come_back(holder, &back, &away.browser).await
    }

    async fn identities(&self, who: &Someone) -> Vec<Value> {
        let (status, listed) = self.by(who, "GET", "/v1/me/identities", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{listed}");
        listed.as_array().unwrap().clone()
    }

    async fn log(&self) -> Vec<Value> {
        self.get("/v1/operator/audit").await.1.as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn somebody_new_gets_an_account_and_comes_again() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    assert_eq!(fixture.send_as(Who::Nobody, "GET", "/v1/signup", None).await.1["oidc"], "Example");
    let (_, answer) = fixture.sign_on(&provider, verified("j1", "Jane@example.com")).await;
    assert_eq!(
        (answer["outcome"].as_str(), answer["new"].as_bool()),
        (Some("opened"), Some(true)),
        "{answer}"
    );
    let jane = fixture.opened("Jane@example.com", answer["session"].clone()).await;
    let (_, me) = fixture.by(&jane, "GET", "/v1/me", Value::Null).await;
    assert_eq!((me["email"].as_str(), me["name"].as_str()), (Some("Jane@example.com"), Some("jane")));
    assert_eq!((me["role"].as_str(), me["credential"].as_str()), (Some("owner"), Some("session")), "{me}");
    assert_eq!(fixture.mails().await, "", "whoever just signed up knows it");
    // The address may change there, and the same person comes.
    let again = fixture.signed_on(&provider, verified("j1", "other@example.com")).await;
    assert_eq!(again.id, jane.id);
    assert!(fixture.mail_to("Jane@example.com").await.contains("signed in to your account"));
    let [identity] = fixture.identities(&jane).await.try_into().unwrap();
    assert_eq!(identity["email"], "other@example.com");
    assert!(identity["used_ms"].as_i64().unwrap() > 0 && identity["issuer"] == provider.issuer.as_str());
    assert_eq!(provider.key_reads.load(Ordering::Relaxed), 1, "keys are kept");
    let actions: Vec<_> =
        fixture.log().await.iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect();
    for action in ["person.signup", "person.link", "session.open"] {
        assert!(actions.iter().any(|known| known == action), "{action}: {actions:?}");
    }
}

#[tokio::test]
async fn whoever_has_no_password_sets_one_by_a_code() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let jane = fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
    for password in ["", PASSWORD] {
        assert_eq!(error(&fixture.login("jane", password).await).0, 401, "{password}");
    }
    let (code, detail) = error(&fixture.by(&jane, "DELETE", "/v1/me", json!({"password": ""})).await);
    assert!(code == 400 && detail.contains("has no password yet"), "{detail}");
    let identity = fixture.identities(&jane).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/me/identities/{identity}");
    let (code, detail) = error(&fixture.by(&jane, "DELETE", &path, Value::Null).await);
    assert!(code == 409 && detail.contains("set a password first"), "{detail}");
    fixture.post("/v1/reset/code", json!({"email": jane.email})).await;
    let reset =
        json!({"email": jane.email, "code": fixture.code_to(&jane.email).await, "password": PASSWORD});
    assert_eq!(fixture.post("/v1/reset", reset).await.0, StatusCode::NO_CONTENT);
    let (status, answer) = fixture.login("jane", PASSWORD).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let jane = fixture.opened(&jane.email, answer).await;
    assert_eq!(fixture.by(&jane, "DELETE", &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(error(&fixture.by(&jane, "DELETE", &path, Value::Null).await).0, 404);
}

#[tokio::test]
async fn an_account_is_found_by_an_address_that_both_have_proved() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let jane = fixture.someone("jane").await;
    let same = fixture.signed_on(&provider, verified("j1", "JANE@example.com")).await;
    assert_eq!(same.id, jane.id);
    assert_eq!(fixture.identities(&jane).await.len(), 1);
    let mails = fixture.mails().await;
    assert!(
        mails.contains("an account at Example signs you in") && mails.contains("A new sign-in"),
        "{mails}"
    );
    let log = fixture.log().await;
    let line = log.iter().find(|line| line["action"] == "person.link").expect("the link is in the log");
    assert_eq!((line["actor"].as_str(), line["detail"].as_str()), (Some("jane"), Some(&*provider.issuer)));
    assert_eq!(fixture.login("jane", PASSWORD).await.0, StatusCode::CREATED, "the password stays good");
    // Another account there with the same address is linked too; it is the address that counts.
    assert_eq!(fixture.signed_on(&provider, verified("j2", "jane@example.com")).await.id, jane.id);
}

#[tokio::test]
async fn who_may_come_is_the_operators_choice() {
    let provider = FakeProvider::start().await;
    let claims = || verified("j1", "jane@example.com");
    let fixture = with_provider(&provider, |config| config.people.signup = SignupMode::Closed).await;
    let (code, detail) = error(&fixture.sign_on(&provider, claims()).await);
    assert!(code == 403 && detail.starts_with("sign-up is closed"), "{detail}");

    let fixture = with_provider(&provider, |config| config.people.signup = SignupMode::Invitation).await;
    let (code, detail) = error(&fixture.sign_on(&provider, claims()).await);
    assert!(code == 403 && detail.starts_with("there is no invitation"), "{detail}");
    let invite = |email: &str| Some(json!({"email": email}));
    assert_eq!(fixture.send("POST", "/v1/operator/invitations", invite("joe@example.com")).await.0, 201);
    assert_eq!(error(&fixture.sign_on(&provider, claims()).await).0, 403, "it is somebody else's");
    assert_eq!(fixture.send("POST", "/v1/operator/invitations", invite("Jane@example.com")).await.0, 201);
    let jane = fixture.signed_on(&provider, claims()).await;
    // An invitation to a namespace leads there.
    let joe = fixture.signed_on(&provider, verified("j2", "joe@example.com")).await;
    assert_ne!(joe.namespace, jane.namespace);
    let invite = json!({"email": "ann@example.com", "role": "developer"});
    assert_eq!(fixture.by(&jane, "POST", "/v1/invitations", invite).await.0, StatusCode::CREATED);
    let ann = fixture.signed_on(&provider, verified("a1", "ann@example.com")).await;
    assert_eq!(ann.namespace, jane.namespace);
    let (_, me) = fixture.by(&ann, "GET", "/v1/me", Value::Null).await;
    assert_eq!(me["role"], "developer");

    for mode in [SignupMode::Open, SignupMode::Code] {
        let fixture = with_provider(&provider, |config| config.people.signup = mode).await;
        fixture.signed_on(&provider, claims()).await;
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_before_anything_is_linked() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let jane = fixture.someone("jane").await;
    let (_, begun) = fixture.by(&jane, "POST", "/v1/me/totp", Value::Null).await;
    let secret = Secret::new(begun["secret"].as_str().unwrap());
    let on = json!({"totp": code_at(&secret, -30)});
    assert_eq!(fixture.by(&jane, "PUT", "/v1/me/totp", on).await.0, StatusCode::NO_CONTENT);
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("j1", "jane@example.com"));
    let (status, answer) = fixture.come_back(Who::Nobody, &back, &away.browser).await;
    assert_eq!((status, answer["outcome"].as_str()), (StatusCode::OK, Some("factor")), "{answer}");
    assert!(answer.get("session").is_none());
    assert!(fixture.identities(&jane).await.is_empty(), "linked without the second factor");
    let ticket = answer["ticket"].as_str().unwrap();
    let factor = async |ticket: &str, browser: &str, totp: &str| {
        fixture.post("/v1/oidc/factor", json!({"ticket": ticket, "browser": browser, "totp": totp})).await
    };
    let now = code_at(&secret, 0);
    for (ticket, browser) in [(ticket, "another"), ("another", &away.browser), (&back.state, &away.browser)] {
        let (code, detail) = error(&factor(ticket, browser, &now).await);
        assert!(code == 400 && detail.contains("another browser"), "{detail}");
    }
    // A ticket is no state.
    let as_state = Back { code: back.code.clone(), state: ticket.to_owned() };
    assert_eq!(error(&fixture.come_back(Who::Nobody, &as_state, &away.browser).await).0, 400);
    for wrong in ["", "000", &code_at(&secret, -30)] {
        assert_eq!(error(&factor(ticket, &away.browser, wrong).await).0, 401, "{wrong}");
    }
    let (status, answer) = factor(ticket, &away.browser, &now).await;
    assert_eq!((status, answer["outcome"].as_str()), (StatusCode::OK, Some("opened")), "{answer}");
    assert_eq!(answer["redirect_to"], "/next");
    assert_eq!(fixture.opened("", answer["session"].clone()).await.id, jane.id);
    assert_eq!(fixture.identities(&jane).await.len(), 1);
    assert_eq!(error(&factor(ticket, &away.browser, &code_at(&secret, 30)).await).0, 400, "once");
    // Guesses are counted by person, whatever tickets they come with.
    for n in 0..11 {
        let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
        let back = provider.visit(&away.url, verified("j1", "jane@example.com"));
        let (_, answer) = fixture.come_back(Who::Nobody, &back, &away.browser).await;
        let guess = factor(answer["ticket"].as_str().unwrap(), &away.browser, "000").await;
        assert_eq!(error(&guess).0, if n < 10 { 401 } else { 429 }, "{n}: {guess:?}");
    }
}

#[tokio::test]
async fn an_identity_is_linked_by_whoever_is_signed_in() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    // No address is needed, nor a verified one: the session says who it is.
    let (status, answer) = fixture.link(&jane, &provider, json!({"sub": "j1"})).await;
    assert_eq!((status, &answer), (StatusCode::OK, &json!({"outcome": "linked", "redirect_to": "/next"})));
    assert!(fixture.mail_to(&jane.email).await.contains("an account at Example signs you in"));
    let came = fixture.signed_on(&provider, json!({"sub": "j1"})).await;
    assert_eq!(came.id, jane.id);
    // It is one person's.
    let (code, detail) = error(&fixture.link(&joe, &provider, json!({"sub": "j1"})).await);
    assert!(code == 409 && detail.contains("signs in another account"), "{detail}");
    assert_eq!(
        fixture.link(&jane, &provider, json!({"sub": "j1"})).await.0,
        StatusCode::OK,
        "again: nothing new"
    );
    assert_eq!(fixture.identities(&jane).await.len(), 1);
    assert!(fixture.identities(&joe).await.is_empty());
    // Whose it is not does not unlink it.
    let path = format!("/v1/me/identities/{}", fixture.identities(&jane).await[0]["id"].as_str().unwrap());
    assert_eq!(error(&fixture.by(&joe, "DELETE", &path, Value::Null).await).0, 404);
    assert_eq!(fixture.by(&jane, "DELETE", &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(error(&fixture.sign_on(&provider, json!({"sub": "j1"})).await).0, 403, "unlinked");
    // There is a bound.
    for n in 0..10 {
        let (status, answer) = fixture.link(&jane, &provider, json!({"sub": format!("s{n}")})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let (code, detail) = error(&fixture.link(&jane, &provider, json!({"sub": "s10"})).await);
    assert!(code == 403 && detail.contains("there may be 10"), "{detail}");
}

#[tokio::test]
async fn the_address_may_come_from_the_user_information() {
    let provider = FakeProvider::start().await;
    *provider.info.lock() = verified("j1", "jane@example.com");
    let fixture = with_provider(&provider, |_| ()).await;
    let jane = fixture.someone("jane").await;
    assert_eq!(fixture.signed_on(&provider, json!({"sub": "j1"})).await.id, jane.id);
    let (code, detail) = error(&fixture.sign_on(&provider, json!({"sub": "j2"})).await);
    assert!(code == 403 && detail.contains("cannot be trusted"), "of somebody else: {detail}");
}

#[tokio::test]
async fn a_new_key_is_read_but_not_at_every_unknown_name() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
    provider.rotate();
    for _ in 0..3 {
        assert_eq!(error(&fixture.sign_on(&provider, verified("j1", "")).await).0, 403);
    }
    assert_eq!(provider.key_reads.load(Ordering::Relaxed), 1, "not within a minute");

    let provider = FakeProvider::start().await;
    let mut config = provider.config();
    config.keys_pause = Duration::ZERO;
    let fixture = with(|at| at.people.oidc = Some(config.open().unwrap())).await;
    fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
    provider.rotate();
    fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
    assert_eq!(provider.key_reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_provider_that_fails_is_told_as_that() {
    for mood in [Mood::Redirects, Mood::Endless, Mood::OtherName, Mood::Unsafe, Mood::Broken] {
        let provider = FakeProvider::start().await;
        *provider.mood.lock() = mood;
        let fixture = with_provider(&provider, |_| ()).await;
        for _ in 0..2 {
            let (code, detail) = error(&fixture.post("/v1/oidc", json!({})).await);
            assert!(
                code == 503 && detail.starts_with("Example does not answer as it should"),
                "{mood:?} {detail}"
            );
        }
    }
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let finish = json!({"code": "c", "state": "s", "browser": "b"});
    let factor = json!({"ticket": "t", "browser": "b", "totp": "1"});
    for (path, body) in [("/v1/oidc", json!({})), ("/v1/oidc/finish", finish), ("/v1/oidc/factor", factor)] {
        let (code, detail) = error(&fixture.post(path, body).await);
        assert_eq!((code, detail.as_str()), (404, "this platform has no single sign-on"), "{path}");
    }
    assert_eq!(error(&fixture.by(&jane, "POST", "/v1/me/identities", json!({})).await).0, 404);
    assert_eq!(fixture.by(&jane, "GET", "/v1/me/identities", Value::Null).await, (StatusCode::OK, json!([])));
}
