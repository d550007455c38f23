//! Calls that the platform makes by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_api::Error;
use micro_capability::Scope;
use micro_capability::broker::{Call, Deliver, Undelivered};
use micro_capability::client::Codec;

use super::fixture::{PUBLIC, RuleOf, Server, tenant};
use crate::{Exceeded, Tenant};

fn scope(service: &str, version: &str) -> Scope {
    Scope {
        namespace: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        version: version.to_owned(),
    }
}

async fn deliver(
    server: &Server,
    service: &str,
    version: &str,
    endpoint: &str,
) -> Result<Bytes, Undelivered> {
    let call = Call {
        scope: scope(service, version),
        endpoint: endpoint.to_owned(),
        codec: Codec::Json,
        request: Bytes::new(),
        metadata: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(5),
        traceparent: String::new(),
        request_id: "message".to_owned(),
    };
    server.dispatcher.deliver(call).await
}

/// What a delivery failed with.
async fn failed(server: &Server, service: &str, version: &str, endpoint: &str) -> Error {
    match deliver(server, service, version, endpoint).await.unwrap_err() {
        Undelivered::Failed(error) => error,
        Undelivered::Waits(error) => panic!("it waits: {error}"),
    }
}

#[tokio::test]
async fn a_subscriber_is_reached_whatever_the_rules_say() {
    let server = Server::start(|_| ()).await;
    let denied: RuleOf<'_> = ("*", "service:svc:*", 9, false);
    for rules in [vec![], vec![denied], vec![PUBLIC]] {
        server.tenants(&[("default", tenant(&rules))]);
        assert_eq!(deliver(&server, "svc", "latest", "id").await.unwrap(), "", "nobody's account: {rules:?}");
    }
}

#[tokio::test]
async fn whoever_cannot_be_called_now_may_be_later() {
    let server = Server::start(|_| ()).await;
    for (service, version) in [("none", "latest"), ("svc", "v9")] {
        let error = failed(&server, service, version, "id").await;
        assert_eq!(error.code, 503, "{service} {version}: {error}");
    }
    let blocked = Tenant { blocked: Some("unpaid".to_owned()), ..tenant(&[PUBLIC]) };
    server.tenants(&[("default", blocked)]);
    let waits = deliver(&server, "svc", "latest", "id").await.unwrap_err();
    let Undelivered::Waits(error) = waits else { panic!("{waits}") };
    assert!(error.detail.contains("blocked: unpaid"), "{error}");
    // Nor is anything taken for it meanwhile.
    assert_eq!(server.dispatcher.ready(&scope("svc", "latest")).unwrap_err(), error);
    server.tenants(&[("default", tenant(&[PUBLIC]))]);
    server.dispatcher.ready(&scope("svc", "latest")).unwrap();
    deliver(&server, "svc", "latest", "id").await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_the_messages_end() {
    // It answers HTTP and no calls.
    let server = Server::with_web(|_| ()).await;
    assert_eq!(failed(&server, "web", "latest", "Nobody.Home").await.code, 404);
}

#[tokio::test]
async fn a_delivery_counts_as_a_request_and_waits_when_these_are_used_up() {
    let server = Server::with_web(|_| ()).await;
    let ready = || server.dispatcher.ready(&scope("svc", "latest"));
    ready().unwrap();
    deliver(&server, "svc", "latest", "id").await.unwrap();
    failed(&server, "web", "latest", "Nobody.Home").await;
    failed(&server, "none", "latest", "id").await;
    assert_eq!(*server.budget.counted.lock(), ["default/svc"], "what is not there costs nothing");

    let used_up = Exceeded {
        limit: "requests_per_month",
        max: 3,
        resets_ms: Some(1_796_083_200_000),
        what_to_do: "wait until then".to_owned(),
    };
    *server.budget.used_up.lock() = Some(used_up);
    let waits = deliver(&server, "svc", "latest", "id").await.unwrap_err();
    let Undelivered::Waits(error) = waits else { panic!("{waits}") };
    let wanted = "limit: requests_per_month: the 3 of the namespace's plan are used up until \
                  2026-12-01T00:00:00Z: wait until then";
    assert_eq!((error.code, error.detail.as_str()), (429, wanted));
    assert_eq!(ready().unwrap_err().detail, wanted);
    // What is no good does not wait.
    assert_eq!(failed(&server, "web", "latest", "Nobody.Home").await.code, 404);

    *server.budget.used_up.lock() = None;
    ready().unwrap();
    deliver(&server, "svc", "latest", "id").await.unwrap();
    assert_eq!(server.budget.counted.lock().len(), 2, "asking counts nothing");
}
