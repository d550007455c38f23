//! Calls that the platform makes by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_api::Error;
use micro_capability::Scope;
use micro_capability::broker::{Call, Deliver};
use micro_capability::client::Codec;

use super::fixture::{PUBLIC, RuleOf, Server, tenant};
use crate::Tenant;

async fn deliver(server: &Server, service: &str, version: &str, endpoint: &str) -> Result<Bytes, Error> {
    let scope = Scope {
        namespace: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        version: version.to_owned(),
    };
    let call = Call {
        scope,
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
        let error = deliver(&server, service, version, "id").await.unwrap_err();
        assert_eq!(error.code, 503, "{service} {version}: {error}");
    }
    let blocked = Tenant { blocked: Some("unpaid".to_owned()), ..tenant(&[PUBLIC]) };
    server.tenants(&[("default", blocked)]);
    let error = deliver(&server, "svc", "latest", "id").await.unwrap_err();
    assert!(error.code == 503 && error.detail.contains("blocked: unpaid"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_the_messages_end() {
    // It answers HTTP and no calls.
    let server = Server::with_web(|_| ()).await;
    assert_eq!(deliver(&server, "web", "latest", "Nobody.Home").await.unwrap_err().code, 404);
}
