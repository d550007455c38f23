//! Services that run elsewhere.

use super::*;

fn registration(ttl: u32) -> Value {
    json!({
        "name": "go.micro.srv.legacy",
        "nodes": [{"id": "one", "address": "legacy.example.com", "port": 8080}],
        "options": {"ttl": ttl},
    })
}

#[tokio::test]
async fn what_runs_elsewhere_is_registered_and_deregistered() {
    let fixture = Fixture::new().await;
    let (status, answer) = fixture.send("POST", "/v1/registry/services", Some(registration(0))).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    let known = fixture.node.state().externals;
    assert_eq!((known.len(), known[0].service.name.as_str()), (1, "legacy"));
    assert_eq!(known[0].service.nodes[0].address, "legacy.example.com:8080");
    let which = json!({"name": "legacy"});
    let (status, answer) = fixture.send("POST", "/v1/registry/deregister", Some(which.clone())).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    assert!(fixture.node.state().externals.is_empty());
    let gone = error(&fixture.send("POST", "/v1/registry/deregister", Some(which)).await);
    assert_eq!(gone.0, 404);
}

#[tokio::test]
async fn a_node_elsewhere_ends_by_its_time_to_live() {
    let fixture = Fixture::new().await;
    let (status, answer) = fixture.send("POST", "/v1/registry/services", Some(registration(1))).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    assert_eq!(fixture.node.state().externals.len(), 1);
    fixture.node.until("it ends", |state| state.externals.is_empty()).await;
}

#[tokio::test]
async fn a_wrong_definition_is_refused_with_what_to_write() {
    let fixture = Fixture::new().await;
    for (body, said) in [
        (json!({"name": "legacy"}), "1 to 16 nodes"),
        (json!({"name": "legacy", "nodes": [{"address": "legacy"}]}), "no port"),
        (json!({"name": "legacy", "nodes": [{"address": "http://user@host:1"}]}), "is no address"),
        (json!({"name": "legacy", "node": []}), "unknown field"),
    ] {
        let (code, detail) = error(&fixture.send("POST", "/v1/registry/services", Some(body.clone())).await);
        assert_eq!(code, 400, "{body}");
        assert!(detail.contains(said), "{body}: {detail}");
    }
    assert!(fixture.node.state().externals.is_empty());
}
