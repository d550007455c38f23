//! Sessions, tokens, keys and rules: what they open, and that they end.

use micro_api::Namespace;
use micro_db::Actor;

use super::people::PASSWORD;
use super::*;

async fn tokens(fixture: &Fixture, body: Value) -> (StatusCode, Value) {
    fixture.send_as(Who::Nobody, "POST", "/v1/auth/token", Some(body)).await
}

#[tokio::test]
async fn a_refresh_token_has_one_successor_and_its_reuse_ends_the_family() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let (status, first) = tokens(&fixture, json!({"id": ann.email, "secret": PASSWORD})).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["namespace"], ann.namespace.as_str());
    assert_eq!(first["expiry"].as_i64().unwrap() - first["created"].as_i64().unwrap(), 15 * 60);
    let refresh = first["refresh_token"].as_str().unwrap();
    let (_, second) = tokens(&fixture, json!({"refresh_token": refresh})).await;
    // Whoever lost the answer gets the same again.
    let (status, again) = tokens(&fixture, json!({"refresh_token": refresh})).await;
    assert_eq!((status, &again["refresh_token"]), (StatusCode::OK, &second["refresh_token"]));
    // Long after, it is a theft: one of the two holders is not who they say.
    fixture.db.age_rotations(31_000).await.unwrap();
    let (status, answer) = tokens(&fixture, json!({"refresh_token": refresh})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let (status, _) = tokens(&fixture, json!({"refresh_token": second["refresh_token"]})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the family has ended");
    let access = second["access_token"].as_str().unwrap();
    let (status, _) = fixture.send_as(Who::Holder(access), "GET", "/v1/services", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "and its access tokens with it");
}

#[tokio::test]
async fn a_damaged_refresh_token_says_that_an_account_is_required() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let (_, first) = tokens(&fixture, json!({"id": ann.email, "secret": PASSWORD})).await;
    let mut refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let last = if refresh.pop() == Some('a') { 'b' } else { 'a' };
    refresh.push(last);
    let (status, answer) = tokens(&fixture, json!({"refresh_token": refresh})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(answer["detail"].as_str().unwrap().contains("account is required"), "{answer}");
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_id_are_one_answer_after_equal_work() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let mut answers = Vec::new();
    for id in [ann.email.as_str(), "nobody@example.com"] {
        let before = fixture.control.passwords.verifications();
        let answer = tokens(&fixture, json!({"id": id, "secret": "wrong password"})).await;
        assert_eq!(fixture.control.passwords.verifications() - before, 1, "{id}");
        answers.push(answer);
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn guessing_is_bounded_and_says_when_it_may_go_on() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let wrong = json!({"id": ann.email, "secret": "wrong password"});
    for _ in 0..10 {
        assert_eq!(tokens(&fixture, wrong.clone()).await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, answer) = tokens(&fixture, wrong).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("10") && detail.contains("try again in"), "{detail}");
    // The right one does not count either, until then.
    let right = json!({"id": ann.email, "secret": PASSWORD});
    assert_eq!(tokens(&fixture, right).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_key_is_shown_once_and_ends_when_it_is_revoked() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let wish = json!({"description": "ci", "scopes": ["viewer"]});
    let (status, made) = fixture.send_as(who, "POST", "/v1/keys", Some(wish)).await;
    assert_eq!(status, StatusCode::CREATED);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("micro_"));
    let (_, listed) = fixture.send_as(who, "GET", "/v1/keys", None).await;
    assert!(!listed.to_string().contains(token));
    let (status, _) = fixture.send_as(Who::Holder(token), "GET", "/v1/services", None).await;
    assert_eq!(status, StatusCode::OK);
    let id = made["key"]["id"].as_str().unwrap();
    let (status, _) = fixture.send_as(who, "DELETE", &format!("/v1/keys/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, answer) = fixture.send_as(Who::Holder(token), "GET", "/v1/services", None).await;
    assert_eq!((status, answer["detail"].as_str().unwrap()), (StatusCode::UNAUTHORIZED, "Invalid token"));
}

#[tokio::test]
async fn the_use_of_a_key_and_of_a_session_is_noted() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let (_, made) = fixture.send_as(who, "POST", "/v1/keys", Some(json!({"description": "ci"}))).await;
    let used = async || {
        let (_, listed) = fixture.send_as(who, "GET", "/v1/keys", None).await;
        listed[0]["used_ms"].as_i64().unwrap()
    };
    assert_eq!(used().await, 0);
    let since = micro_db::now_ms();
    for _ in 0..3 {
        let key = Who::Holder(made["token"].as_str().unwrap());
        assert_eq!(fixture.send_as(key, "GET", "/v1/services", None).await.0, StatusCode::OK);
    }
    fixture.control.credentials.write_uses().await.unwrap();
    let first = used().await;
    assert!(first >= since, "{first}, not after {since}");
    // What was noted a moment ago is not noted again; a session that is used lives longer.
    fixture.control.credentials.write_uses().await.unwrap();
    assert_eq!(used().await, first);
    let session =
        fixture.db.session_by_digest(&micro_auth::key::digest(&ann.session)).await.unwrap().unwrap();
    let noted = [micro_db::Use::Session { id: session.id, expires_ms: session.expires_ms + 1 }];
    fixture.db.note_uses(&noted, since + 1).await.unwrap();
    let again = fixture.db.session_by_digest(&micro_auth::key::digest(&ann.session)).await.unwrap().unwrap();
    assert_eq!((again.used_ms, again.expires_ms), (since + 1, session.expires_ms + 1));
}

#[tokio::test]
async fn nobody_gives_more_than_they_hold() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let wish = json!({"description": "ci", "scopes": ["viewer"]});
    let (_, made) = fixture.send_as(who, "POST", "/v1/keys", Some(wish)).await;
    let viewer = made["token"].as_str().unwrap();
    for scope in ["developer", "owner", "admin", "billing"] {
        let wish = json!({"description": "more", "scopes": [scope]});
        let (status, answer) = fixture.send_as(Who::Holder(viewer), "POST", "/v1/keys", Some(wish)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{scope}: {answer}");
    }
}

#[tokio::test]
async fn a_key_of_one_service_reaches_no_other() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let wish = json!({"description": "ci", "service": "greeter"});
    let (_, made) = fixture.send_as(who, "POST", "/v1/keys", Some(wish)).await;
    let key = Who::Holder(made["token"].as_str().unwrap());
    let (status, answer) =
        fixture.send_as(key, "POST", "/v1/services", Some(json!(request("greeter")))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    for (method, path, body) in [
        ("POST", "/v1/services", Some(json!(request("other")))),
        ("DELETE", "/v1/services/other", None),
        ("GET", "/v1/services/other/logs", None),
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", Some(json!({"description": "x"}))),
        ("POST", "/v1/store/t/read", Some(json!({}))),
    ] {
        let (status, answer) = fixture.send_as(key, method, path, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains("limited to the service greeter"), "{answer}");
    }
}

#[tokio::test]
async fn a_token_of_another_namespace_names_both() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let (_, token) = tokens(&fixture, json!({"id": ann.email, "secret": PASSWORD})).await;
    let access = token["access_token"].as_str().unwrap();
    let (status, answer) = fixture.send_as(Who::In(access, "other-place"), "GET", "/v1/services", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.starts_with("Account was not issued by other-place"), "{detail}");
    assert!(detail.contains(&ann.namespace) && detail.contains("micro user namespace set"), "{detail}");
}

#[tokio::test]
async fn an_account_of_a_namespace_signs_in_and_has_what_its_scopes_say() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let wish = json!({"id": "robot", "secret": "s3cret-s3cret", "scopes": ["developer"]});
    let (status, made) = fixture.send_as(who, "POST", "/v1/auth/accounts", Some(wish.clone())).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!((&made["type"], &made["issuer"]), (&json!("user"), &json!(ann.namespace)));
    let (status, again) = fixture.send_as(who, "POST", "/v1/auth/accounts", Some(wish)).await;
    assert_eq!(
        (status, again["detail"].as_str().unwrap()),
        (StatusCode::BAD_REQUEST, "Account with this ID already exists")
    );
    let login = json!({"id": "robot", "secret": "s3cret-s3cret", "namespace": ann.namespace});
    let (status, token) = tokens(&fixture, login).await;
    assert_eq!(status, StatusCode::OK, "{token}");
    let robot = Who::Holder(token["access_token"].as_str().unwrap());
    let run = fixture.send_as(robot, "POST", "/v1/services", Some(json!(request("app")))).await;
    assert_eq!(run.0, StatusCode::ACCEPTED, "{}", run.1);
    let (status, _) = fixture.send_as(robot, "GET", "/v1/auth/accounts", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = fixture.send_as(who, "DELETE", "/v1/auth/accounts/robot", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = fixture.send_as(robot, "GET", "/v1/services", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rules_are_kept_told_to_the_node_and_refused_in_micros_words() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    let (_, rules) = fixture.send_as(who, "GET", "/v1/auth/rules", None).await;
    assert_eq!(rules.as_array().unwrap().len(), 1, "a namespace begins with one rule: {rules}");
    assert_eq!((&rules[0]["id"], &rules[0]["scope"]), (&json!("default"), &json!("*")));
    let rule = json!({"id": "open", "scope": "", "resource": {"type": "*", "name": "*", "endpoint": "*"}, "access": "granted", "priority": 1});
    let (status, _) = fixture.send_as(who, "POST", "/v1/auth/rules", Some(rule.clone())).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let namespace: micro_api::Namespace = ann.namespace.parse().unwrap();
    let is_told = |node: &FakeNode| {
        node.state()
            .tenants
            .get(&namespace)
            .is_some_and(|told| told.rules.iter().any(|rule| rule.id == "open"))
    };
    assert!(is_told(&fixture.node));
    let (status, answer) = fixture.send_as(who, "POST", "/v1/auth/rules", Some(rule)).await;
    assert_eq!(
        (status, answer["detail"].as_str().unwrap()),
        (StatusCode::BAD_REQUEST, "A rule with this ID already exists")
    );
    let (_, answer) = fixture.send_as(who, "DELETE", "/v1/auth/rules/none", None).await;
    assert_eq!(answer["detail"], "Rule not found");
    // A new process tells its node before it routes anything, although nothing changed meanwhile.
    let fixture = fixture.restart().await;
    fixture.control.resumed().await;
    assert!(is_told(&fixture.node));
}

#[tokio::test]
async fn a_browsers_session_is_no_token() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let inspect = json!({"token": ann.session});
    let (status, answer) = fixture.send_as(Who::Nobody, "POST", "/v1/auth/inspect", Some(inspect)).await;
    assert_eq!((status, answer["detail"].as_str().unwrap()), (StatusCode::UNAUTHORIZED, "Invalid token"));
}

#[tokio::test]
async fn a_revoked_credential_ends_a_log_that_is_followed() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let who = Who::In(&ann.session, &ann.namespace);
    fixture.send_as(who, "POST", "/v1/services", Some(json!(request("app")))).await;
    let (_, made) = fixture.send_as(who, "POST", "/v1/keys", Some(json!({"description": "tail"}))).await;
    let follow = Request::get("/v1/services/app/logs?follow=true&build=true")
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {}", made["token"].as_str().unwrap()));
    let response = fixture.router.clone().oneshot(follow.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let ended = tokio::spawn(response.into_body().collect());
    let id = made["key"]["id"].as_str().unwrap();
    fixture.send_as(who, "DELETE", &format!("/v1/keys/{id}"), None).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert!(ended.is_ok(), "the stream went on after its key was revoked");
}

/// A request whose client hangs up ends in the middle of what it does, and what it changed stands in the rows.
#[tokio::test]
async fn a_change_that_was_followed_in_part_is_followed_to_the_end() {
    let fixture = Fixture::without_tasks().await;
    let (control, namespace) = (&fixture.control, Namespace::default());
    control.follow_access().await.unwrap();
    let operator = Actor::default();
    let plan = |name: &'static str| fixture.db.set_namespace_plan(&namespace, name, "a test", &operator);
    let told = || fixture.node.state().tenants[&namespace].plan.clone();

    plan("small").await.unwrap();
    let before = control.credentials.revision();
    let mut follow = Box::pin(control.follow_access());
    while futures::poll!(&mut follow).is_pending() && control.credentials.revision() == before {
        tokio::task::yield_now().await;
    }
    drop(follow);
    control.follow_access().await.unwrap();
    assert_eq!(told(), "small");

    // Nor does anybody else who looks at what changed keep it from the node.
    plan("large").await.unwrap();
    control.credentials.rotate_signing_key(1_000).await.unwrap();
    control.follow_access().await.unwrap();
    assert_eq!(told(), "large");
}
