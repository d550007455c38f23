use super::*;

async fn run_job(fixture: &Fixture) -> Deployment {
    let deployment = fixture.run("batch").await;
    fixture.build_job().await;
    deployment
}

#[tokio::test]
async fn a_job_that_ends_well_is_stopped() {
    let fixture = Fixture::new().await;
    fixture.node.set(|state| state.jobs = [Ok(0)].into());
    let deployment = run_job(&fixture).await;
    let mut seen = 0;
    loop {
        let (_, answer) =
            fixture.get(&format!("/v1/deployments/{}?wait_ms=5000&seen={seen}", deployment.id)).await;
        let now: Deployment = serde_json::from_value(answer).unwrap();
        if now.state == DeploymentState::Stopped {
            break;
        }
        seen = now.updated_ms;
    }
    let (_, status) = fixture.get("/v1/services").await;
    assert_eq!(status[0]["status"], "stopped");
    assert!(fixture.node.state().history.iter().all(|routed| routed.is_empty()), "nothing can call a job");
    fixture.node.set(|state| state.jobs = [Ok(0)].into());
    run_job(&fixture).await;
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again() {
    let fixture = Fixture::new().await;
    fixture
        .node
        .set(|state| state.jobs = [Ok(3), Err(micro_api::Error::internal("batch", "trap")), Ok(7)].into());
    let deployment = run_job(&fixture).await;
    let failed = loop {
        let (_, answer) = fixture.get(&format!("/v1/deployments/{}", deployment.id)).await;
        let now: Deployment = serde_json::from_value(answer).unwrap();
        if now.state == DeploymentState::Failed {
            break now;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(failed.error.unwrap().detail, "the job ended with exit code 7");
    let runs = fixture.node.state().calls.iter().filter(|call| call.starts_with("job")).count();
    assert_eq!(runs, 3, "once, and two retries");
}

#[tokio::test]
async fn a_job_with_a_schedule_waits_for_it() {
    let fixture = Fixture::new().await;
    let deployment = fixture.run("batch").await;
    let schedule = micro_api::manifest::Schedule { cron: "@daily".to_owned(), ..Default::default() };
    let settings = Manifest { schedule: vec![schedule], ..Manifest::default() };
    fixture.build_with(Exports { run: Some(Wasi::P2), ..Exports::default() }, settings).await;
    fixture.until(&deployment.id, DeploymentState::Running).await;
    let state = fixture.node.state();
    assert!(state.calls.iter().all(|call| !call.starts_with("job")), "it is not started: {:?}", state.calls);
    let published = state.history.last().unwrap();
    assert!(published.contains(&deployment.id), "its schedules count: {published:?}");
}

#[tokio::test]
async fn kill_ends_a_job() {
    let fixture = Fixture::new().await;
    let deployment = run_job(&fixture).await;
    fixture.until(&deployment.id, DeploymentState::Running).await;
    fixture.node.until("the job runs", |state| state.calls.iter().any(|call| call.starts_with("job"))).await;
    fixture.send("DELETE", "/v1/services/batch", None).await;
    fixture.node.until("the job ended", |state| state.dropped == [deployment.id.clone()]).await;
    fixture.until(&deployment.id, DeploymentState::Stopped).await;
}

#[tokio::test]
async fn a_job_runs_again_after_a_restart_as_often_as_it_may() {
    let mut fixture = Fixture::new().await;
    let deployment = run_job(&fixture).await;
    fixture.until(&deployment.id, DeploymentState::Running).await;
    for _ in 0..2 {
        fixture
            .node
            .until("the job runs", |state| state.calls.iter().any(|call| call.starts_with("job")))
            .await;
        fixture = fixture.restart().await;
    }
    fixture.node.until("the job runs", |state| state.calls.iter().any(|call| call.starts_with("job"))).await;
    fixture = fixture.restart().await;
    let failed = loop {
        let (_, answer) = fixture.get(&format!("/v1/deployments/{}", deployment.id)).await;
        let now: Deployment = serde_json::from_value(answer).unwrap();
        if now.state == DeploymentState::Failed {
            break now;
        }
        tokio::task::yield_now().await;
    };
    assert!(failed.error.unwrap().detail.contains("its retries are used up"));
}

/// How often a node was asked to run a job.
fn job_runs(state: &node::State) -> usize {
    state.calls.iter().filter(|call| call.starts_with("job")).count()
}

/// Makes a job that waits, or runs, the one of a node that only writes rows.
async fn give_to(fixture: &Fixture, other: &str) {
    let work = fixture.db.work(other).await.unwrap();
    for record in work.start {
        let record = fixture.db.take(&record, other).await.unwrap().expect("it is free");
        let record = fixture.db.starting(&record).await.unwrap();
        fixture.db.running(&record, true).await.unwrap();
    }
    for record in work.jobs {
        fixture.db.take(&record, other).await.unwrap().expect("it is free");
    }
}

#[tokio::test]
async fn a_job_of_another_node_is_taken_over_when_that_node_is_gone() {
    let fixture = Fixture::without_tasks().await;
    let elsewhere = Elsewhere::begin(&fixture.db).await;
    let deployment = run_job(&fixture).await;
    give_to(&fixture, "elsewhere").await;

    let Fixture { folder, .. } = fixture;
    let fixture = Fixture::open(folder, Arc::new(FakeNode::default()), true).await;
    // Whatever else there is to do it does.
    fixture.bring_up("helloworld").await;
    assert_eq!(job_runs(&fixture.node.state()), 0, "the other node runs it");
    elsewhere.end().await;
    fixture.node.until("the job runs here", |state| job_runs(state) == 1).await;
    let record = fixture.db.deployment_by_id(&deployment.id).await.unwrap().unwrap();
    let run = (record.node.as_deref(), record.starts);
    assert_eq!(run, (Some("node"), 2), "the run that was cut short counts");
}

#[tokio::test]
async fn a_node_ends_its_jobs_when_its_lease_has_run_out() {
    let fixture = Fixture::new().await;
    let deployment = run_job(&fixture).await;
    fixture.node.until("the job runs", |state| job_runs(state) == 1).await;
    // As if this process had stood still, and another node had looked meanwhile.
    let _elsewhere = Elsewhere::begin(&fixture.db).await;
    fixture.db.beat_node("node", "before", 0).await.unwrap();
    give_to(&fixture, "elsewhere").await;
    fixture.node.until("the job ended here", |state| state.dropped == [deployment.id.clone()]).await;
    fixture.bring_up("helloworld").await;
    assert_eq!(job_runs(&fixture.node.state()), 1, "it is the other's now");
    let record = fixture.db.deployment_by_id(&deployment.id).await.unwrap().unwrap();
    assert_eq!(record.node.as_deref(), Some("elsewhere"));
    assert_eq!(record.deployment.state, DeploymentState::Running);
}

#[tokio::test]
async fn a_node_that_only_stood_still_takes_its_jobs_up_again() {
    let fixture = Fixture::new().await;
    let deployment = run_job(&fixture).await;
    fixture.node.until("the job runs", |state| job_runs(state) == 1).await;
    fixture.db.beat_node("node", "before", 0).await.unwrap();
    let again = |state: &node::State| job_runs(state) == 2 && state.dropped == [deployment.id.clone()];
    fixture.node.until("it was ended and taken up", again).await;
}
