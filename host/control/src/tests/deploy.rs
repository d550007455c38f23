use super::*;

async fn rows(fixture: &Fixture) -> Vec<(String, String)> {
    let (_, rows) = fixture.get("/v1/services").await;
    let cell = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (cell(row, "name"), cell(row, "status"))).collect()
}

fn pair(name: &str, status: &str) -> (String, String) {
    (name.to_owned(), status.to_owned())
}

#[tokio::test]
async fn services_come_by_pages() {
    let fixture = Fixture::without_tasks().await;
    for name in ["ape", "bee", "cat"] {
        fixture.run(name).await;
    }
    let page = async |query: &str| {
        let (status, rows) = fixture.get(&format!("/v1/services{query}")).await;
        assert_eq!(status, StatusCode::OK, "{rows}");
        let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(page("").await, ["ape", "bee", "cat"]);
    assert_eq!(page("?limit=2").await, ["ape", "bee"]);
    assert_eq!(page("?limit=2&after=bee:latest").await, ["cat"]);
    assert_eq!(page("?after=cat:latest").await, [""; 0]);
    for limit in ["0", "1001"] {
        let refused = fixture.get(&format!("/v1/services?limit={limit}")).await;
        assert_eq!(error(&refused), (400, "`limit` is 1 to 1000".to_owned()));
    }
}

#[tokio::test]
async fn run_update_kill() {
    let fixture = Fixture::new().await;
    let first = fixture.run("helloworld").await;
    fixture.builder.notified().await;
    assert_eq!(rows(&fixture).await, [pair("helloworld", "pending")]);
    fixture.build_service().await;
    fixture.until(&first.id, DeploymentState::Running).await;
    assert_eq!(fixture.node.state().routed, [first.id.as_str()], "routed before it says running");
    let (_, status) = fixture.get("/v1/services?name=helloworld&version=latest").await;
    let row = &status[0];
    assert_eq!(row["source"], "git.invalid/helloworld");
    assert_eq!(row["build"], "");
    assert_eq!(row["metadata"], json!({"group": "n/a", "owner": "n/a"}));
    assert_eq!(fixture.get("/v1/services?version=other").await.1, json!([]));

    let again = fixture.send("POST", "/v1/services", Some(json!(request("helloworld")))).await;
    assert_eq!(error(&again), (409, "service already running".to_owned()));

    let second = fixture.update("helloworld").await;
    assert_eq!(rows(&fixture).await, [pair("helloworld", "pending")]);
    fixture.build_service().await;
    fixture.until(&second.id, DeploymentState::Running).await;
    fixture.until(&first.id, DeploymentState::Superseded).await;
    let state = fixture.node.state();
    assert_eq!(state.routed, [second.id.as_str()]);
    let order = |call: &str| state.calls.iter().rposition(|known| known == call).unwrap();
    assert!(order(&format!("start {}", second.id)) < order(&format!("publish {}", second.id)));
    assert!(order(&format!("publish {}", second.id)) < order(&format!("drain {}", first.id)));
    let served = state.history.iter().skip_while(|routed| routed.is_empty());
    assert!(
        served.into_iter().all(|routed| routed.len() == 1),
        "never none, never both: {:?}",
        state.history
    );

    let (status, killed) = fixture.send("DELETE", "/v1/services/helloworld", None).await;
    assert_eq!((status, killed["id"].as_str()), (StatusCode::OK, Some(second.id.as_str())));
    assert!(fixture.node.state().routed.is_empty(), "when kill answers, nothing is routed");
    assert_eq!(rows(&fixture).await, []);
    fixture.until(&second.id, DeploymentState::Stopped).await;
    fixture.node.until("drained", |state| state.calls.contains(&format!("drain {}", second.id))).await;
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let fixture = Fixture::new().await;
    fixture.bring_up("helloworld").await;
    let update = fixture.send("PUT", "/v1/services", Some(json!(request("orders")))).await;
    assert_eq!(error(&update), (404, "orders:latest is not running: start it with `micro run`".to_owned()));
    let kill = fixture.send("DELETE", "/v1/services/helloword", None).await;
    assert_eq!(error(&kill), (404, "helloword:latest is not running, did you mean `helloworld`?".to_owned()));
    let kill = fixture.send("DELETE", "/v1/services/helloworld?version=v2", None).await;
    assert_eq!(error(&kill), (404, "helloworld:v2 is not running".to_owned()));
}

#[tokio::test]
async fn the_name_of_the_source_will_do() {
    let fixture = Fixture::new().await;
    fixture.run("hello-src").await;
    let job = fixture.claim().await;
    fixture.db.resolved(&job, &"helloworld".parse().unwrap(), "latest", Some("9342934e6180")).await.unwrap();
    let (_, status) = fixture.get("/v1/services?name=hello-src").await;
    assert_eq!(
        (status[0]["name"].as_str(), status[0]["build"].as_str()),
        (Some("helloworld"), Some("9342934e6180"))
    );
    assert_eq!(fixture.get("/v1/services/hello-src/logs").await.0, StatusCode::OK);
    let again = fixture.send("POST", "/v1/services", Some(json!(request("hello-src")))).await;
    assert_eq!(error(&again).0, 409);
    let (_, killed) = fixture.send("DELETE", "/v1/services/hello-src", None).await;
    assert_eq!(killed["service"], "helloworld");
}

#[tokio::test]
async fn a_failed_build_shows() {
    let fixture = Fixture::new().await;
    let deployment = fixture.run("helloworld").await;
    fixture.fail_build("error[E0308]: mismatched types\n --> src/lib.rs:7:5").await;
    let failed = fixture.until(&deployment.id, DeploymentState::Failed).await;
    assert_eq!(failed.error.unwrap().detail.lines().count(), 2);
    let (_, status) = fixture.get("/v1/services").await;
    assert_eq!(status[0]["status"], "error");
    assert_eq!(status[0]["metadata"]["error"], "error[E0308]: mismatched types");
    // It may be run again, and be killed.
    let again = fixture.run("helloworld").await;
    fixture.build_service().await;
    fixture.until(&again.id, DeploymentState::Running).await;
    // A failed update leaves what runs, and says so.
    fixture.update("helloworld").await;
    fixture.fail_build("boom").await;
    let (_, status) = fixture.get("/v1/services").await;
    assert_eq!(
        (status[0]["status"].as_str(), status[0]["deployment"].as_str()),
        (Some("running"), Some(again.id.as_str()))
    );
    assert_eq!(status[0]["metadata"]["error"], "boom");
    assert_eq!(fixture.node.state().routed, [again.id.as_str()]);
}

#[tokio::test]
async fn a_start_is_tried_again_and_then_fails() {
    let fixture = Fixture::new().await;
    let error = || Err(micro_api::Error::internal("runtime", "out of memory"));
    fixture.node.set(|state| state.starts = [error(), error(), Ok(())].into());
    let lucky = fixture.bring_up("lucky").await;
    let (_, status) = fixture.get("/v1/services?name=lucky").await;
    assert_eq!(status[0]["metadata"]["retries"], "2");
    fixture.node.set(|state| state.starts = [error(), error(), error()].into());
    let unlucky = fixture.run("unlucky").await;
    fixture.build_service().await;
    let failed = fixture.until(&unlucky.id, DeploymentState::Failed).await;
    assert_eq!(failed.error.unwrap().detail, "out of memory");
    assert_eq!(failed.stages.last().unwrap().stage, Stage::Start);
    assert_eq!(fixture.node.state().routed, [lucky.id.as_str()]);
}

#[tokio::test]
async fn what_cannot_be_routed_fails_and_disturbs_nobody() {
    let fixture = Fixture::new().await;
    let good = fixture.bring_up("good").await;
    let bad = fixture.run("bad").await;
    fixture.node.set(|state| state.unservable.extend([bad.id.clone()]));
    fixture.build_service().await;
    let failed = fixture.until(&bad.id, DeploymentState::Failed).await;
    assert_eq!(failed.error.unwrap().detail, "its code is gone");
    assert_eq!(fixture.node.state().routed, [good.id.as_str()]);
}

#[tokio::test]
async fn a_kill_while_it_starts_wins() {
    let fixture = Fixture::new().await;
    fixture.node.set(|state| state.hang = true);
    let deployment = fixture.run("helloworld").await;
    fixture.build_service().await;
    fixture.node.until("starting", |state| state.calls.iter().any(|call| call.starts_with("start"))).await;
    fixture.until(&deployment.id, DeploymentState::Starting).await;
    fixture.send("DELETE", "/v1/services/helloworld", None).await;
    fixture.until(&deployment.id, DeploymentState::Stopped).await;
    assert!(fixture.node.state().routed.is_empty());
}

#[tokio::test]
async fn a_revision_that_is_gone_is_said_to_be() {
    let fixture = Fixture::new().await;
    let deployment = fixture.run("helloworld").await;
    let job = fixture.claim().await;
    fixture.db.complete(&job, &micro_artifact::Digest::of(b"never stored")).await.unwrap();
    let failed = fixture.until(&deployment.id, DeploymentState::Failed).await;
    assert_eq!(failed.error.unwrap().detail, "the build's result is gone or damaged: update it again");
}

#[tokio::test]
async fn a_revision_that_cannot_be_read_yet_is_tried_again() {
    let fixture = Fixture::without_tasks().await;
    let waits = fixture.run("waits").await;
    fixture.build_service().await;
    let record = fixture.db.work("node").await.unwrap().start.remove(0);
    let revision: micro_artifact::Digest = record.deployment.revision.unwrap().parse().unwrap();
    let path = fixture.folder.path().join("artifacts").join(revision.hex());
    let aside = fixture.folder.path().join("aside");
    // What is there is no answer of the store.
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let fixture = fixture.restart().await;
    fixture.bring_up("other").await;
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    fixture.until(&waits.id, DeploymentState::Running).await;
}

#[tokio::test]
async fn a_restart_takes_up_where_it_was() {
    let fixture = Fixture::new().await;
    let running = fixture.bring_up("running").await;
    let starting = fixture.run("starting").await;
    fixture.node.set(|state| state.hang = true);
    fixture.build_service().await;
    fixture.until(&starting.id, DeploymentState::Starting).await;
    let queued = fixture.run("queued").await;

    let fixture = fixture.restart().await;
    fixture.until(&starting.id, DeploymentState::Running).await;
    fixture.build_service().await;
    fixture.until(&queued.id, DeploymentState::Running).await;
    let state = fixture.node.state();
    assert_eq!(
        state.history.first().map(|routed| routed.contains(&running.id)),
        Some(true),
        "routed first of all"
    );
    assert_eq!(state.routed.len(), 3);
}

#[tokio::test]
async fn a_restart_without_the_artifact_fails_that_service_only() {
    let fixture = Fixture::new().await;
    let good = fixture.bring_up("good").await;
    let bad = fixture.bring_up("bad").await;
    let Fixture { folder, .. } = fixture;
    let node = Arc::new(FakeNode::default());
    node.set(|state| state.unservable.extend([bad.id.clone()]));
    let fixture = Fixture::open(folder, node, true).await;
    fixture.until(&bad.id, DeploymentState::Failed).await;
    assert_eq!(fixture.node.state().routed, [good.id.as_str()]);
}

#[tokio::test]
async fn a_wait_ends_with_a_change_or_its_time() {
    let fixture = Fixture::new().await;
    let deployment = fixture.run("helloworld").await;
    let path = format!("/v1/deployments/{}?wait_ms=20&seen={}", deployment.id, deployment.updated_ms);
    let (_, same) = fixture.get(&path).await;
    assert_eq!(same["updated_ms"], deployment.updated_ms);
    let path = format!("/v1/deployments/{}?wait_ms=20000&seen={}", deployment.id, deployment.updated_ms);
    let started = std::time::Instant::now();
    let (waited, job) = tokio::join!(fixture.get(&path), fixture.build_service());
    assert_eq!(job.deployment, deployment.id);
    assert_ne!(waited.1["updated_ms"], deployment.updated_ms);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Where the log of one test goes.
#[derive(Clone, Default)]
struct Captured(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_server_says_what_it_was_asked() {
    let log = Captured::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::without_tasks().await;
    fixture.run("helloworld").await;
    fixture.update("helloworld").await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter_map(|line| line.trim_start().strip_prefix("INFO ")).collect();
    assert_eq!(
        lines,
        [
            "Creating service helloworld version latest source git.invalid/helloworld",
            "Processing create event helloworld:latest",
            "Updating service helloworld version latest source git.invalid/helloworld",
            "Processing update event helloworld:latest in namespace default",
        ]
    );
}

#[tokio::test]
async fn what_another_node_starts_is_left_to_it() {
    let fixture = Fixture::without_tasks().await;
    let elsewhere = Elsewhere::begin(&fixture.db).await;
    let theirs = fixture.run("theirs").await;
    fixture.build_service().await;
    let record = fixture.db.work("elsewhere").await.unwrap().start.remove(0);
    let record = fixture.db.take(&record, "elsewhere").await.unwrap().expect("it is free");
    let record = fixture.db.starting(&record).await.unwrap();

    let Fixture { folder, .. } = fixture;
    let fixture = Fixture::open(folder, Arc::new(FakeNode::default()), true).await;
    let ours = fixture.bring_up("ours").await;
    let start = format!("start {}", theirs.id);
    assert!(!fixture.node.state().calls.contains(&start), "the other node starts it");
    fixture.db.running(&record, false).await.unwrap();
    let both = |state: &node::State| state.routed.contains(&theirs.id) && state.routed.contains(&ours.id);
    fixture.node.until("this node routes to it too", both).await;
    assert!(!fixture.node.state().calls.contains(&start));
    // Its own node drains what is killed here, and writes down that it has stopped.
    fixture.send("DELETE", "/v1/services/theirs", None).await;
    assert!(!fixture.node.state().routed.contains(&theirs.id));
    let drained = format!("drain {}", theirs.id);
    fixture.node.until("drained here too", |state| state.calls.contains(&drained)).await;
    let stopping = fixture.db.deployment_by_id(&theirs.id).await.unwrap().unwrap();
    assert_eq!(stopping.deployment.state, DeploymentState::Stopping);
    elsewhere.end().await;
    fixture.until(&theirs.id, DeploymentState::Stopped).await;
}

#[tokio::test]
async fn a_service_that_another_node_may_serve_has_not_failed() {
    let fixture = Fixture::new().await;
    let _elsewhere = Elsewhere::begin(&fixture.db).await;
    let bad = fixture.bring_up("bad").await;
    let Fixture { folder, .. } = fixture;
    let node = Arc::new(FakeNode::default());
    node.set(|state| state.unservable.extend([bad.id.clone()]));
    let fixture = Fixture::open(folder, node, true).await;
    fixture.bring_up("good").await;
    let record = fixture.db.deployment_by_id(&bad.id).await.unwrap().unwrap();
    assert_eq!(record.deployment.state, DeploymentState::Running);
    // It is tried again.
    fixture.node.set(|state| state.unservable.clear());
    fixture.node.until("it serves here too", |state| state.routed.contains(&bad.id)).await;
}
