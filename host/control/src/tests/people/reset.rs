use super::*;

#[tokio::test]
async fn a_mailed_code_sets_a_password_and_signs_out_everywhere() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (_, made) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    let token = json!({"id": "jane", "secret": PASSWORD});
    let (_, token) = fixture.post("/v1/auth/token", token).await;
    assert_eq!(fixture.post("/v1/reset/code", json!({"email": jane.email})).await.0, StatusCode::ACCEPTED);
    let code = fixture.code_to(&jane.email).await;
    let reset =
        |code: &str, password: &str| json!({"email": "jane@example.com", "code": code, "password": password});
    assert_eq!(error(&fixture.post("/v1/reset", reset("00000000", "battery staple")).await).0, 400);
    assert_eq!(error(&fixture.post("/v1/reset", reset(&code, "short")).await).0, 400);
    let answer = fixture.post("/v1/reset", reset(&code, "battery staple")).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    assert_eq!(error(&fixture.by(&jane, "GET", "/v1/me", Value::Null).await).0, 401, "the session ended");
    let access = token["access_token"].as_str().unwrap();
    assert_eq!(
        error(&fixture.as_holder(access, "GET", "/v1/me", None).await).0,
        401,
        "and the command line's"
    );
    let refresh = json!({"refresh_token": token["refresh_token"]});
    assert_eq!(error(&fixture.post("/v1/auth/token", refresh).await).0, 401);
    let key = made["token"].as_str().unwrap();
    assert_eq!(fixture.as_holder(key, "GET", "/v1/members", None).await.0, StatusCode::OK, "keys stay");
    assert!(fixture.mail_to(&jane.email).await.contains("API keys stay"), "and the mail says so");
    assert_eq!(error(&fixture.login("jane", PASSWORD).await).0, 401);
    assert_eq!(fixture.login("jane", "battery staple").await.0, StatusCode::CREATED);
    assert_eq!(error(&fixture.post("/v1/reset", reset(&code, "third password")).await).0, 400, "once");
}

#[tokio::test]
async fn a_reset_does_not_tell_who_has_an_account() {
    let fixture = platform().await;
    fixture.someone("jane").await;
    let before = fixture.mails().await.len();
    let known = fixture.post("/v1/reset/code", json!({"email": "jane@example.com"})).await;
    assert!(fixture.mails().await.len() > before);
    let before = fixture.mails().await.len();
    let unknown = fixture.post("/v1/reset/code", json!({"email": "joe@example.com"})).await;
    assert_eq!(fixture.mails().await.len(), before, "nobody is bothered");
    assert_eq!(known, unknown);
    let verifications = fixture.control.passwords.verifications();
    let guess = |email: &str| json!({"email": email, "code": "00000000", "password": "battery staple"});
    let known = fixture.post("/v1/reset", guess("jane@example.com")).await;
    let unknown = fixture.post("/v1/reset", guess("joe@example.com")).await;
    assert_eq!(known, unknown);
    assert_eq!(error(&known).0, 400);
    assert_eq!(fixture.control.passwords.verifications(), verifications);
}

#[tokio::test]
async fn the_operators_secret_survives_those_who_ask_for_codes() {
    let fixture = platform().await;
    let secret = crate::reset_operator(&fixture.db).await.unwrap();
    for _ in 0..2 {
        let answer = fixture.post("/v1/reset/code", json!({"email": "Operator@localhost"})).await;
        assert_eq!(answer.0, StatusCode::ACCEPTED);
    }
    let reset = json!({"email": "operator@localhost", "code": secret.expose(), "password": "battery staple"});
    let answer = fixture.post("/v1/reset", reset).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    assert_eq!(fixture.login("operator", "battery staple").await.0, StatusCode::CREATED);
    assert_eq!(fixture.mails().await, "", "no mail to nowhere");
}
