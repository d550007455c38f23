//! Calls between services of a namespace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_api::Error;
use micro_capability::client::{CallOptions, CallOrigin, Caller, Codec, Selector};
use micro_capability::{Account, Context, Scope};

use super::fixture::{DEFAULT, PUBLIC, RuleOf, Server, tenant};
use crate::Tenant;

/// A call of `svc` in namespace `default` by the service `web` there, itself called by `account`.
async fn call(server: &Server, account: Option<Account>) -> Result<Bytes, Error> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let context = Context {
        account,
        metadata: Vec::new(),
        deadline,
        traceparent: String::new(),
        request_id: "request".to_owned(),
    };
    let scope = Scope {
        namespace: "default".parse().unwrap(),
        service: "web".parse().unwrap(),
        version: "latest".to_owned(),
    };
    let origin = CallOrigin { scope, context: Arc::new(context) };
    let options = CallOptions {
        metadata: Vec::new(),
        deadline,
        version: None,
        labels: Vec::new(),
        selector: Selector::default(),
    };
    let service = "svc".parse().unwrap();
    server.dispatcher.call(origin, service, "id".to_owned(), Codec::Json, Bytes::new(), options).await
}

fn account(issuer: &str) -> Option<Account> {
    Some(Account {
        id: "ann".to_owned(),
        kind: "user".to_owned(),
        issuer: issuer.to_owned(),
        scopes: vec!["viewer".to_owned()],
    })
}

#[tokio::test]
async fn the_rules_are_asked_about_who_called_first() {
    let server = Server::start(|_| ()).await;
    let denied: RuleOf<'_> = ("viewer", "service:svc:*", 1, false);
    let granted: RuleOf<'_> = ("viewer", "*:*:*", 0, true);
    for (rules, by_itself, for_ann) in [
        (vec![DEFAULT], 200, 200),
        (vec![PUBLIC], 200, 200),
        (vec![DEFAULT, denied], 200, 403),
        (vec![granted], 403, 200),
        (vec![], 403, 403),
    ] {
        server.tenants(&[("default", tenant(&rules))]);
        let code = |result: Result<Bytes, Error>| result.map_or_else(|error| error.code, |_| 200);
        assert_eq!(code(call(&server, None).await), by_itself, "{rules:?}");
        assert_eq!(code(call(&server, account("default")).await), for_ann, "{rules:?}");
        // A stranger whom the calling service lets in is to it as somebody without an account.
        assert_eq!(code(call(&server, account("acme")).await), by_itself, "{rules:?}");
    }
    let refused = call(&server, None).await.unwrap_err();
    assert!(refused.detail.starts_with("Forbidden call made to svc:id by web"), "{refused}");
}

#[tokio::test]
async fn the_callee_sees_who_called_first_and_not_the_service_in_its_place() {
    let server = Server::start(|_| ()).await;
    server.tenants(&[("default", tenant(&[DEFAULT]))]);
    assert_eq!(call(&server, account("default")).await.unwrap(), "ann");
    assert_eq!(call(&server, account("acme")).await.unwrap(), "ann");
    assert_eq!(call(&server, None).await.unwrap(), "", "nobody signed in");
}

#[tokio::test]
async fn services_of_a_blocked_namespace_call_nobody() {
    let server = Server::start(|_| ()).await;
    let blocked = Tenant { blocked: Some("unpaid".to_owned()), ..tenant(&[PUBLIC]) };
    server.tenants(&[("default", blocked)]);
    let refused = call(&server, None).await.unwrap_err();
    assert!(refused.code == 403 && refused.detail.contains("blocked: unpaid"), "{refused}");
}
