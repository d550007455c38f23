//! Configuration and secrets through the API: who may what, and that no secret shows.

use super::people::Someone;
use super::*;

const PLANTED: &str = "planted-7f3a";

impl Fixture {
    async fn config(&self, who: &Someone, tail: &str, body: Value) -> (StatusCode, Value) {
        self.send_as(Who::In(&who.session, &who.namespace), "POST", &format!("/v1/config/{tail}"), Some(body))
            .await
    }

    async fn ask(&self, who: &Someone, tail: &str) -> (StatusCode, Value) {
        self.send_as(Who::In(&who.session, &who.namespace), "GET", &format!("/v1/config{tail}"), None).await
    }

    async fn set(&self, who: &Someone, path: &str, value: Value) {
        let (status, answer) = self.config(who, "set", json!({"path": path, "value": value})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    async fn set_secret(&self, who: &Someone, path: &str) {
        let (status, answer) =
            self.config(who, "set", json!({"path": path, "value": PLANTED, "secret": true})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// A key of `who` with one role.
    async fn key(&self, who: &Someone, role: &str) -> String {
        let wish = json!({"description": role, "scopes": [role]});
        let (status, made) =
            self.send_as(Who::In(&who.session, &who.namespace), "POST", "/v1/keys", Some(wish)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }

    /// Another environment of `who`'s.
    async fn environment(&self, who: &Someone, name: &str) -> Someone {
        let (_, projects) = self.send_as(Who::Holder(&who.session), "GET", "/v1/projects", None).await;
        let path = format!("/v1/projects/{}/environments", projects[0]["id"].as_str().unwrap());
        let (status, made) =
            self.send_as(Who::Holder(&who.session), "POST", &path, Some(json!({"name": name}))).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        Someone { namespace: made["namespace"].as_str().unwrap().to_owned(), ..who.clone() }
    }
}

#[tokio::test]
async fn values_are_set_merged_listed_and_deleted() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    assert_eq!(error(&fixture.ask(&ann, "?path=somekey").await), (404, "not found".to_owned()));
    fixture.set(&ann, "somekey", json!("val1")).await;
    assert_eq!(fixture.ask(&ann, "?path=somekey").await.1["value"], "val1");
    fixture.set(&ann, "complexmerge", json!({"a": 1, "b": {"b1": 2}, "c": 3})).await;
    fixture.set(&ann, "complexmerge", json!({"d": 4, "b": {"b2": 2.2}})).await;
    let merged = json!({"a": 1, "b": {"b1": 2, "b2": 2.2}, "c": 3, "d": 4});
    assert_eq!(fixture.ask(&ann, "?path=complexmerge").await.1["value"], merged);
    assert_eq!(fixture.ask(&ann, "").await.1["value"], json!({"somekey": "val1", "complexmerge": merged}));
    let (_, listed) = fixture.ask(&ann, "/list").await;
    let paths: Vec<_> =
        listed.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "complexmerge.a",
            "complexmerge.b.b1",
            "complexmerge.b.b2",
            "complexmerge.c",
            "complexmerge.d",
            "somekey"
        ]
    );
    let below = fixture.config(&ann, "set", json!({"path": "somekey.x", "value": 1})).await;
    let (code, detail) = error(&below);
    assert!(code == 409 && detail.starts_with("`somekey` holds text"), "{detail}");
    for _ in 0..2 {
        assert_eq!(
            fixture.config(&ann, "delete", json!({"path": "somekey"})).await.0,
            StatusCode::NO_CONTENT
        );
    }
    assert_eq!(fixture.ask(&ann, "?path=somekey").await.0, StatusCode::NOT_FOUND);
    for (tail, body) in [
        ("set", json!({"path": "a..b", "value": 1})),
        ("set", json!({"path": "a", "value": "v".repeat(65 << 10)})),
        ("set", json!({"path": "a", "value": 1, "secret": true})),
        ("set", json!({"path": "a"})),
        ("delete", json!({"path": ""})),
        ("clone", json!({"namespace": ann.namespace})),
    ] {
        let answer = fixture.config(&ann, tail, body).await;
        assert!(matches!(answer.0.as_u16(), 400 | 413), "{tail}: {answer:?}");
    }
}

#[tokio::test]
async fn history_tells_versions_and_any_can_be_restored() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    for n in 1..4 {
        fixture.set(&ann, "n", json!(n)).await;
    }
    let (_, history) = fixture.ask(&ann, "/history?limit=2").await;
    assert_eq!(history.as_array().unwrap().len(), 2);
    assert_eq!((&history[0]["version"], &history[0]["by"]), (&json!(3), &json!("ann")));
    let (_, diff) = fixture.ask(&ann, "/diff").await;
    assert_eq!(diff, json!([{"path": "n", "before": 2, "after": 3}]));
    let (_, diff) = fixture.ask(&ann, "/diff?from=0&to=1").await;
    assert_eq!(diff, json!([{"path": "n", "after": 1}]));
    assert_eq!(fixture.ask(&ann, "/diff?from=77").await.0, StatusCode::NOT_FOUND);
    let (status, restored) = fixture.config(&ann, "restore", json!({"version": 1})).await;
    assert_eq!((status, &restored["version"]), (StatusCode::OK, &json!(4)));
    assert_eq!(fixture.ask(&ann, "?path=n").await.1["value"], 1);
    let missing = error(&fixture.config(&ann, "restore", json!({"version": 99})).await);
    assert_eq!(missing.0, 404);
}

#[tokio::test]
async fn a_secret_is_masked_everywhere_and_shown_only_when_asked_for() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    fixture.set(&ann, "key.plain", json!(1)).await;
    fixture.set_secret(&ann, "key.subkey1").await;
    assert_eq!(
        fixture.ask(&ann, "?path=key.subkey1").await.1,
        json!({"path": "key.subkey1", "value": "[secret]", "secret": true})
    );
    assert_eq!(fixture.ask(&ann, "?path=key").await.1["value"], json!({"plain": 1, "subkey1": "[secret]"}));
    for tail in ["", "/list", "/history", "/diff", "/diff?from=0"] {
        let (status, answer) = fixture.ask(&ann, tail).await;
        assert!(status.is_success() && !answer.to_string().contains(PLANTED), "{tail}: {answer}");
    }
    let (status, shown) = fixture.config(&ann, "secret", json!({"path": "key.subkey1"})).await;
    assert_eq!((status, &shown), (StatusCode::OK, &json!({"value": PLANTED})));
    for path in ["key.plain", "key", "nosuch"] {
        assert_eq!(
            fixture.config(&ann, "secret", json!({"path": path})).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let who = Who::In(&ann.session, &ann.namespace);
    let (_, audit) = fixture.send_as(who, "GET", "/v1/audit", None).await;
    let shown = audit.as_array().unwrap().iter().filter(|line| line["action"] == "secret.show").count();
    assert_eq!(shown, 1, "{audit}");
    assert!(!audit.to_string().contains(PLANTED));
    // A viewer sees that there is one, and no more.
    let viewer = fixture.key(&ann, "viewer").await;
    let masked = fixture.send_as(Who::Holder(&viewer), "GET", "/v1/config?path=key", None).await;
    assert_eq!(masked.1["value"]["subkey1"], "[secret]");
    let refused = fixture
        .send_as(Who::Holder(&viewer), "POST", "/v1/config/secret", Some(json!({"path": "key.subkey1"})))
        .await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    // Not in the database either.
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!bytes.windows(PLANTED.len()).any(|part| part == PLANTED.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn another_tenants_configuration_is_not_there() {
    let fixture = people::platform().await;
    let (ann, bob) = (fixture.someone("ann").await, fixture.someone("bob").await);
    fixture.set(&ann, "somekey", json!(PLANTED)).await;
    fixture.set_secret(&ann, "asecret").await;
    for path in ["somekey", "asecret"] {
        assert_eq!(error(&fixture.ask(&bob, &format!("?path={path}")).await), (404, "not found".to_owned()));
        assert_eq!(fixture.config(&bob, "secret", json!({"path": path})).await.0, StatusCode::NOT_FOUND);
    }
    let intruder = Someone { namespace: ann.namespace.clone(), ..bob.clone() };
    for (tail, body) in [
        ("secret", json!({"path": "asecret"})),
        ("set", json!({"path": "somekey", "value": 1})),
        ("delete", json!({"path": "somekey"})),
        ("restore", json!({"version": 1})),
        ("clone", json!({"namespace": bob.namespace, "with_secrets": true})),
    ] {
        let (status, answer) = fixture.config(&intruder, tail, body).await;
        assert!(status == StatusCode::NOT_FOUND && !answer.to_string().contains(PLANTED), "{tail}: {answer}");
    }
    // Nor does one write into the other's.
    let pushed = fixture.config(&bob, "clone", json!({"namespace": ann.namespace})).await;
    assert_eq!(error(&pushed).0, 404);
    assert_eq!(fixture.ask(&ann, "?path=somekey").await.1["value"], PLANTED);
}

#[tokio::test]
async fn an_environment_is_cloned_with_secrets_only_by_an_owner_of_both() {
    let fixture = people::platform().await;
    let (ann, bob) = (fixture.someone("ann").await, fixture.someone("bob").await);
    let staging = fixture.environment(&ann, "staging").await;
    fixture.set(&ann, "a.b", json!(1)).await;
    fixture.set_secret(&ann, "a.s").await;
    let (status, answer) = fixture.config(&ann, "clone", json!({"namespace": staging.namespace})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(fixture.ask(&staging, "").await.1["value"], json!({"a": {"b": 1}}), "without secrets");
    // A developer of both may clone, but not the secrets.
    for owner in [&ann, &staging] {
        let who = Who::In(&owner.session, &owner.namespace);
        let invite = json!({"email": bob.email, "role": "developer"});
        let (status, answer) = fixture.send_as(who, "POST", "/v1/invitations", Some(invite)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let code = fixture.code_to(&bob.email).await;
        let accept = json!({"code": code});
        let (status, answer) =
            fixture.send_as(Who::Holder(&bob.session), "POST", "/v1/invitations/accept", Some(accept)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let as_bob = Someone { namespace: ann.namespace.clone(), ..bob.clone() };
    let with = json!({"namespace": staging.namespace, "with_secrets": true});
    let (code, detail) = error(&fixture.config(&as_bob, "clone", with.clone()).await);
    assert!(code == 403 && detail.contains("needs the role owner"), "{detail}");
    let without = json!({"namespace": staging.namespace});
    assert_eq!(fixture.config(&as_bob, "clone", without.clone()).await.0, StatusCode::OK);
    // A key is of one namespace.
    let key = fixture.key(&ann, "owner").await;
    let (status, _) = fixture.send_as(Who::Holder(&key), "POST", "/v1/config/clone", Some(without)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, answer) = fixture.config(&ann, "clone", with).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (_, shown) = fixture.config(&staging, "secret", json!({"path": "a.s"})).await;
    assert_eq!(shown, json!({"value": PLANTED}));
    // The two are sealed by keys of their own.
    let of = async |who: &Someone| fixture.db.config(&who.namespace.parse().unwrap()).await.unwrap();
    let (one, other) = (of(&ann).await, of(&staging).await);
    assert_ne!(one.sealed_key, other.sealed_key);
    assert_ne!(one.secrets[0].sealed, other.secrets[0].sealed);
}

#[tokio::test]
async fn a_new_master_key_opens_what_the_one_before_sealed() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    fixture.set_secret(&ann, "a.s").await;
    let (old, new) = (MasterKey::from_bytes(&[7; 32]), MasterKey::from_bytes(&[8; 32]));
    let sealer = Arc::new(Sealer::new(new.clone(), vec![old]));
    Credentials::open(fixture.db.clone(), sealer, AUDIENCE.to_owned()).await.unwrap();
    let folder = Arc::clone(&fixture.folder);
    let sealer = Sealer::new(new, Vec::new());
    let fixture = Fixture::open_sealed(folder, Arc::new(FakeNode::default()), false, sealer, |_| ()).await;
    let (status, shown) = fixture.config(&ann, "secret", json!({"path": "a.s"})).await;
    assert_eq!((status, shown), (StatusCode::OK, json!({"value": PLANTED})));
}
