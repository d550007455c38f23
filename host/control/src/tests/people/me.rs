use micro_auth::{Secret, totp};
use micro_db::deletion::GRACE_MS;
use micro_db::now_ms;

use super::*;
use crate::task::sweep;

#[tokio::test]
async fn the_old_password_proves_a_change_and_other_sessions_end() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (_, other) = fixture.login("jane", PASSWORD).await;
    let other = other["session"].as_str().unwrap();
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    let wrong = fixture.by(&jane, "POST", "/v1/me/password", change("wrong", "battery staple")).await;
    assert_eq!(error(&wrong), (400, "the password is wrong".to_owned()));
    let short = fixture.by(&jane, "POST", "/v1/me/password", change(PASSWORD, "short")).await;
    assert_eq!(error(&short).0, 400);
    assert_eq!(fixture.as_holder(other, "GET", "/v1/me", None).await.0, StatusCode::OK);
    let changed = fixture.by(&jane, "POST", "/v1/me/password", change(PASSWORD, "battery staple")).await;
    assert_eq!(changed.0, StatusCode::NO_CONTENT, "{changed:?}");
    assert_eq!(fixture.by(&jane, "GET", "/v1/me", Value::Null).await.0, StatusCode::OK);
    assert_eq!(error(&fixture.as_holder(other, "GET", "/v1/me", None).await).0, 401);
    assert_eq!(error(&fixture.login("jane", PASSWORD).await).0, 401);
    assert!(fixture.mail_to(&jane.email).await.contains("was changed in your settings"));
    for _ in 0..10 {
        fixture.by(&jane, "POST", "/v1/me/password", change("guess", "battery staple")).await;
    }
    let over = fixture.by(&jane, "POST", "/v1/me/password", change("battery staple", PASSWORD)).await;
    assert_eq!(error(&over).0, 429, "a stolen session cannot guess on: {over:?}");
}

#[tokio::test]
async fn a_name_is_changed() {
    let fixture = platform().await;
    let (jane, _) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let (status, me) = fixture.by(&jane, "PATCH", "/v1/me", json!({"name": "Janet"})).await;
    assert_eq!((status, me["name"].as_str()), (StatusCode::OK, Some("Janet")));
    assert_eq!(error(&fixture.by(&jane, "PATCH", "/v1/me", json!({"name": "JOE"})).await).0, 409);
    assert_eq!(error(&fixture.by(&jane, "PATCH", "/v1/me", json!({"name": "a@b"})).await).0, 400);
    assert_eq!(fixture.login("janet", PASSWORD).await.0, StatusCode::CREATED);
    let refused = fixture.send("PATCH", "/v1/me", Some(json!({"name": "root"}))).await;
    assert_eq!(error(&refused).0, 403, "the operator's name is fixed");
}

#[tokio::test]
async fn an_address_is_changed_by_the_codes_of_both() {
    let fixture = platform().await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let begin = json!({"email": "New@example.com"});
    assert_eq!(fixture.by(&jane, "POST", "/v1/me/email", begin.clone()).await.0, StatusCode::ACCEPTED);
    let (old, new) = (fixture.code_to(&jane.email).await, fixture.code_to("New@example.com").await);
    let confirm =
        |email: &str, old: &str, new: &str| json!({"email": email, "old_code": old, "new_code": new});
    for (email, old, new) in [
        ("new@example.com", old.as_str(), "00000000"),
        ("new@example.com", "00000000", new.as_str()),
        ("other@example.com", old.as_str(), new.as_str()),
    ] {
        let answer = fixture.by(&jane, "PUT", "/v1/me/email", confirm(email, old, new)).await;
        assert_eq!(error(&answer).0, 400, "{answer:?}");
    }
    let foreign = fixture.by(&joe, "PUT", "/v1/me/email", confirm("new@example.com", &old, &new)).await;
    assert_eq!(error(&foreign).0, 400, "the codes are jane's");
    let answer = fixture.by(&jane, "PUT", "/v1/me/email", confirm("New@example.com", &old, &new)).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    assert!(fixture.mail_to("jane@example.com").await.contains("has moved from this address"));
    let (_, me) = fixture.by(&jane, "GET", "/v1/me", Value::Null).await;
    assert_eq!(me["email"], "New@example.com");
    assert_eq!(error(&fixture.login("jane@example.com", PASSWORD).await).0, 401);
    // An address that somebody has is answered alike.
    let taken = fixture.by(&joe, "POST", "/v1/me/email", json!({"email": "new@example.com"})).await;
    let free = fixture.by(&joe, "POST", "/v1/me/email", json!({"email": "free@example.com"})).await;
    assert_eq!(taken, free);
    assert!(fixture.mail_to("new@example.com").await.contains("It has an account already"));
    let own = fixture.by(&joe, "POST", "/v1/me/email", json!({"email": "JOE@example.com"})).await;
    assert_eq!(error(&own).0, 400);
}

#[tokio::test]
async fn a_second_factor_is_needed_from_then_on() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (status, begun) = fixture.by(&jane, "POST", "/v1/me/totp", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    assert!(begun["uri"].as_str().unwrap().starts_with("otpauth://totp/"), "{begun}");
    let secret = Secret::new(begun["secret"].as_str().unwrap());
    let stored = fixture.db.person(&jane.id).await.unwrap().unwrap().sealed_totp.unwrap();
    assert!(!stored.contains(secret.expose()), "it is sealed");
    assert_eq!(fixture.login("jane", PASSWORD).await.0, StatusCode::CREATED, "not yet");
    let wrong = fixture.by(&jane, "PUT", "/v1/me/totp", json!({"totp": "000"})).await;
    assert_eq!(error(&wrong).0, 400);
    let now = code_at(&secret, 0);
    let on = fixture.by(&jane, "PUT", "/v1/me/totp", json!({"totp": now})).await;
    assert_eq!(on.0, StatusCode::NO_CONTENT, "{on:?}");
    let (_, me) = fixture.by(&jane, "GET", "/v1/me", Value::Null).await;
    assert_eq!(me["totp"], true);
    assert_eq!(error(&fixture.by(&jane, "POST", "/v1/me/totp", Value::Null).await).0, 409);
    assert!(error(&fixture.login("jane", PASSWORD).await).1.contains("second factor"));
    let login = |totp: &str| json!({"id": "jane", "secret": PASSWORD, "totp": totp});
    assert_eq!(error(&fixture.post("/v1/sessions", login(&now)).await).0, 401, "no step is taken twice");
    let next = code_at(&secret, 30);
    assert_eq!(fixture.post("/v1/sessions", login(&next)).await.0, StatusCode::CREATED);
    let replayed = fixture.by(&jane, "DELETE", "/v1/me/totp", json!({"totp": next})).await;
    assert_eq!(error(&replayed).0, 400, "nor to remove it");
    // The step lies behind us: as if time had passed.
    rewind_step(&fixture, &jane.id).await;
    let off = fixture.by(&jane, "DELETE", "/v1/me/totp", json!({"totp": code_at(&secret, 0)})).await;
    assert_eq!(off.0, StatusCode::NO_CONTENT, "{off:?}");
    assert_eq!(fixture.login("jane", PASSWORD).await.0, StatusCode::CREATED);
    let none = fixture.by(&jane, "DELETE", "/v1/me/totp", json!({"totp": next})).await;
    assert_eq!(error(&none).0, 400);
}

/// The code of the step that `seconds` from now is in, found as an attacker would not have the time to.
pub(super) fn code_at(secret: &Secret, seconds: i64) -> String {
    let at = now_ms() / 1_000 + seconds;
    let step = u64::try_from(at / 30).unwrap();
    (0..1_000_000)
        .map(|code| format!("{code:06}"))
        .find(|code| totp::check(secret, code, at).unwrap() == Some(step))
        .unwrap()
}

async fn rewind_step(fixture: &Fixture, person: &str) {
    let actor = micro_db::Actor::default();
    let sealed = fixture.db.person(person).await.unwrap().unwrap().sealed_totp.unwrap();
    fixture.db.remove_totp(person, &actor).await.unwrap();
    fixture.db.begin_totp(person, &sealed).await.unwrap();
    fixture.db.confirm_totp(person, 1, &actor).await.unwrap();
}

#[tokio::test]
async fn a_deleted_account_is_gone_at_once_and_can_be_restored_for_a_while() {
    let fixture = platform().await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let (_, key) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    let (status, deployment) = fixture.by(&jane, "POST", "/v1/services", json!(request("helloworld"))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{deployment}");
    let wrong = fixture.by(&jane, "DELETE", "/v1/me", json!({"password": "wrong"})).await;
    assert_eq!(error(&wrong).0, 400);
    fixture.join(&jane, &joe, "viewer").await;
    let sole = fixture.by(&jane, "DELETE", "/v1/me", json!({"password": PASSWORD})).await;
    assert_eq!(error(&sole).0, 409);
    assert!(error(&sole).1.contains(&jane.namespace), "{sole:?}");
    let left = fixture
        .send_as(Who::In(&joe.session, &jane.namespace), "DELETE", &format!("/v1/members/{}", joe.id), None)
        .await;
    assert_eq!(left.0, StatusCode::NO_CONTENT, "{left:?}");
    let deleted = fixture.by(&jane, "DELETE", "/v1/me", json!({"password": PASSWORD})).await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{deleted:?}");
    assert!(fixture.mail_to(&jane.email).await.contains("For 14 days"));
    for credential in [jane.session.as_str(), key["token"].as_str().unwrap()] {
        assert_eq!(error(&fixture.as_holder(credential, "GET", "/v1/me", None).await).0, 401);
    }
    let login = fixture.login("jane", PASSWORD).await;
    assert_eq!(error(&login).0, 403);
    assert!(error(&login).1.contains("operator"), "{login:?}");
    assert_eq!(error(&fixture.login("jane", "wrong").await).0, 401, "only who knows the password is told");
    let namespace = jane.namespace.parse().unwrap();
    let id = deployment["id"].as_str().unwrap();
    let stopped = fixture.db.deployment(&namespace, id).await.unwrap().unwrap();
    assert_eq!(stopped.deployment.state, DeploymentState::Stopped, "what ran is stopped");

    let path = format!("/v1/operator/people/{}", jane.id);
    let restore = json!({"blocked": false, "reason": "asked for it"});
    let (status, person) = fixture.send("PUT", &path, Some(restore)).await;
    assert_eq!((status, person["blocked"].as_bool()), (StatusCode::OK, Some(false)), "{person}");
    let (status, opened) = fixture.login("jane", PASSWORD).await;
    assert_eq!((status, opened["namespace"].as_str()), (StatusCode::CREATED, Some(jane.namespace.as_str())));
    let jane = fixture.opened(&jane.email, opened).await;
    fixture.by(&jane, "DELETE", "/v1/me", json!({"password": PASSWORD})).await;
    sweep::people(&fixture.control).await.unwrap();
    assert!(fixture.db.person(&jane.id).await.unwrap().is_some(), "not before its time");
    assert_eq!(fixture.db.erase_people(now_ms() - GRACE_MS + GRACE_MS + 1).await.unwrap(), 1);
    assert_eq!(error(&fixture.login("jane", PASSWORD).await).0, 401);
    let (_, log) = fixture.send("GET", "/v1/operator/audit?limit=200", None).await;
    assert!(!log.to_string().contains("jane"), "{log}");
    assert!(log.to_string().contains("person-"), "{log}");
    let me = fixture.send("DELETE", "/v1/me", Some(json!({"password": "x"}))).await;
    assert_eq!(error(&me).0, 400, "the operator has no password yet");
}
