//! Every route, asked by nobody, with a credential that proves nothing, by a stranger in another tenant's namespace, and
//! by a member whose role is one too low. A route that is missing here fails the test.

use super::people::Someone;
use super::*;
use crate::router::endpoints;

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    Everybody,
    /// Whoever has a credential.
    Known,
    /// A person, wherever.
    Person,
    Viewer,
    Developer,
    Owner,
    Operator,
}

use For::*;

/// Path parameters are those of the tenant who is attacked.
const ROUTES: &[(&str, &str, For)] = &[
    ("GET", "/v1/version", Everybody),
    ("GET", "/v1/openapi.json", Everybody),
    ("GET", "/v1/jwks", Everybody),
    ("GET", "/v1/signup", Everybody),
    ("POST", "/v1/signup", Everybody),
    ("POST", "/v1/signup/code", Everybody),
    ("POST", "/v1/signup/check", Everybody),
    ("POST", "/v1/reset", Everybody),
    ("POST", "/v1/reset/code", Everybody),
    ("POST", "/v1/sessions", Everybody),
    ("POST", "/v1/auth/token", Everybody),
    ("POST", "/v1/auth/inspect", Everybody),
    ("POST", "/v1/device", Everybody),
    ("POST", "/v1/device/token", Everybody),
    ("POST", "/v1/oidc", Everybody),
    ("POST", "/v1/oidc/finish", Everybody),
    ("POST", "/v1/oidc/factor", Everybody),
    ("GET", "/v1/me", Known),
    ("DELETE", "/v1/sessions/{id}", Known),
    ("PATCH", "/v1/me", Person),
    ("DELETE", "/v1/me", Person),
    ("POST", "/v1/me/password", Person),
    ("POST", "/v1/me/email", Person),
    ("PUT", "/v1/me/email", Person),
    ("POST", "/v1/me/totp", Person),
    ("PUT", "/v1/me/totp", Person),
    ("DELETE", "/v1/me/totp", Person),
    ("GET", "/v1/me/identities", Person),
    ("POST", "/v1/me/identities", Person),
    ("DELETE", "/v1/me/identities/{id}", Person),
    ("GET", "/v1/sessions", Person),
    ("POST", "/v1/device/approve", Person),
    ("GET", "/v1/projects", Person),
    ("POST", "/v1/projects", Person),
    ("DELETE", "/v1/projects/{id}", Person),
    ("POST", "/v1/projects/{id}/environments", Person),
    ("DELETE", "/v1/namespaces/{namespace}", Person),
    ("POST", "/v1/invitations/accept", Person),
    ("GET", "/v1/services", Viewer),
    ("GET", "/v1/services/{name}/logs", Viewer),
    ("GET", "/v1/services/{name}/health", Viewer),
    ("GET", "/v1/services/{name}/stats", Viewer),
    ("GET", "/v1/deployments/{id}", Viewer),
    ("GET", "/v1/registry/services", Viewer),
    ("GET", "/v1/registry/services/{name}", Viewer),
    ("GET", "/v1/registry/watch", Viewer),
    ("POST", "/v1/registry/services", Developer),
    ("POST", "/v1/registry/deregister", Developer),
    ("GET", "/v1/store/databases", Viewer),
    ("GET", "/v1/store/tables", Viewer),
    ("POST", "/v1/store/{table}/read", Viewer),
    ("POST", "/v1/store/{table}/list", Viewer),
    ("POST", "/v1/store/{table}/export", Viewer),
    ("GET", "/v1/broker/groups", Viewer),
    ("GET", "/v1/blobs", Viewer),
    ("GET", "/v1/blobs/object", Viewer),
    ("GET", "/v1/broker/dead", Viewer),
    ("GET", "/v1/events/read", Viewer),
    ("GET", "/v1/events/stream", Viewer),
    ("GET", "/v1/events/groups", Viewer),
    ("GET", "/v1/config", Viewer),
    ("GET", "/v1/config/list", Viewer),
    ("GET", "/v1/config/history", Viewer),
    ("GET", "/v1/config/diff", Viewer),
    ("GET", "/v1/jobs", Viewer),
    ("GET", "/v1/jobs/runs", Viewer),
    ("GET", "/v1/keys", Viewer),
    ("POST", "/v1/keys", Viewer),
    ("DELETE", "/v1/keys/{id}", Viewer),
    ("GET", "/v1/auth/rules", Viewer),
    ("GET", "/v1/members", Viewer),
    ("DELETE", "/v1/members/{id}", Viewer),
    ("GET", "/v1/limits", Viewer),
    ("GET", "/v1/usage", Viewer),
    ("GET", "/v1/billing", Viewer),
    ("POST", "/v1/services", Developer),
    ("PUT", "/v1/services", Developer),
    ("DELETE", "/v1/services/{name}", Developer),
    ("POST", "/v1/jobs/run", Developer),
    ("POST", "/v1/uploads", Developer),
    ("POST", "/v1/store/{table}/write", Developer),
    ("POST", "/v1/store/{table}/delete", Developer),
    ("POST", "/v1/store/{table}/import", Developer),
    ("PUT", "/v1/blobs/object", Developer),
    ("DELETE", "/v1/blobs/object", Developer),
    ("POST", "/v1/blobs/url", Developer),
    ("POST", "/v1/broker/publish", Developer),
    ("DELETE", "/v1/broker/groups", Developer),
    ("POST", "/v1/broker/redrive", Developer),
    ("POST", "/v1/broker/discard", Developer),
    ("POST", "/v1/events/publish", Developer),
    ("POST", "/v1/events/consume", Developer),
    ("POST", "/v1/events/ack", Developer),
    ("POST", "/v1/config/set", Developer),
    ("POST", "/v1/config/delete", Developer),
    ("POST", "/v1/config/secret", Developer),
    ("POST", "/v1/config/restore", Developer),
    ("POST", "/v1/config/clone", Developer),
    ("GET", "/v1/auth/accounts", Owner),
    ("POST", "/v1/auth/accounts", Owner),
    ("DELETE", "/v1/auth/accounts/{id}", Owner),
    ("POST", "/v1/auth/rules", Owner),
    ("DELETE", "/v1/auth/rules/{id}", Owner),
    ("PUT", "/v1/members/{id}", Owner),
    ("GET", "/v1/invitations", Owner),
    ("POST", "/v1/invitations", Owner),
    ("DELETE", "/v1/invitations/{id}", Owner),
    ("GET", "/v1/audit", Owner),
    ("GET", "/v1/operator/people", Operator),
    ("PUT", "/v1/operator/people/{id}", Operator),
    ("GET", "/v1/operator/namespaces", Operator),
    ("PUT", "/v1/operator/namespaces/{namespace}", Operator),
    ("POST", "/v1/operator/invitations", Operator),
    ("GET", "/v1/operator/plans", Operator),
    ("GET", "/v1/operator/audit", Operator),
];

#[test]
fn every_route_has_its_case() {
    let mut listed: Vec<_> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let mut served: Vec<_> =
        endpoints().iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    listed.sort();
    served.sort();
    assert_eq!(served, listed, "add the route to ROUTES, with who it is for");
}

/// A body that every record accepts far enough to be refused for who asks, not for what it says: who asks comes first.
fn body(method: &str) -> Option<Value> {
    (method != "GET").then(|| json!({}))
}

fn filled(path: &str, of: &Someone, deployment: &str) -> String {
    let id = if path.starts_with("/v1/deployments") { deployment } else { of.id.as_str() };
    path.replace("{id}", id)
        .replace("{name}", "secret-service")
        .replace("{table}", "secret-table")
        .replace("{namespace}", &of.namespace)
}

/// Nothing of the attacked tenant may stand in an answer.
fn assert_silent(of: &Someone, what: &str, answer: &Value) {
    let text = answer.to_string();
    for secret in [of.email.as_str(), of.name.as_str(), "secret-commit", "secret-project"] {
        assert!(!text.contains(secret), "{what} tells `{secret}`: {text}");
    }
}

#[tokio::test]
async fn nobody_and_nothing_gets_in() {
    let fixture = people::platform().await;
    let victim = fixture.someone("victoria").await;
    for (method, path, who_for) in ROUTES.iter().filter(|(.., who_for)| *who_for != Everybody) {
        let target = filled(path, &victim, "x");
        for (who, name) in [
            (Who::Nobody, "nobody"),
            (Who::Holder("nonsense"), "nonsense"),
            (Who::Holder("micro_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "a key of nobody's"),
        ] {
            let (status, answer) = fixture.send_as(who, method, &target, body(method)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} for {who_for:?}, {name}: {answer}");
            assert_silent(&victim, path, &answer);
        }
    }
}

#[tokio::test]
async fn a_stranger_finds_nothing_in_another_tenants_namespace() {
    let fixture = people::platform().await;
    let victim = fixture.someone("victoria").await;
    let stranger = fixture.someone("mallory").await;
    let request = Some(json!(RunRequest { version: "latest".into(), ..request("secret-service") }));
    let who = Who::In(&victim.session, &victim.namespace);
    let (status, made) = fixture.send_as(who, "POST", "/v1/services", request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    let deployment = made["id"].as_str().unwrap().to_owned();
    let key = json!({"description": "mine"});
    let own = Who::In(&stranger.session, &stranger.namespace);
    let (_, made) = fixture.send_as(own, "POST", "/v1/keys", Some(key)).await;
    let key = made["token"].as_str().unwrap().to_owned();
    for (method, path, who_for) in ROUTES {
        let target = filled(path, &victim, &deployment);
        // Into the victim's namespace, by a session that could be anywhere, and by a key that is elsewhere's.
        for (who, name) in [
            (Who::In(&stranger.session, &victim.namespace), "session"),
            (Who::In(&key, &victim.namespace), "key"),
        ] {
            let (status, answer) = fixture.send_as(who, method, &target, body(method)).await;
            assert_silent(&victim, path, &answer);
            match who_for {
                Everybody | Known | Person if name == "session" => {}
                Everybody => {
                    assert!(status.is_client_error() || *method == "GET", "{method} {path}: {status}")
                }
                // The key names its own namespace, so the disagreement is told; nothing is looked up.
                _ if name == "key" => assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}"),
                _ => assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path} for {who_for:?}: {answer}"),
            }
        }
        // With the victim's ids, from the stranger's own namespace.
        if path.contains('{') {
            let (status, answer) = fixture.send_as(own, method, &target, body(method)).await;
            let gone = status == StatusCode::NOT_FOUND
                || status == StatusCode::BAD_REQUEST
                // The store's tables are the stranger's own: empty.
                || (path.starts_with("/v1/store") && !answer.to_string().contains("secret"))
                || (path.ends_with("/logs") && status.is_client_error());
            assert!(gone, "{method} {path} for {who_for:?}: {status} {answer}");
            assert_silent(&victim, path, &answer);
        }
    }
}

#[tokio::test]
async fn a_role_that_is_too_low_is_told_which_one_is_needed() {
    let fixture = people::platform().await;
    let owner = fixture.someone("olivia").await;
    for (role, needed) in [("viewer", Developer), ("developer", Owner), ("owner", Operator)] {
        let who = Who::In(&owner.session, &owner.namespace);
        let wish = json!({"description": role, "scopes": [role]});
        let (status, made) = fixture.send_as(who, "POST", "/v1/keys", Some(wish)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let key = made["token"].as_str().unwrap();
        for (method, path, _) in ROUTES.iter().filter(|(.., who_for)| *who_for == needed) {
            let target = filled(path, &owner, "x");
            let (status, answer) = fixture.send_as(Who::Holder(key), method, &target, body(method)).await;
            if needed == Operator {
                assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path} as {role}: {answer}");
            } else {
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} as {role}: {answer}");
                let detail = answer["detail"].as_str().unwrap();
                assert!(detail.contains("needs the role"), "{detail}");
            }
        }
    }
}
