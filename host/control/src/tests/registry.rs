//! Services that run elsewhere, and what watchers are told.

use futures::StreamExt;
use micro_api::registry::{Action, Change, Changes, Service};

use super::people::Someone;
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

fn change(action: Action, name: &str, revision: &str) -> Change {
    let service = Some(Service { name: name.to_owned(), ..Service::default() });
    Change { action, revision: revision.to_owned(), timestamp: 7, service }
}

/// Reads so many lines of the stream, and hangs up.
async fn watched(fixture: &Fixture, who: &Someone, query: &str, count: usize) -> Vec<Change> {
    let request = Request::get(format!("/v1/registry/watch{query}"))
        .header(header::HOST, "localhost:8081")
        .header(header::AUTHORIZATION, format!("Bearer {}", who.session))
        .header("micro-namespace", &who.namespace)
        .body(Body::empty())
        .unwrap();
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let lines = response.into_body().into_data_stream().take(count);
    lines.map(|line| serde_json::from_slice(&line.unwrap()).unwrap()).collect().await
}

#[tokio::test]
async fn a_watcher_reads_what_is_there_and_goes_on_where_it_was_cut_off() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let answer =
        |reset, ready, revision: &str, changes| Changes { reset, ready, revision: revision.into(), changes };
    fixture.node.set(|state| {
        state.changes.extend([
            answer(true, false, "1-1-a/v", vec![change(Action::Create, "a", "1-1-a/v")]),
            answer(false, true, "1-1", vec![change(Action::Create, "b", "1-1-b/v")]),
            answer(false, true, "1-2", vec![change(Action::Delete, "a", "1-2")]),
            answer(false, true, "1-3", Vec::new()),
        ]);
    });
    let lines = watched(&fixture, &ann, "?service=go.micro.srv.a", 6).await;
    let told: Vec<_> = lines.iter().map(|line| (line.action, line.revision.as_str())).collect();
    assert_eq!(
        told,
        [
            (Action::Reset, ""),
            (Action::Create, "1-1-a/v"),
            (Action::Create, "1-1-b/v"),
            (Action::Ready, "1-1"),
            (Action::Delete, "1-2"),
            (Action::Ready, "1-3"),
        ]
    );
    assert_eq!((lines[1].timestamp, lines[1].service.as_ref().unwrap().name.as_str()), (7, "a"));
    assert!(lines[0].service.is_none() && lines[0].timestamp > 7);
    let asked: Vec<_> =
        fixture.node.state().watches.into_iter().map(|(.., after)| after.unwrap_or_default()).collect();
    assert_eq!(asked[..4], ["", "1-1-a/v", "1-1", "1-2"]);
    let first = fixture.node.state().watches[0].clone();
    assert_eq!(first, (ann.namespace.clone(), "a".to_owned(), None));

    fixture.node.set(|state| {
        state.watches.clear();
        state.changes.push_back(answer(false, true, "1-4", vec![change(Action::Update, "b", "1-4")]));
    });
    let lines = watched(&fixture, &ann, "?after=1-3", 1).await;
    assert_eq!(lines, [change(Action::Update, "b", "1-4")]);
    assert_eq!(
        fixture.node.state().watches[0],
        (ann.namespace.clone(), String::new(), Some("1-3".to_owned()))
    );
}

#[tokio::test]
async fn a_watcher_whose_credential_ends_is_told_no_more() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let request = Request::get("/v1/registry/watch")
        .header(header::HOST, "localhost:8081")
        .header(header::AUTHORIZATION, format!("Bearer {}", ann.session))
        .body(Body::empty())
        .unwrap();
    fixture.node.set(|state| {
        state.changes.push_back(Changes { ready: true, revision: "1-1".into(), ..Changes::default() });
    });
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut lines = response.into_body().into_data_stream();
    assert!(lines.next().await.is_some());
    let (_, sessions) = fixture.send_as(Who::Holder(&ann.session), "GET", "/v1/sessions", None).await;
    let id = sessions[0]["id"].as_str().unwrap().to_owned();
    let (status, _) =
        fixture.send_as(Who::Holder(&ann.session), "DELETE", &format!("/v1/sessions/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(lines.next().await.is_none());
}
