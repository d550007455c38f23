use super::*;

#[tokio::test]
async fn people_are_listed_searched_and_blocked() {
    let fixture = platform().await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let (status, people) = fixture.get("/v1/operator/people").await;
    assert_eq!(status, StatusCode::OK, "{people}");
    let names = |people: &Value| -> Vec<String> {
        people.as_array().unwrap().iter().map(|person| person["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut all = names(&people);
    all.sort();
    assert_eq!(all, ["jane", "joe", "operator"]);
    assert_eq!(names(&fixture.get("/v1/operator/people?query=JAN").await.1), ["jane"]);
    let first = fixture.get("/v1/operator/people?limit=1").await.1;
    let after = first[0]["id"].as_str().unwrap();
    assert_eq!(
        fixture.get(&format!("/v1/operator/people?after={after}")).await.1.as_array().unwrap().len(),
        2
    );
    let (_, key) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    let key = key["token"].as_str().unwrap();
    let path = format!("/v1/operator/people/{}", jane.id);
    let (status, person) = fixture.send("PUT", &path, Some(json!({"blocked": true, "reason": "spam"}))).await;
    assert_eq!((status, person["blocked"].as_bool()), (StatusCode::OK, Some(true)), "{person}");
    for credential in [jane.session.as_str(), key] {
        let (code, detail) = error(&fixture.as_holder(credential, "GET", "/v1/me", None).await);
        assert!(code == 403 && detail.contains("ask the operator"), "{detail}");
    }
    assert_eq!(error(&fixture.login("jane", PASSWORD).await).0, 403);
    assert_eq!(fixture.by(&joe, "GET", "/v1/me", Value::Null).await.0, StatusCode::OK);
    fixture.send("PUT", &path, Some(json!({"blocked": false}))).await;
    assert_eq!(fixture.by(&jane, "GET", "/v1/me", Value::Null).await.0, StatusCode::OK, "as before");
    for (path, body, code) in [
        ("/v1/operator/people/nobody", json!({"blocked": true}), 404),
        (path.as_str(), json!({}), 400),
        (path.as_str(), json!({"plan": "free", "blocked": true}), 400),
        (path.as_str(), json!({"blocked": true, "reason": "x".repeat(501)}), 400),
    ] {
        assert_eq!(error(&fixture.send("PUT", path, Some(body)).await).0, code, "{path}");
    }
    let operator = fixture.get("/v1/me").await.1["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/operator/people/{operator}");
    let oneself = fixture.send("PUT", &path, Some(json!({"blocked": true})));
    assert_eq!(error(&oneself.await).0, 409);
    let (_, log) = fixture.get("/v1/operator/audit").await;
    let block = log.as_array().unwrap().iter().find(|line| line["action"] == "person.block").unwrap();
    assert_eq!((block["subject"].as_str(), block["detail"].as_str()), (Some("jane"), Some("spam")));
}

#[tokio::test]
async fn namespaces_are_listed_blocked_and_planned() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (status, listed) = fixture.get("/v1/operator/namespaces").await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let (_, found) = fixture.get(&format!("/v1/operator/namespaces?query={}", &jane.namespace[..6])).await;
    assert_eq!(
        (found[0]["namespace"].as_str(), found[0]["members"].as_i64()),
        (Some(jane.namespace.as_str()), Some(1))
    );
    let path = format!("/v1/operator/namespaces/{}", jane.namespace);
    let (_, plans) = fixture.get("/v1/operator/plans").await;
    assert!(plans.as_array().unwrap().iter().any(|plan| plan["name"] == "operator"), "{plans}");
    let (status, changed) = fixture.send("PUT", &path, Some(json!({"plan": "operator"}))).await;
    assert_eq!((status, changed["plan"].as_str()), (StatusCode::OK, Some("operator")), "{changed}");
    let (_, key) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    let (_, changed) =
        fixture.send("PUT", &path, Some(json!({"blocked": true, "reason": "mines coins"}))).await;
    assert_eq!(changed["blocked"], true);
    let (code, detail) =
        error(&fixture.as_holder(key["token"].as_str().unwrap(), "GET", "/v1/members", None).await);
    assert!(code == 403 && detail.contains("blocked"), "{detail}");
    let run = fixture.by(&jane, "POST", "/v1/services", json!(request("helloworld"))).await;
    assert_eq!(error(&run).0, 403, "{run:?}");
    fixture.send("PUT", &path, Some(json!({"blocked": false}))).await;
    let run = fixture.by(&jane, "POST", "/v1/services", json!(request("helloworld"))).await;
    assert_eq!(run.0, StatusCode::ACCEPTED, "{run:?}");
    for (path, body, code) in [
        (path.as_str(), json!({"plan": "golden"}), 400),
        (path.as_str(), json!({}), 400),
        ("/v1/operator/namespaces/there-is-none", json!({"blocked": true}), 404),
        ("/v1/operator/namespaces/No_Name", json!({"blocked": true}), 404),
    ] {
        assert_eq!(error(&fixture.send("PUT", path, Some(body)).await).0, code, "{path}");
    }
    let (_, log) = fixture.by(&jane, "GET", "/v1/audit", Value::Null).await;
    let block =
        log.as_array().unwrap().iter().find(|line| line["detail"].as_str().unwrap().contains("mines coins"));
    assert!(block.is_some(), "the namespace's owner sees why: {log}");
}

#[tokio::test]
async fn the_operator_invites_without_a_budget() {
    let fixture = with(|config| config.people.invitations = 0).await;
    for n in 0..3 {
        let invite = json!({"email": format!("p{n}@example.com")});
        let (status, made) = fixture.send("POST", "/v1/operator/invitations", Some(invite)).await;
        assert_eq!((status, made["namespace"].as_str()), (StatusCode::CREATED, Some("")), "{made}");
    }
    let code = fixture.code_to("p0@example.com").await;
    let signup = json!({"email": "p0@example.com", "invitation": code, "password": PASSWORD});
    assert_eq!(fixture.post("/v1/signup", signup).await.0, StatusCode::CREATED);
}
