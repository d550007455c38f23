use futures::StreamExt;
use micro_api::logs::LogRecord;

use super::*;

fn line(timestamp: i64, message: &str) -> LogRecord {
    LogRecord { timestamp, metadata: BTreeMap::new(), message: message.to_owned() }
}

async fn messages(fixture: &Fixture, path: &str) -> Vec<String> {
    let (status, text) = fixture
        .raw(
            Request::get(path)
                .extension(LocalPeer)
                .header(header::HOST, "localhost")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{text}");
    text.lines().map(|line| serde_json::from_str::<LogRecord>(line).unwrap().message).collect()
}

#[tokio::test]
async fn lines_default_to_fifteen() {
    let fixture = Fixture::new().await;
    fixture.bring_up("helloworld").await;
    fixture.node.set(|state| state.logs = (0..30).map(|n| line(n, &format!("line {n}"))).collect());
    let lines = messages(&fixture, "/v1/services/helloworld/logs").await;
    assert_eq!((lines.len(), lines[0].as_str()), (15, "line 15"));
    assert_eq!(messages(&fixture, "/v1/services/helloworld/logs?lines=2").await, ["line 28", "line 29"]);
    assert_eq!(messages(&fixture, "/v1/services/go.micro.srv.helloworld/logs?lines=1").await, ["line 29"]);
}

#[tokio::test]
async fn a_build_log_shows_when_asked_for_or_when_it_failed() {
    let fixture = Fixture::new().await;
    fixture.run("helloworld").await;
    let job = fixture.claim().await;
    let lines = (1..=20).map(|n| line(n, &format!("error on line {n}"))).collect();
    fixture.db.append_build_log(&job, lines).await.unwrap();
    fixture.node.set(|state| state.logs = vec![line(1, "own")]);
    assert_eq!(messages(&fixture, "/v1/services/helloworld/logs").await, ["own"], "it may still succeed");
    assert_eq!(messages(&fixture, "/v1/services/helloworld/logs?build=true").await.len(), 20);
    assert_eq!(
        messages(&fixture, "/v1/services/helloworld/logs?build=true&lines=1").await,
        ["error on line 20"]
    );
    assert_eq!(messages(&fixture, "/v1/services/helloworld/logs?build=true&since_ms=19").await.len(), 2);
    fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "E0308")).await.unwrap();
    let failed = messages(&fixture, "/v1/services/helloworld/logs").await;
    assert_eq!((failed.len(), failed[0].as_str(), failed[20].as_str()), (21, "error on line 1", "own"));
    // What ran before stays readable after it was killed.
    fixture.send("DELETE", "/v1/services/helloworld", None).await;
    assert_eq!(messages(&fixture, "/v1/services/helloworld/logs?build=true").await.len(), 20);
}

#[tokio::test]
async fn a_build_can_be_followed_to_its_end() {
    let fixture = Fixture::new().await;
    fixture.run("helloworld").await;
    let job = fixture.claim().await;
    fixture.db.append_build_log(&job, vec![line(1, "first")]).await.unwrap();
    let request = Request::get("/v1/services/helloworld/logs?build=true&follow=true")
        .extension(LocalPeer)
        .header(header::HOST, "localhost");
    let response = fixture.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let chunk = body.next().await.unwrap().unwrap();
    assert!(String::from_utf8(chunk.to_vec()).unwrap().contains("first"));
    let (next, ()) = tokio::join!(body.next(), async {
        fixture.db.append_build_log(&job, vec![line(2, "second")]).await.unwrap();
        fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "E0308")).await.unwrap();
    });
    assert!(String::from_utf8(next.unwrap().unwrap().to_vec()).unwrap().contains("second"));
    assert!(body.next().await.is_none(), "the build ended");
}

#[tokio::test]
async fn an_unknown_service_is_not_found() {
    let fixture = Fixture::new().await;
    fixture.run("helloworld").await;
    assert_eq!(error(&fixture.get("/v1/services/orders/logs").await), (404, "service not found".to_owned()));
    assert_eq!(
        error(&fixture.get("/v1/services/helloworl/logs").await),
        (404, "service not found, did you mean `helloworld`?".to_owned())
    );
    assert!(messages(&fixture, "/v1/services/store/logs").await.is_empty(), "the platform's own are known");
}
