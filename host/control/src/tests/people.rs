//! People and teams through the API, with mails in a file.

mod device;
mod master_key;
mod me;
mod oidc;
mod operator;
mod reset;
mod signup;
mod team;

use micro_api::person::{SessionOpened, SignupMode};

use super::*;
use crate::MailConfig;

pub(super) const PASSWORD: &str = "correct horse";

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Someone {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) session: String,
    pub(super) namespace: String,
}

/// A platform with mails.
pub(super) async fn platform() -> Fixture {
    with(|_| ()).await
}

async fn with(adjust: impl FnOnce(&mut Config)) -> Fixture {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mails = folder.path().join("mails.txt");
    Fixture::open_with(folder, Arc::new(FakeNode::default()), false, |config| {
        config.people.mail = MailConfig::File(mails).open().unwrap();
        adjust(config);
    })
    .await
}

impl Fixture {
    /// All mails so far.
    async fn mails(&self) -> String {
        self.control.config.people.mail.flushed().await;
        tokio::fs::read_to_string(self.folder.path().join("mails.txt")).await.unwrap_or_default()
    }

    /// The text of the newest mail to `to`.
    async fn mail_to(&self, to: &str) -> String {
        let mails = self.mails().await;
        let to = format!("\nTo: {to}\n");
        let mail = mails.split("\n--\n").filter(|mail| mail.contains(&to)).last();
        mail.unwrap_or_else(|| panic!("no mail{to}in {mails}")).to_owned()
    }

    /// The code in the newest mail to `to`.
    pub(super) async fn code_to(&self, to: &str) -> String {
        let mail = self.mail_to(to).await;
        let code = mail.lines().find(|line| line.starts_with("    ")).unwrap_or_else(|| panic!("{mail}"));
        code.trim().to_owned()
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send_as(Who::Nobody, "POST", path, Some(body)).await
    }

    /// Signs up by a mailed code.
    pub(super) async fn someone(&self, name: &str) -> Someone {
        let email = format!("{name}@example.com");
        let (status, answer) = self.post("/v1/signup/code", json!({"email": email})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let code = self.code_to(&email).await;
        let signup = json!({"email": email, "code": code, "password": PASSWORD, "name": name});
        let (status, answer) = self.post("/v1/signup", signup).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.opened(&email, answer).await
    }

    /// Signs up where nobody has to prove an address.
    pub(super) async fn someone_openly(&self, name: &str) -> Someone {
        let email = format!("{name}@example.com");
        let signup = json!({"email": email, "password": PASSWORD, "name": name});
        let (status, answer) = self.post("/v1/signup", signup).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.opened(&email, answer).await
    }

    async fn opened(&self, email: &str, answer: Value) -> Someone {
        let opened: SessionOpened = serde_json::from_value(answer).unwrap();
        let me = self.as_holder(&opened.session, "GET", "/v1/me", None).await.1;
        Someone {
            id: me["id"].as_str().unwrap().to_owned(),
            name: me["name"].as_str().unwrap().to_owned(),
            email: email.to_owned(),
            session: opened.session,
            namespace: opened.namespace,
        }
    }

    async fn as_holder(
        &self,
        credential: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.send_as(Who::Holder(credential), method, path, body).await
    }

    async fn by(&self, who: &Someone, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let body = (!body.is_null()).then_some(body);
        self.as_holder(&who.session, method, path, body).await
    }

    async fn login(&self, id: &str, password: &str) -> (StatusCode, Value) {
        self.post("/v1/sessions", json!({"id": id, "secret": password})).await
    }

    /// Makes `guest` a member of `host`'s namespace.
    async fn join(&self, host: &Someone, guest: &Someone, role: &str) {
        let invite = json!({"email": guest.email, "role": role});
        let (status, answer) = self.by(host, "POST", "/v1/invitations", invite).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let code = self.code_to(&guest.email).await;
        let (status, answer) = self.by(guest, "POST", "/v1/invitations/accept", json!({"code": code})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

/// Every endpoint of this folder that needs somebody: method, path, and a body that would do.
fn guarded() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("GET", "/v1/me", Value::Null),
        ("PATCH", "/v1/me", json!({"name": "other"})),
        ("DELETE", "/v1/me", json!({"password": PASSWORD})),
        ("POST", "/v1/me/password", json!({"old_password": PASSWORD, "new_password": PASSWORD})),
        ("POST", "/v1/me/email", json!({"email": "new@example.com"})),
        ("PUT", "/v1/me/email", json!({"email": "new@example.com", "old_code": "1", "new_code": "2"})),
        ("POST", "/v1/me/totp", Value::Null),
        ("PUT", "/v1/me/totp", json!({"totp": "123456"})),
        ("DELETE", "/v1/me/totp", json!({"totp": "123456"})),
        ("GET", "/v1/me/identities", Value::Null),
        ("POST", "/v1/me/identities", json!({"redirect_to": "/"})),
        ("DELETE", "/v1/me/identities/x", Value::Null),
        ("POST", "/v1/device/approve", json!({"user_code": "BCDF-GHJK", "namespace": ""})),
        ("GET", "/v1/projects", Value::Null),
        ("POST", "/v1/projects", json!({"name": "shop"})),
        ("DELETE", "/v1/projects/x", Value::Null),
        ("POST", "/v1/projects/x/environments", json!({"name": "staging"})),
        ("DELETE", "/v1/namespaces/x", Value::Null),
        ("GET", "/v1/members", Value::Null),
        ("PUT", "/v1/members/x", json!({"role": "viewer"})),
        ("DELETE", "/v1/members/x", Value::Null),
        ("GET", "/v1/invitations", Value::Null),
        ("POST", "/v1/invitations", json!({"email": "a@example.com", "role": "viewer"})),
        ("DELETE", "/v1/invitations/x", Value::Null),
        ("POST", "/v1/invitations/accept", json!({"code": "x"})),
        ("GET", "/v1/audit", Value::Null),
        ("GET", "/v1/operator/people", Value::Null),
        ("PUT", "/v1/operator/people/x", json!({"blocked": true})),
        ("GET", "/v1/operator/namespaces", Value::Null),
        ("PUT", "/v1/operator/namespaces/x", json!({"blocked": true})),
        ("POST", "/v1/operator/invitations", json!({"email": "a@example.com"})),
        ("GET", "/v1/operator/plans", Value::Null),
        ("GET", "/v1/operator/audit", Value::Null),
    ]
}

#[tokio::test]
async fn nobody_and_a_wrong_credential_get_401_everywhere() {
    let fixture = platform().await;
    let table: Vec<(String, String)> = crate::router::people_endpoints()
        .into_iter()
        .map(|endpoint| (endpoint.method.to_string(), endpoint.path))
        .collect();
    let public = |path: &str| {
        ["/v1/signup", "/v1/reset", "/v1/device", "/v1/oidc"].iter().any(|start| path.starts_with(start))
            && path != "/v1/device/approve"
    };
    for (method, path) in &table {
        let known = guarded().iter().any(|(known, at, _)| {
            let at = at.replace("/x/", "/{id}/").replace("namespaces/x", "namespaces/{namespace}");
            let at = at.strip_suffix("/x").map_or_else(|| at.clone(), |start| format!("{start}/{{id}}"));
            known == method && at == *path
        });
        assert!(public(path) || known, "{method} {path} has no case here");
    }
    for (method, path, body) in guarded() {
        let body = (!body.is_null()).then_some(body);
        for who in [Who::Nobody, Who::Holder("micros_nonsense"), Who::Holder("a.b.c")] {
            let answer = fixture.send_as(who, method, path, body.clone()).await;
            let (code, detail) = error(&answer);
            assert_eq!(code, 401, "{method} {path}: {detail}");
        }
    }
}

#[tokio::test]
async fn the_operators_paths_do_not_exist_for_others() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    for (method, path, body) in guarded().into_iter().filter(|case| case.1.starts_with("/v1/operator")) {
        let (code, detail) = error(&fixture.by(&jane, method, path, body).await);
        assert_eq!((code, detail.as_str()), (404, "no such route"), "{method} {path}");
    }
}

#[tokio::test]
async fn fields_that_are_not_asked_for_are_refused() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    for (method, path, body) in guarded() {
        let Value::Object(mut body) = body else { continue };
        body.insert("operator".to_owned(), json!(true));
        let who = if path.starts_with("/v1/operator") { Who::Local } else { Who::Holder(&jane.session) };
        let answer = fixture.send_as(who, method, path, Some(Value::Object(body))).await;
        let (code, detail) = error(&answer);
        assert!(code == 400 && detail.contains("unknown field `operator`"), "{method} {path}: {detail}");
    }
    for path in ["/v1/signup/code", "/v1/signup", "/v1/signup/check", "/v1/reset/code", "/v1/reset"] {
        let (code, detail) = error(&fixture.post(path, json!({"operator": true, "email": "x"})).await);
        assert!(code == 400 && detail.contains("unknown field"), "{path}: {detail}");
    }
    let me = fixture.by(&jane, "GET", "/v1/me", Value::Null).await.1;
    assert_eq!(me["operator"], false);
}

#[tokio::test]
async fn an_api_key_is_no_person() {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (status, made) = fixture.by(&jane, "POST", "/v1/keys", json!({"description": "ci"})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let key = made["token"].as_str().unwrap();
    assert!(fixture.mail_to(&jane.email).await.contains("An API key was made"), "and its maker is told");
    for (method, path, body) in guarded() {
        let for_people =
            ["/v1/me/", "/v1/projects", "/v1/namespaces", "/v1/device/approve", "/v1/invitations/accept"];
        let own = path == "/v1/me" && method != "GET";
        if !own && !for_people.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        let body = (!body.is_null()).then_some(body);
        let (code, detail) = error(&fixture.as_holder(key, method, path, body).await);
        assert_eq!(code, 403, "{method} {path}: {detail}");
        assert!(detail.contains("micro login"), "{detail}");
    }
    let (_, me) = fixture.as_holder(key, "GET", "/v1/me", None).await;
    assert_eq!((me["credential"].as_str(), me["email"].as_str()), (Some("key"), Some("")));
    assert_eq!(me["namespaces"], json!([]), "it knows no other namespace");
}
