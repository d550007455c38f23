use super::*;

#[tokio::test]
async fn a_mailed_code_makes_a_person_with_a_namespace() {
    let fixture = platform().await;
    let (_, info) = fixture.send_as(Who::Nobody, "GET", "/v1/signup", None).await;
    let file = fixture.folder.path().join("mails.txt");
    assert_eq!(info, json!({"mode": "code", "mail_file": file.display().to_string()}));
    let jane = fixture.someone("jane").await;
    let (status, me) = fixture.by(&jane, "GET", "/v1/me", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    for (field, value) in [
        ("name", json!("jane")),
        ("email", json!("jane@example.com")),
        ("operator", json!(false)),
        ("totp", json!(false)),
        ("namespace", json!(jane.namespace)),
        ("role", json!("owner")),
        ("credential", json!("session")),
    ] {
        assert_eq!(me[field], value, "{field}");
    }
    assert_eq!(me["namespaces"][0]["project"], "jane");
    assert_eq!(jane.namespace.split('-').count(), 3, "three words: {}", jane.namespace);
    for id in ["jane", "JANE@example.com"] {
        assert_eq!(fixture.login(id, PASSWORD).await.0, StatusCode::CREATED, "{id}");
    }
    assert!(fixture.mail_to("jane@example.com").await.contains("signed in"), "later sign-ins are told");
}

#[tokio::test]
async fn an_address_with_an_account_gets_another_mail_and_nobody_else_learns_of_it() {
    let fixture = platform().await;
    fixture.someone("jane").await;
    let known = fixture.post("/v1/signup/code", json!({"email": "JANE@example.com"})).await;
    let unknown = fixture.post("/v1/signup/code", json!({"email": "joe@example.com"})).await;
    assert_eq!(known, unknown);
    assert_eq!(known.0, StatusCode::ACCEPTED);
    let mail = fixture.mail_to("JANE@example.com").await;
    assert!(mail.contains("It has an account already") && mail.contains("/login"), "{mail}");
    let verifications = fixture.control.passwords.verifications();
    let mut answers = Vec::new();
    for email in ["jane@example.com", "joe@example.com", "nobody@example.com"] {
        let signup = json!({"email": email, "code": "00000000", "password": PASSWORD});
        answers.push(fixture.post("/v1/signup", signup).await);
        answers.push(fixture.post("/v1/signup/check", json!({"email": email, "code": "00000000"})).await);
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
        assert!(error(answer).1.contains("the code is wrong"), "{answer:?}");
    }
    assert_eq!(fixture.control.passwords.verifications(), verifications, "no password is looked at");
}

#[tokio::test]
async fn a_code_is_checked_before_the_password_is_chosen() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    fixture.post("/v1/signup/code", json!({"email": "joe@example.com"})).await;
    let code = fixture.code_to("joe@example.com").await;
    assert_eq!(code.len(), 8);
    let check = json!({"email": "joe@example.com", "code": code});
    assert_eq!(fixture.post("/v1/signup/check", check.clone()).await.1, json!({"invited_to": ""}));
    let invite = json!({"email": "Joe@example.com", "role": "developer"});
    assert_eq!(fixture.by(&jane, "POST", "/v1/invitations", invite).await.0, StatusCode::CREATED);
    let (_, checked) = fixture.post("/v1/signup/check", check).await;
    assert_eq!(checked["invited_to"], jane.namespace);
    // Signing up wants a password that is one, and says so before the code is used up.
    for (password, words) in [("short", "8"), (&"x".repeat(1_025), "1024")] {
        let signup = json!({"email": "joe@example.com", "code": code, "password": password});
        let (status, detail) = error(&fixture.post("/v1/signup", signup).await);
        assert!(status == 400 && detail.replace([' ', '\u{a0}'], "").contains(words), "{detail}");
    }
    let signup = json!({"email": "joe@example.com", "code": code, "password": PASSWORD, "join": true});
    let (status, opened) = fixture.post("/v1/signup", signup).await;
    assert_eq!((status, opened["namespace"].as_str()), (StatusCode::CREATED, Some(jane.namespace.as_str())));
    let joe = fixture.opened("joe@example.com", opened).await;
    let (_, me) = fixture.by(&joe, "GET", "/v1/me", Value::Null).await;
    assert_eq!(me["role"], "developer");
}

#[tokio::test]
async fn guesses_and_mails_are_limited_and_the_answer_says_for_how_long() {
    let fixture = platform().await;
    for _ in 0..5 {
        fixture.post("/v1/signup/code", json!({"email": "jane@example.com"})).await;
    }
    let request = |path: &str, body: Value| {
        Request::post(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap()
    };
    let sixth = request("/v1/signup/code", json!({"email": "Jane@example.com"}));
    let response = fixture.router.clone().oneshot(sixth).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: i64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds), "{seconds}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let detail = micro_api::Error::parse(std::str::from_utf8(&body).unwrap()).detail;
    assert!(detail.starts_with("too many mails to this address: 5 are taken in 60 minutes"), "{detail}");
    assert_eq!(fixture.mails().await.matches("To: jane@example.com").count(), 5);
    // From one address, whoever they are for.
    for n in 0..14 {
        let answer = fixture.post("/v1/signup/code", json!({"email": format!("p{n}@example.com")})).await;
        assert_eq!(answer.0, StatusCode::ACCEPTED, "{answer:?}");
    }
    let answer = fixture.post("/v1/reset/code", json!({"email": "last@example.com"})).await;
    assert!(error(&answer).1.starts_with("too many mails asked for from here: 20"), "{answer:?}");
    // Codes: five wrong ones kill one, twenty are taken of one address.
    let right = fixture.code_to("p0@example.com").await;
    for n in 0..20 {
        let guess = json!({"email": "p0@example.com", "code": if n < 5 { "00000000" } else { &right }});
        let answer = fixture.post("/v1/signup/check", guess).await;
        assert_eq!(error(&answer).0, 400, "{n}: {answer:?}");
    }
    let other = json!({"email": "p1@example.com", "code": fixture.code_to("p1@example.com").await});
    assert_eq!(error(&fixture.post("/v1/signup/check", other).await).0, 429);
}

#[tokio::test]
async fn mails_of_all_together_are_limited() {
    let fixture = with(|config| config.people.mails_per_hour = 2).await;
    for n in 0..2 {
        let answer = fixture.post("/v1/signup/code", json!({"email": format!("p{n}@example.com")})).await;
        assert_eq!(answer.0, StatusCode::ACCEPTED);
    }
    let answer = fixture.post("/v1/signup/code", json!({"email": "p3@example.com"})).await;
    assert!(error(&answer).1.starts_with("too many mails of this platform: 2"), "{answer:?}");
}

#[tokio::test]
async fn who_may_sign_up_is_the_operators_choice() {
    let code = json!({"email": "jane@example.com"});
    let signup = json!({"email": "jane@example.com", "password": PASSWORD});
    for (mode, words) in
        [(SignupMode::Invitation, "sign-up is by invitation"), (SignupMode::Closed, "sign-up is closed")]
    {
        let fixture = with(|config| config.people.signup = mode).await;
        for (path, body) in [("/v1/signup/code", &code), ("/v1/signup", &signup)] {
            let (status, detail) = error(&fixture.post(path, body.clone()).await);
            assert!(status == 403 && detail.starts_with(words), "{path}: {detail}");
        }
        assert_eq!(fixture.mails().await, "");
    }
    let fixture = with(|config| config.people.signup = SignupMode::Open).await;
    assert_eq!(fixture.post("/v1/signup", signup.clone()).await.0, StatusCode::CREATED);
    assert_eq!(error(&fixture.post("/v1/signup", signup).await).0, 409);
    assert!(error(&fixture.post("/v1/signup/code", code).await).1.starts_with("no code is needed"));
}

#[tokio::test]
async fn without_mails_only_an_invitation_lets_in() {
    let fixture = with(|config| config.people.mail = crate::Outbox::none()).await;
    let (_, info) = fixture.send_as(Who::Nobody, "GET", "/v1/signup", None).await;
    assert_eq!(info, json!({"mode": "invitation"}));
    let answer = fixture.post("/v1/reset/code", json!({"email": "jane@example.com"})).await;
    assert!(error(&answer).1.contains("sends no mails"), "{answer:?}");
    let invite = json!({"email": "jane@example.com"});
    let (status, invitation) = fixture.send("POST", "/v1/operator/invitations", Some(invite)).await;
    assert_eq!(status, StatusCode::CREATED, "{invitation}");
    let code = invitation["code"].as_str().expect("the code is in the answer, as no mail goes out");
    assert!(code.starts_with("microi_"), "{code}");
    let signup = |email: &str, code: &str| json!({"email": email, "invitation": code, "password": PASSWORD});
    let stolen = fixture.post("/v1/signup", signup("eve@example.com", code)).await;
    assert!(error(&stolen).1.contains("for another e-mail address"), "{stolen:?}");
    let (status, opened) = fixture.post("/v1/signup", signup("jane@example.com", code)).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    assert_ne!(opened["namespace"], "default", "a namespace of their own");
    let again = fixture.post("/v1/signup", signup("jane@example.com", code)).await;
    assert_eq!(error(&again).0, 404, "once: {again:?}");
    for code in ["", "x", "microi_", &code.to_uppercase(), "micro_0000000000000000000000000000000000001pVlIn"]
    {
        let answer = fixture.post("/v1/signup", signup("joe@example.com", code)).await;
        assert!(matches!(error(&answer).0, 403 | 404), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn names_are_chosen_once() {
    let fixture = with(|config| config.people.signup = SignupMode::Open).await;
    let signup = async |email: &str, name: &str| {
        fixture.post("/v1/signup", json!({"email": email, "password": PASSWORD, "name": name})).await
    };
    assert_eq!(signup("jane@example.com", "Jane").await.0, StatusCode::CREATED);
    let taken = error(&signup("other@example.com", "jane").await);
    assert_eq!(taken, (409, "the name `jane` is taken: choose another".to_owned()));
    for name in ["ab", "a@b.c", "-abc", "a b c", "person-0011223344", "<script>"] {
        let (status, detail) = error(&signup("other@example.com", name).await);
        assert!(status == 400 && detail.starts_with("a name has 3 to 39"), "{name}: {detail}");
    }
    for email in ["", "x", "a@b\r\nBcc: c@d", "Jane <jane@example.com>"] {
        assert_eq!(error(&signup(email, "").await).0, 400, "{email:?}");
    }
}
