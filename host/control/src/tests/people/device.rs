use super::*;

#[tokio::test]
async fn a_terminal_is_let_in_by_a_person() {
    let fixture = platform().await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let (status, start) = fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await;
    assert_eq!(status, StatusCode::OK, "{start}");
    assert_eq!((start["expires_in"].as_i64(), start["interval"].as_i64()), (Some(600), Some(5)));
    assert_eq!(start["verification_uri"], "http://localhost:8082/device");
    let poll = async |start: &Value| {
        fixture.post("/v1/device/token", json!({"device_code": start["device_code"]})).await
    };
    let approve = |user_code: &str, namespace: &str| json!({"user_code": user_code, "namespace": namespace});
    let user_code = start["user_code"].as_str().unwrap();
    let foreign = fixture.by(&jane, "POST", "/v1/device/approve", approve(user_code, &joe.namespace)).await;
    assert_eq!(error(&foreign).0, 404, "for a namespace of one's own only");
    for wrong in ["BCDF-GHJK", "nonsense", ""] {
        let answer = fixture.by(&jane, "POST", "/v1/device/approve", approve(wrong, &jane.namespace)).await;
        assert_eq!(error(&answer).0, 404, "{answer:?}");
    }
    let typed = user_code.to_lowercase().replace('-', " ");
    let answer = fixture.by(&jane, "POST", "/v1/device/approve", approve(&typed, &jane.namespace)).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    let (status, token) = poll(&start).await;
    assert_eq!(
        (status, token["namespace"].as_str()),
        (StatusCode::OK, Some(jane.namespace.as_str())),
        "{token}"
    );
    let access = token["access_token"].as_str().unwrap();
    let (_, me) = fixture.as_holder(access, "GET", "/v1/me", None).await;
    assert_eq!((me["id"].as_str(), me["credential"].as_str()), (Some(jane.id.as_str()), Some("access")));
    let (_, sessions) = fixture.by(&jane, "GET", "/v1/sessions", Value::Null).await;
    assert!(sessions.as_array().unwrap().iter().any(|session| session["kind"] == "cli"), "{sessions}");
    assert_eq!(error(&poll(&start).await), (400, "expired_token".to_owned()), "once");
    let (_, other) = fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await;
    assert_eq!(error(&poll(&other).await), (400, "authorization_pending".to_owned()));
    assert_eq!(error(&poll(&other).await), (400, "slow_down".to_owned()));
    for code in ["", "microd_x", &jane.session] {
        let answer = fixture.post("/v1/device/token", json!({"device_code": code})).await;
        assert_eq!(error(&answer), (400, "expired_token".to_owned()));
    }
}

#[tokio::test]
async fn who_was_blocked_meanwhile_lets_nothing_in() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (_, start) = fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await;
    let approve = json!({"user_code": start["user_code"], "namespace": jane.namespace});
    assert_eq!(fixture.by(&jane, "POST", "/v1/device/approve", approve).await.0, StatusCode::NO_CONTENT);
    let path = format!("/v1/operator/people/{}", jane.id);
    fixture.send("PUT", &path, Some(json!({"blocked": true}))).await;
    let answer = fixture.post("/v1/device/token", json!({"device_code": start["device_code"]})).await;
    assert_eq!(error(&answer), (400, "access_denied".to_owned()));
}

#[tokio::test]
async fn codes_of_terminals_cannot_be_guessed() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (_, start) = fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await;
    let guess = json!({"user_code": "BCDF-GHJK", "namespace": jane.namespace});
    for _ in 0..10 {
        let answer = fixture.by(&jane, "POST", "/v1/device/approve", guess.clone()).await;
        assert_eq!(error(&answer).0, 404);
    }
    let right = json!({"user_code": start["user_code"], "namespace": jane.namespace});
    assert_eq!(error(&fixture.by(&jane, "POST", "/v1/device/approve", right).await).0, 429);
    for _ in 0..29 {
        assert_eq!(fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await.0, StatusCode::OK);
    }
    let over = fixture.send_as(Who::Nobody, "POST", "/v1/device", None).await;
    assert_eq!(error(&over).0, 429, "nor can the table be filled");
}
