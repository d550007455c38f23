//! What must not sign anybody in.

use super::*;

/// Nobody was signed in, and nothing was linked or made.
async fn assert_nothing_happened(fixture: &Fixture) {
    for line in fixture.log().await {
        let action = line["action"].as_str().unwrap();
        assert!(!["session.open", "person.link", "person.signup"].contains(&action), "{line}");
    }
}

#[tokio::test]
async fn a_state_is_good_once_for_ten_minutes_and_in_one_browser() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let (victim, attacker) =
        (fixture.leave(Who::Nobody, "/v1/oidc").await, fixture.leave(Who::Nobody, "/v1/oidc").await);
    let mallory = provider.visit(&attacker.url, verified("m1", "mallory@example.com"));
    let refused = async |back: &Back, browser: &str| {
        let (code, detail) = error(&fixture.come_back(Who::Nobody, back, browser).await);
        assert!(code == 400 && detail.starts_with("this sign-in was finished before"), "{code} {detail}");
    };
    // Login CSRF: the victim's browser is led to the end of the attacker's sign-in.
    refused(&mallory, &victim.browser).await;
    for browser in ["", "guessed", &attacker.browser[1..]] {
        refused(&mallory, browser).await;
    }
    for state in ["", "guessed", &attacker.url] {
        refused(&Back { state: state.to_owned(), ..mallory.clone() }, &attacker.browser).await;
    }
    assert_nothing_happened(&fixture).await;
    // It was not used up by those who had no right to it.
    let (status, answer) = fixture.come_back(Who::Nobody, &mallory, &attacker.browser).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    refused(&mallory, &attacker.browser).await;
    // A state is used up by a code that is not good, so that codes cannot be tried.
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("m1", "mallory@example.com"));
    let guess = Back { code: "guessed".to_owned(), ..back.clone() };
    let (code, detail) = error(&fixture.come_back(Who::Nobody, &guess, &away.browser).await);
    assert!(code == 400 && detail.contains("did not confirm"), "{detail}");
    refused(&back, &away.browser).await;
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("m1", "mallory@example.com"));
    fixture.db.age_flows(10 * 60 * 1_000).await.unwrap();
    refused(&back, &away.browser).await;
}

#[tokio::test]
async fn a_code_is_good_once_and_for_the_sign_in_that_it_came_with() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("j1", "jane@example.com"));
    // Stolen, and brought to the end of another sign-in: the verifier is not the code's.
    let other = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let own = provider.visit(&other.url, verified("m1", "mallory@example.com"));
    let stolen = Back { code: back.code, state: own.state };
    let (code, detail) = error(&fixture.come_back(Who::Nobody, &stolen, &other.browser).await);
    assert!(code == 400 && detail.contains("did not confirm"), "{detail}");
    assert_nothing_happened(&fixture).await;

    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("j1", "jane@example.com"));
    assert_eq!(fixture.come_back(Who::Nobody, &back, &away.browser).await.0, StatusCode::OK);
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let state = provider.visit(&away.url, verified("m1", "mallory@example.com")).state;
    let replayed = Back { code: back.code, state };
    assert_eq!(error(&fixture.come_back(Who::Nobody, &replayed, &away.browser).await).0, 400);
}

#[tokio::test]
async fn what_a_provider_did_not_say_of_this_sign_in_is_not_believed() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let past = micro_db::now_ms() / 1_000 - 1;
    for forgery in [
        Forgery::Claims(json!({"nonce": "another"})),
        Forgery::Claims(json!({"nonce": null})),
        Forgery::Claims(json!({"aud": "another-client"})),
        Forgery::Claims(json!({"aud": ["micro-test", "another-client"]})),
        Forgery::Claims(json!({"iss": "https://accounts.google.com"})),
        Forgery::Claims(json!({"exp": past})),
        Forgery::Claims(json!({"iat": past + 3_600})),
        Forgery::Claims(json!({"sub": ""})),
        Forgery::Unsigned,
        Forgery::Hmac,
        Forgery::OtherKey,
    ] {
        *provider.forgery.lock() = forgery.clone();
        let (code, detail) = error(&fixture.sign_on(&provider, verified("j1", "jane@example.com")).await);
        assert!(code == 403 && detail.contains("cannot be trusted"), "{forgery:?} {code} {detail}");
    }
    assert_nothing_happened(&fixture).await;
    *provider.forgery.lock() = Forgery::No;
    // It came back from another provider.
    let away = fixture.leave(Who::Nobody, "/v1/oidc").await;
    let back = provider.visit(&away.url, verified("j1", "jane@example.com"));
    let finish = json!({
        "code": back.code, "state": back.state, "browser": away.browser, "iss": "https://accounts.google.com",
    });
    assert_eq!(error(&fixture.post("/v1/oidc/finish", finish).await).0, 403);
    assert_nothing_happened(&fixture).await;
    fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
}

#[tokio::test]
async fn an_address_that_one_side_did_not_verify_is_nobodys() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |config| config.people.signup = SignupMode::Open).await;
    let jane = fixture.someone_openly("jane").await;
    let before = fixture.log().await.len();
    // The provider does not vouch for it.
    for claims in [
        json!({"sub": "m1", "email": "jane@example.com", "email_verified": false}),
        json!({"sub": "m1", "email": "jane@example.com"}),
        json!({"sub": "m1", "email": "jane@example.com", "email_verified": "no"}),
        json!({"sub": "m1", "email_verified": true}),
        json!({"sub": "m1", "email": "nobody@example.com", "email_verified": false}),
    ] {
        let (code, detail) = error(&fixture.sign_on(&provider, claims.clone()).await);
        assert!(code == 403 && detail.contains("link Example in your settings"), "{claims} {detail}");
    }
    // The account's owner never proved it: they may have taken another's address, and wait.
    let (code, detail) = error(&fixture.sign_on(&provider, verified("j1", "jane@example.com")).await);
    assert!(code == 403 && detail.contains("never proved the address"), "{detail}");
    assert!(fixture.identities(&jane).await.is_empty());
    assert_eq!(fixture.log().await.len(), before);
    // A mailed code proves it, and ends what the other one had.
    fixture.post("/v1/reset/code", json!({"email": jane.email})).await;
    let reset = json!({"email": jane.email, "code": fixture.code_to(&jane.email).await, "password": "battery staple"});
    assert_eq!(fixture.post("/v1/reset", reset).await.0, StatusCode::NO_CONTENT);
    assert_eq!(fixture.signed_on(&provider, verified("j1", "jane@example.com")).await.id, jane.id);
    // The operator is nobody's address.
    let (code, _) = error(&fixture.sign_on(&provider, verified("o1", "operator@localhost")).await);
    assert_eq!(code, 403);
    for address in ["x", "a@b\r\nBcc: c@d", "Jane <jane@example.com>"] {
        assert_eq!(error(&fixture.sign_on(&provider, verified("x", address)).await).0, 400, "{address}");
    }
}

#[tokio::test]
async fn an_invitation_that_was_handed_over_proves_no_address() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |config| config.people.mail = crate::Outbox::none()).await;
    // Without mails the inviter sees the code, and takes the address for themselves.
    let invite = json!({"email": "jane@example.com"});
    let (_, invitation) = fixture.send("POST", "/v1/operator/invitations", Some(invite)).await;
    let signup = json!({"email": "jane@example.com", "invitation": invitation["code"], "password": PASSWORD});
    assert_eq!(fixture.post("/v1/signup", signup).await.0, StatusCode::CREATED);
    let (code, detail) = error(&fixture.sign_on(&provider, verified("j1", "jane@example.com")).await);
    assert!(code == 403 && detail.contains("never proved the address"), "{detail}");
}

#[tokio::test]
async fn a_link_is_finished_by_whoever_began_it() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let (jane, mallory) = (fixture.someone("jane").await, fixture.someone("mallory").await);
    let (_, key) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    let key = key["token"].as_str().unwrap();
    for (who, expected) in
        [(Who::Nobody, 401), (Who::Holder(&mallory.session), 403), (Who::Holder(key), 403), (Who::Local, 403)]
    {
        let away = fixture.leave(Who::Holder(&jane.session), "/v1/me/identities").await;
        let back = provider.visit(&away.url, verified("m1", "mallory@example.com"));
        let (code, detail) = error(&fixture.come_back(who, &back, &away.browser).await);
        assert_eq!(code, expected, "{detail}");
        // It is over: nor does its beginner finish it now.
        let again = fixture.come_back(Who::Holder(&jane.session), &back, &away.browser).await;
        assert_eq!(error(&again).0, 400);
    }
    // With the right session, and another's browser.
    let away = fixture.leave(Who::Holder(&mallory.session), "/v1/me/identities").await;
    let back = provider.visit(&away.url, verified("m1", "mallory@example.com"));
    assert_eq!(error(&fixture.come_back(Who::Holder(&jane.session), &back, "").await).0, 400);
    for somebody in [&jane, &mallory] {
        assert!(fixture.identities(somebody).await.is_empty());
    }
}

#[tokio::test]
async fn who_is_blocked_or_gone_stays_outside() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    let jane = fixture.someone("jane").await;
    assert_eq!(fixture.link(&jane, &provider, json!({"sub": "j1"})).await.0, StatusCode::OK);
    let path = format!("/v1/operator/people/{}", jane.id);
    fixture.send("PUT", &path, Some(json!({"blocked": true}))).await;
    // By the identity, and by the address.
    for claims in [json!({"sub": "j1"}), verified("j2", "jane@example.com")] {
        let (code, detail) = error(&fixture.sign_on(&provider, claims).await);
        assert!(code == 403 && detail.contains("is blocked"), "{detail}");
    }
    fixture.send("PUT", &path, Some(json!({"blocked": false}))).await;
    let gone = fixture.by(&jane, "DELETE", "/v1/me", json!({"password": PASSWORD})).await;
    assert_eq!(gone.0, StatusCode::NO_CONTENT, "{gone:?}");
    for claims in [json!({"sub": "j1"}), verified("j2", "jane@example.com")] {
        let (code, detail) = error(&fixture.sign_on(&provider, claims).await);
        assert!(code == 403 && detail.contains("being deleted"), "{detail}");
    }
    // Erased: the identity is free again, and its owner somebody new.
    assert_eq!(fixture.db.erase_people(micro_db::now_ms() + 1).await.unwrap(), 1);
    let new = fixture.signed_on(&provider, verified("j1", "jane@example.com")).await;
    assert_ne!(new.id, jane.id);
}

#[tokio::test]
async fn sign_ins_that_begin_are_counted() {
    let provider = FakeProvider::start().await;
    let fixture = with_provider(&provider, |_| ()).await;
    for _ in 0..50 {
        fixture.leave(Who::Nobody, "/v1/oidc").await;
    }
    let (code, detail) = error(&fixture.post("/v1/oidc", json!({})).await);
    assert!(code == 429 && detail.starts_with("too many sign-ins that begin here: 50"), "{detail}");
    let long = json!({"redirect_to": "x".repeat(2_049)});
    let jane = fixture.someone("jane").await;
    assert_eq!(error(&fixture.by(&jane, "POST", "/v1/me/identities", long).await).0, 400);
}
