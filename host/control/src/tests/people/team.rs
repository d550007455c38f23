use super::*;

#[tokio::test]
async fn members_see_and_do_what_their_role_says() {
    let fixture = platform().await;
    let (jane, joe, eve) =
        (fixture.someone("jane").await, fixture.someone("joe").await, fixture.someone("eve").await);
    fixture.join(&jane, &joe, "developer").await;
    let there = Who::In(&joe.session, &jane.namespace);
    let (status, members) = fixture.send_as(there, "GET", "/v1/members", None).await;
    assert_eq!(status, StatusCode::OK, "{members}");
    let roles: Vec<_> =
        members.as_array().unwrap().iter().map(|member| (&member["name"], &member["role"])).collect();
    assert_eq!(roles, [(&json!("jane"), &json!("owner")), (&json!("joe"), &json!("developer"))]);
    let change = format!("/v1/members/{}", joe.id);
    let jane_there = format!("/v1/members/{}", jane.id);
    // A developer manages nobody.
    for (method, path, body) in [
        ("PUT", change.as_str(), Some(json!({"role": "owner"}))),
        ("DELETE", &jane_there, None),
        ("GET", "/v1/invitations", None),
        ("POST", "/v1/invitations", Some(json!({"email": "x@example.com", "role": "viewer"}))),
        ("DELETE", "/v1/invitations/x", None),
        ("GET", "/v1/audit", None),
    ] {
        let (code, detail) = error(&fixture.send_as(there, method, path, body).await);
        assert!(code == 403 && detail.contains("owner"), "{method} {path}: {detail}");
    }
    // Somebody else sees nothing, and the same as where nothing is.
    for namespace in [jane.namespace.as_str(), "there-is-none"] {
        for (method, path, body) in [
            ("GET", "/v1/members", None),
            ("PUT", change.as_str(), Some(json!({"role": "viewer"}))),
            ("DELETE", change.as_str(), None),
            ("GET", "/v1/invitations", None),
            ("GET", "/v1/audit", None),
        ] {
            let (code, detail) =
                error(&fixture.send_as(Who::In(&eve.session, namespace), method, path, body).await);
            assert_eq!((code, detail), (404, format!("namespace {namespace} not found")), "{method} {path}");
        }
    }
    let in_her_own = fixture.by(&eve, "DELETE", &change, Value::Null).await;
    assert_eq!(error(&in_her_own), (404, "member not found".to_owned()));
    // The owner does it all.
    let promoted = fixture.by(&jane, "PUT", &change, json!({"role": "owner"})).await;
    assert_eq!(promoted.0, StatusCode::NO_CONTENT, "{promoted:?}");
    assert_eq!(fixture.send_as(there, "GET", "/v1/audit", None).await.0, StatusCode::OK, "at once");
    let demoted = fixture.by(&jane, "PUT", &change, json!({"role": "viewer"})).await;
    assert_eq!(demoted.0, StatusCode::NO_CONTENT);
    assert_eq!(error(&fixture.send_as(there, "GET", "/v1/audit", None).await).0, 403, "at once");
    let last = fixture.by(&jane, "PUT", &jane_there, json!({"role": "viewer"})).await;
    assert_eq!(error(&last).0, 409);
    let last = fixture.by(&jane, "DELETE", &jane_there, Value::Null).await;
    assert_eq!(error(&last).0, 409);
    let left = fixture.send_as(there, "DELETE", &change, None).await;
    assert_eq!(left.0, StatusCode::NO_CONTENT, "oneself may leave: {left:?}");
    assert_eq!(error(&fixture.send_as(there, "GET", "/v1/members", None).await).0, 404);
    let role = fixture.by(&jane, "PUT", &change, json!({"role": "king"})).await;
    assert_eq!(error(&role).0, 400);
}

#[tokio::test]
async fn invitations_wait_are_listed_and_withdrawn() {
    let fixture = platform().await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let invite = json!({"email": "joe@example.com", "role": "viewer"});
    let (status, made) = fixture.by(&jane, "POST", "/v1/invitations", invite.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(made.get("code").is_none(), "it goes by mail only: {made}");
    let mail = fixture.mail_to("joe@example.com").await;
    assert!(
        mail.contains(&format!("jane invites you to the namespace {} as viewer", jane.namespace)),
        "{mail}"
    );
    let code = fixture.code_to("joe@example.com").await;
    assert!(mail.contains(&format!("http://localhost:8082/invitation/{code}")), "{mail}");
    let (_, waiting) = fixture.by(&jane, "GET", "/v1/invitations", Value::Null).await;
    assert_eq!(waiting, json!([made]));
    let (_, foreign) = fixture.by(&joe, "GET", "/v1/invitations", Value::Null).await;
    assert_eq!(foreign, json!([]));
    let path = format!("/v1/invitations/{}", made["id"].as_str().unwrap());
    assert_eq!(error(&fixture.by(&joe, "DELETE", &path, Value::Null).await).0, 404, "of another namespace");
    assert_eq!(fixture.by(&jane, "DELETE", &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    let late = fixture.by(&joe, "POST", "/v1/invitations/accept", json!({"code": code})).await;
    assert_eq!(error(&late).0, 404, "{late:?}");
    fixture.join(&jane, &joe, "viewer").await;
    let member = fixture.by(&jane, "POST", "/v1/invitations", invite).await;
    assert_eq!(error(&member), (409, "joe@example.com is a member already".to_owned()));
    let (_, projects) = fixture.by(&joe, "GET", "/v1/projects", Value::Null).await;
    assert_eq!(projects.as_array().unwrap().len(), 2, "{projects}");
}

#[tokio::test]
async fn invitations_are_for_their_address_and_counted() {
    let fixture = with(|config| config.people.invitations = 2).await;
    let (jane, eve) = (fixture.someone("jane").await, fixture.someone("eve").await);
    let invite = async |email: &str| {
        fixture.by(&jane, "POST", "/v1/invitations", json!({"email": email, "role": "viewer"})).await
    };
    assert_eq!(invite("a@example.com").await.0, StatusCode::CREATED);
    let code = fixture.code_to("a@example.com").await;
    let stolen = fixture.by(&eve, "POST", "/v1/invitations/accept", json!({"code": code})).await;
    assert_eq!(error(&stolen).0, 403);
    let guess = micro_auth::Opaque::new(micro_auth::OpaqueKind::Invitation);
    for code in [guess.expose(), "", "microi_x"] {
        let answer = fixture.by(&eve, "POST", "/v1/invitations/accept", json!({"code": code})).await;
        assert_eq!(error(&answer).0, 404, "{answer:?}");
    }
    assert_eq!(invite("b@example.com").await.0, StatusCode::CREATED);
    let third = error(&invite("c@example.com").await);
    assert!(third.0 == 403 && third.1.contains("all of your 2 invitations"), "{third:?}");
    for _ in 0..4 {
        assert_eq!(invite("b@example.com").await.0, StatusCode::CREATED, "sent again costs nothing");
    }
    assert_eq!(error(&invite("b@example.com").await).0, 429, "but bothers nobody without end");
    assert_eq!(error(&invite("not an address").await).0, 400);
}

#[tokio::test]
async fn projects_and_environments_come_and_go() {
    let fixture = with(|config| config.people.namespaces_max = 3).await;
    let (jane, joe) = (fixture.someone("jane").await, fixture.someone("joe").await);
    let (status, shop) = fixture
        .by(&jane, "POST", "/v1/projects", json!({"name": "My shop", "repository": "github.com/jane/shop"}))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{shop}");
    let id = shop["id"].as_str().unwrap();
    let environments = format!("/v1/projects/{id}/environments");
    let staging = json!({"name": "staging", "namespace": "jane-staging"});
    let foreign = fixture.by(&joe, "POST", &environments, staging.clone()).await;
    assert_eq!(error(&foreign), (404, "project not found".to_owned()));
    let (status, made) = fixture.by(&jane, "POST", &environments, staging.clone()).await;
    assert_eq!((status, made["namespace"].as_str()), (StatusCode::CREATED, Some("jane-staging")), "{made}");
    let services = fixture.send_as(Who::In(&jane.session, "jane-staging"), "GET", "/v1/services", None).await;
    assert_eq!(services, (StatusCode::OK, json!([])), "it can be used at once");
    let over = error(&fixture.by(&jane, "POST", "/v1/projects", json!({"name": "another"})).await);
    assert!(over.0 == 403 && over.1.starts_with("you own 3 namespaces"), "{over:?}");
    for name in ["ab", "", "a/b", " shop", "shop-", "<b>", &"x".repeat(41)] {
        assert_eq!(
            error(&fixture.by(&joe, "POST", "/v1/projects", json!({"name": name})).await).0,
            400,
            "{name:?}"
        );
    }
    let (_, own) = fixture.by(&joe, "GET", "/v1/projects", Value::Null).await;
    let environments = format!("/v1/projects/{}/environments", own[0]["id"].as_str().unwrap());
    for (namespace, code) in
        [("default", 409), ("micro", 409), ("jane-staging", 409), ("a--b", 409), ("A_b", 400)]
    {
        let wish = json!({"name": "other", "namespace": namespace});
        assert_eq!(error(&fixture.by(&joe, "POST", &environments, wish).await).0, code, "{namespace}");
    }
    let staging = "/v1/namespaces/jane-staging";
    assert_eq!(error(&fixture.by(&joe, "DELETE", staging, Value::Null).await).0, 404);
    let run = json!(request("helloworld"));
    let here = Who::In(&jane.session, "jane-staging");
    assert_eq!(fixture.send_as(here, "POST", "/v1/services", Some(run)).await.0, StatusCode::ACCEPTED);
    assert_eq!(fixture.by(&jane, "DELETE", staging, Value::Null).await.0, StatusCode::NO_CONTENT);
    let gone = "jane-staging".parse().unwrap();
    assert!(fixture.db.versions(&gone, None, None).await.unwrap().is_empty(), "what ran is stopped");
    assert_eq!(error(&fixture.send_as(here, "GET", "/v1/services", None).await).0, 404);
    assert_eq!(error(&fixture.by(&jane, "DELETE", staging, Value::Null).await).0, 404);
    let project = format!("/v1/projects/{id}");
    assert_eq!(error(&fixture.by(&joe, "DELETE", &project, Value::Null).await).0, 404);
    assert_eq!(fixture.by(&jane, "DELETE", &project, Value::Null).await.0, StatusCode::NO_CONTENT);
    let (_, left) = fixture.by(&jane, "GET", "/v1/projects", Value::Null).await;
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    let default = error(&fixture.send("DELETE", "/v1/namespaces/default", None).await);
    assert_eq!(default.0, 403, "{default:?}");
}

#[tokio::test]
async fn a_crash_while_a_namespace_ends_leaves_nothing_running() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    fixture.by(&jane, "POST", "/v1/services", json!(request("helloworld"))).await;
    let namespace = jane.namespace.parse().unwrap();
    // The row is written, and the process dies before it stops anything.
    let actor = micro_db::Actor::default();
    fixture.db.delete_namespace(&jane.id, &namespace, &actor).await.unwrap();
    assert_eq!(fixture.db.versions(&namespace, None, None).await.unwrap().len(), 1);
    crate::task::sweep::people(&fixture.control).await.unwrap();
    assert!(fixture.db.versions(&namespace, None, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_audit_log_is_paged_and_exported() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    for n in 0..4 {
        let name = json!({"name": format!("project {n}")});
        assert_eq!(fixture.by(&jane, "POST", "/v1/projects", name).await.0, StatusCode::CREATED);
    }
    for n in 0..3 {
        let key = json!({"description": format!("key {n}")});
        assert_eq!(fixture.by(&jane, "POST", "/v1/keys", key).await.0, StatusCode::CREATED);
    }
    let (_, first) = fixture.by(&jane, "GET", "/v1/audit?limit=3", Value::Null).await;
    let first = first.as_array().unwrap();
    assert_eq!(
        first.iter().map(|line| line["action"].as_str().unwrap()).collect::<Vec<_>>(),
        ["key.create"; 3]
    );
    assert_eq!((first[0]["actor"].as_str(), first[0]["address"].as_str()), (Some("jane"), Some("127.0.0.1")));
    let after = first[2]["id"].as_str().unwrap();
    let (_, rest) = fixture.by(&jane, "GET", &format!("/v1/audit?after={after}"), Value::Null).await;
    assert_eq!(rest.as_array().unwrap().len(), 1, "the sign-up; other projects have namespaces of their own");
    for wrong in ["limit=0", "limit=201", "limit=x", "format=xml"] {
        assert_eq!(error(&fixture.by(&jane, "GET", &format!("/v1/audit?{wrong}"), Value::Null).await).0, 400);
    }
    let (status, csv) = fixture.by(&jane, "GET", "/v1/audit?format=csv", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let lines: Vec<&str> = csv.as_str().unwrap().split("\r\n").collect();
    assert_eq!(lines[0], "id,at_ms,actor,action,subject,address,detail");
    assert_eq!(lines.len(), 6, "{csv}");
    assert!(lines[1].contains(",\"jane\",\"key.create\","), "{csv}");
    let all = fixture.send("GET", "/v1/operator/audit?format=csv", None).await.1;
    assert!(all.as_str().unwrap().lines().count() >= 9, "{all}");
    // More than a page goes out in order.
    let actor = micro_db::Actor { name: "=cmd()".to_owned(), ..micro_db::Actor::default() };
    for n in 0..250 {
        let (subject, namespace) = (n.to_string(), jane.namespace.as_str());
        let entry =
            micro_db::Entry { actor: &actor, namespace, action: "test.write", subject: &subject, detail: "" };
        fixture.db.audit(entry).await.unwrap();
    }
    let (_, csv) = fixture.by(&jane, "GET", "/v1/audit?format=csv", Value::Null).await;
    let csv = csv.as_str().unwrap();
    let subjects: Vec<u32> = csv
        .lines()
        .filter(|line| line.contains("test.write"))
        .map(|line| line.split(',').nth(4).unwrap().trim_matches('"').parse().unwrap())
        .collect();
    assert_eq!(subjects, (0..250).rev().collect::<Vec<_>>());
    assert!(!csv.contains(",\"=cmd"), "no formula");
}
