use super::*;
use crate::Error;

#[tokio::test]
async fn from_run_to_kill() {
    for fixture in each().await {
        let first = fixture.run("helloworld").await;
        assert_eq!(first.state, DeploymentState::Queued);
        assert!(fixture.db.is_busy().await.unwrap());
        let job = fixture.build().await;
        assert_eq!((job.deployment.as_str(), job.attempt), (first.id.as_str(), 1));
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Built);
        fixture.reconcile().await;
        let running = fixture.get(&first.id).await;
        assert_eq!(running.state, DeploymentState::Running);
        assert_eq!(running.revision, Some(revision(&first.id).to_string()));
        let stages: Vec<_> = running.stages.iter().map(|report| report.stage).collect();
        assert_eq!(stages, [Stage::Fetch, Stage::Build, Stage::Validate, Stage::Precompile, Stage::Start]);
        assert!(running.stages.iter().all(|report| report.duration_ms.is_some()));
        assert!(!fixture.db.is_busy().await.unwrap());

        // An update: the first one serves until the second does.
        let second = fixture.update("helloworld").await;
        fixture.build().await;
        let active = fixture.db.active().await.unwrap();
        assert_eq!(active.iter().map(|row| row.deployment.as_str()).collect::<Vec<_>>(), [first.id.as_str()]);
        fixture.reconcile().await;
        let active = fixture.db.active().await.unwrap();
        assert_eq!(
            active.iter().map(|row| row.deployment.as_str()).collect::<Vec<_>>(),
            [second.id.as_str()]
        );
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Stopping);
        fixture.reconcile().await;
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Superseded);

        let killed = fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        assert_eq!((killed.id.as_str(), killed.state), (second.id.as_str(), DeploymentState::Stopping));
        assert!(fixture.db.versions(&namespace(), None, None).await.unwrap().is_empty());
        assert!(fixture.db.active().await.unwrap().is_empty());
        fixture.reconcile().await;
        assert_eq!(fixture.state(&second.id).await, DeploymentState::Stopped);
        assert_eq!(fixture.db.services(&namespace()).await.unwrap(), ["helloworld"]);
    }
}

#[tokio::test]
async fn run_refuses_what_runs_or_is_on_its_way() {
    for fixture in each().await {
        let first = fixture.run("helloworld").await;
        for _ in 0..2 {
            let again = fixture.db.submit(&namespace(), Action::Run, &request("helloworld")).await;
            assert!(matches!(again, Err(Error::AlreadyRunning)), "{again:?}");
            if fixture.state(&first.id).await == DeploymentState::Queued {
                fixture.build().await;
                fixture.reconcile().await;
            }
        }
        // Another version, and the same one after a failure, are fine.
        let mut branch = request("helloworld");
        branch.version = "feature/x".to_owned();
        fixture.db.submit(&namespace(), Action::Run, &branch).await.unwrap();
        let job = fixture.claim().await;
        fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "boom")).await.unwrap();
        let again = fixture.db.submit(&namespace(), Action::Run, &branch).await.unwrap();
        assert_ne!(again.id, job.deployment);
        let failed = fixture.get(&job.deployment).await;
        assert_eq!(failed.error.unwrap().detail, "boom");
    }
}

#[tokio::test]
async fn update_needs_something_to_update() {
    for fixture in each().await {
        let missing =
            fixture.db.submit(&namespace(), Action::Update, &request("helloworld")).await.unwrap_err();
        assert_eq!(missing.to_string(), "helloworld:latest is not running: start it with `micro run`");
        assert_eq!(missing.to_api("runtime").code, 404);

        fixture.run("helloworld").await;
        let job = fixture.claim().await;
        fixture
            .db
            .fail(&job, Stage::Fetch, micro_api::Error::bad_request("builder", "no such repo"))
            .await
            .unwrap();
        let failed =
            fixture.db.submit(&namespace(), Action::Update, &request("helloworld")).await.unwrap_err();
        assert_eq!(failed.to_string(), "helloworld:latest is in error: fix it and start it with `micro run`");
    }
}

#[tokio::test]
async fn the_last_update_wins() {
    for fixture in each().await {
        let first = fixture.bring_up("helloworld").await;
        let second = fixture.update("helloworld").await;
        let job = fixture.claim().await;
        assert_eq!(job.deployment, second.id);
        let third = fixture.update("helloworld").await;
        assert_eq!(fixture.state(&second.id).await, DeploymentState::Superseded);
        let late = fixture.db.complete(&job, &revision("x")).await;
        assert!(matches!(late, Err(Error::LeaseLost)), "{late:?}");
        fixture.build().await;
        fixture.reconcile().await;
        assert_eq!(fixture.state(&third.id).await, DeploymentState::Running);
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Stopping);
    }
}

#[tokio::test]
async fn a_failed_update_leaves_what_runs() {
    for fixture in each().await {
        let first = fixture.bring_up("helloworld").await;
        let second = fixture.update("helloworld").await;
        let job = fixture.claim().await;
        fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "E0308")).await.unwrap();
        let versions = fixture.db.versions(&namespace(), Some("helloworld"), None).await.unwrap();
        let [version] = versions.as_slice() else { panic!("{versions:?}") };
        assert_eq!(version.latest.deployment.id, second.id);
        assert_eq!(version.active.as_ref().unwrap().deployment.id, first.id);
        assert_eq!(fixture.db.active().await.unwrap().len(), 1);
        // And can be updated again, and killed.
        fixture.update("helloworld").await;
        let killed = fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        assert_eq!(killed.id, first.id);
    }
}

#[tokio::test]
async fn a_kill_while_starting_is_not_undone() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        fixture.build().await;
        let record = fixture.db.work("node").await.unwrap().start.remove(0);
        let record = fixture.db.starting(&record).await.unwrap();
        assert_eq!((record.starts, record.started_ms > 0), (1, true));
        fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        let refused = fixture.db.running(&record, false).await.unwrap_err();
        assert!(matches!(refused, Error::Illegal { from: DeploymentState::Stopped, .. }), "{refused:?}");
        assert!(fixture.db.active().await.unwrap().is_empty());
        assert_eq!(fixture.state(&deployment.id).await, DeploymentState::Stopped);
        let gone = fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap_err();
        assert!(matches!(gone, Error::NotRunning { .. }));
    }
}

#[tokio::test]
async fn a_job_ends_in_one_of_two_ways() {
    for fixture in each().await {
        for (name, error) in [("good", None), ("bad", Some(micro_api::Error::internal("bad", "exit code 1")))]
        {
            let deployment = fixture.run(name).await;
            fixture.build().await;
            let record = fixture.db.work("node").await.unwrap().start.remove(0);
            let record = fixture.db.starting(&record).await.unwrap();
            let record = fixture.db.running(&record, true).await.unwrap();
            assert!(fixture.db.active().await.unwrap().iter().all(|active| active.job));
            fixture.db.count_restart(&record).await.unwrap();
            let end = match error {
                None => {
                    fixture.db.finished(&record).await.unwrap();
                    DeploymentState::Stopped
                }
                Some(error) => {
                    fixture.db.failed(&record, error).await.unwrap();
                    DeploymentState::Failed
                }
            };
            assert_eq!(fixture.state(&deployment.id).await, end);
            assert!(fixture.db.count_restart(&record).await.is_err());
            assert!(fixture.db.active().await.unwrap().is_empty());
            // What ended may run again.
            fixture.run(name).await;
            fixture.db.kill(&namespace(), name, "latest").await.unwrap();
        }
    }
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    for fixture in each().await {
        let other: Namespace = "other".parse().unwrap();
        let mine = fixture.bring_up("helloworld").await;
        fixture.db.submit(&other, Action::Run, &request("helloworld")).await.unwrap();
        assert!(fixture.db.deployment(&other, &mine.id).await.unwrap().is_none());
        assert_eq!(fixture.db.versions(&other, None, None).await.unwrap().len(), 1);
        fixture.db.kill(&other, "helloworld", "latest").await.unwrap();
        assert_eq!(fixture.state(&mine.id).await, DeploymentState::Running);
    }
}

#[tokio::test]
async fn waiters_wake_when_another_connection_commits() {
    for fixture in each().await {
        let mut changes = fixture.db.changes().await.unwrap();
        let other = Db::connect(&fixture.url).await.unwrap();
        let (namespace, wish) = (namespace(), request("helloworld"));
        let started = std::time::Instant::now();
        let (woken, submitted) =
            tokio::join!(changes.next(true), other.submit(&namespace, Action::Run, &wish));
        woken.unwrap();
        submitted.unwrap();
        assert!(started.elapsed() < std::time::Duration::from_millis(900), "{:?}", started.elapsed());
    }
}
