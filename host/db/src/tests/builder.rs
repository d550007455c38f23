use std::collections::HashSet;

use micro_api::logs::LogRecord;

use super::*;
use crate::Error;
use crate::build_log::{BUILD_LOG_BYTES_MAX, LINE_BYTES_MAX};
use crate::jobs::ATTEMPTS_MAX;

fn line(message: &str) -> LogRecord {
    LogRecord { timestamp: 1, metadata: BTreeMap::new(), message: message.to_owned() }
}

#[tokio::test]
async fn a_lost_lease_changes_nothing() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        let dead = fixture.db.claim_job("first", 0).await.unwrap().unwrap();
        fixture.db.stage(&dead, DeploymentState::Building, report(Stage::Build)).await.unwrap();
        let alive = fixture.db.claim_job("second", 60_000).await.unwrap().unwrap();
        assert_eq!((alive.id.as_str(), alive.attempt), (dead.id.as_str(), 2));
        let reset = fixture.get(&deployment.id).await;
        assert_eq!((reset.state, reset.stages.len()), (DeploymentState::Queued, 0));

        let db = &fixture.db;
        let error = micro_api::Error::internal("builder", "late");
        let name = "other".parse().unwrap();
        assert!(!db.heartbeat(&dead, 60_000).await.unwrap());
        for result in [
            db.stage(&dead, DeploymentState::Precompiling, report(Stage::Precompile)).await,
            db.resolved(&dead, &name, "latest", None).await,
            db.append_build_log(&dead, vec![line("late")]).await,
            db.complete(&dead, &revision("late")).await,
            db.fail(&dead, Stage::Build, error).await,
        ] {
            assert!(matches!(result, Err(Error::LeaseLost)), "{result:?}");
        }
        db.release_job(&dead).await.unwrap();
        assert_eq!(fixture.get(&deployment.id).await, reset);
        assert!(db.heartbeat(&alive, 60_000).await.unwrap());
        assert!(db.claim_job("third", 60_000).await.unwrap().is_none(), "a live lease is not taken");
    }
}

#[tokio::test]
async fn a_source_that_kills_builders_fails() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        for attempt in 1..=ATTEMPTS_MAX {
            let job = fixture.db.claim_job("worker", 0).await.unwrap().unwrap();
            assert_eq!(job.attempt, attempt);
            fixture.db.stage(&job, DeploymentState::Building, report(Stage::Build)).await.unwrap();
        }
        assert!(fixture.db.claim_job("worker", 0).await.unwrap().is_none());
        let failed = fixture.get(&deployment.id).await;
        assert_eq!(failed.state, DeploymentState::Failed);
        assert_eq!(failed.error.unwrap().detail, "the builder ended 3 times while it worked on this source");
        assert!(!fixture.db.is_busy().await.unwrap());
    }
}

#[tokio::test]
async fn a_builder_that_is_told_to_stop_costs_no_attempt() {
    for fixture in each().await {
        fixture.run("helloworld").await;
        for round in 0..5 {
            let job = fixture.db.claim_job(&format!("worker-{round}"), 60_000).await.unwrap().unwrap();
            assert_eq!(job.attempt, 1);
            fixture.db.release_job(&job).await.unwrap();
        }
    }
}

#[tokio::test]
async fn two_builders_never_take_one_job() {
    for fixture in each().await {
        for n in 0..12 {
            fixture.run(&format!("service{n}")).await;
        }
        let claims = (0..6).map(|worker| {
            let db = fixture.db.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while let Some(job) = db.claim_job(&format!("worker-{worker}"), 60_000).await.unwrap() {
                    taken.push(job.deployment);
                }
                taken
            })
        });
        let claims: Vec<_> = claims.collect();
        let mut all = Vec::new();
        for claim in claims {
            all.extend(claim.await.unwrap());
        }
        assert_eq!(all.len(), 12);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 12);
    }
}

#[tokio::test]
async fn a_killed_deployment_is_taken_from_its_builder() {
    for fixture in each().await {
        fixture.run("helloworld").await;
        let job = fixture.claim().await;
        fixture.db.stage(&job, DeploymentState::Fetching, report(Stage::Fetch)).await.unwrap();
        let killed = fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        assert_eq!(killed.state, DeploymentState::Stopped);
        assert!(!fixture.db.heartbeat(&job, 60_000).await.unwrap());
    }
}

#[tokio::test]
async fn states_do_not_move_back() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        let job = fixture.claim().await;
        let mut open = report(Stage::Build);
        open.duration_ms = None;
        fixture.db.stage(&job, DeploymentState::Building, open).await.unwrap();
        let back = fixture.db.stage(&job, DeploymentState::Fetching, report(Stage::Fetch)).await;
        assert!(matches!(back, Err(Error::Illegal { .. })), "{back:?}");
        let wrong = fixture.db.stage(&job, DeploymentState::Running, report(Stage::Start)).await;
        assert!(matches!(wrong, Err(Error::Illegal { .. })), "{wrong:?}");
        fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "E0308")).await.unwrap();
        let failed = fixture.get(&deployment.id).await;
        let [build] = failed.stages.as_slice() else { panic!("{failed:?}") };
        assert!(build.duration_ms.is_some(), "a stage ends with its deployment");
    }
}

#[tokio::test]
async fn the_name_in_the_source_wins() {
    for fixture in each().await {
        let db = &fixture.db;
        fixture.run("hello-src").await;
        let job = fixture.claim().await;
        let name = "helloworld".parse().unwrap();
        db.resolved(&job, &name, "latest", Some("9342934e6180")).await.unwrap();
        db.complete(&job, &revision("one")).await.unwrap();
        fixture.reconcile().await;
        let versions = db.versions(&namespace(), None, None).await.unwrap();
        let [version] = versions.as_slice() else { panic!("{versions:?}") };
        assert_eq!(version.service, "helloworld");
        assert_eq!(version.latest.deployment.commit.as_deref(), Some("9342934e6180"));

        // The source's own name still leads to it.
        let resolved = db.resolve(&namespace(), "hello-src", "latest").await.unwrap();
        assert_eq!(resolved, Some(("helloworld".to_owned(), "latest".to_owned())));
        let again = db.submit(&namespace(), Action::Run, &request("hello-src")).await;
        assert!(matches!(again, Err(Error::AlreadyRunning)), "{again:?}");
        let update = fixture.update("hello-src").await;
        assert_eq!(update.service, "helloworld");
        let killed = db.kill(&namespace(), "hello-src", "latest").await.unwrap();
        assert_eq!(killed.service, "helloworld");
    }
}

#[tokio::test]
async fn a_source_cannot_take_the_name_of_another() {
    for fixture in each().await {
        let db = &fixture.db;
        let first = fixture.bring_up("helloworld").await;
        fixture.run("impostor").await;
        let job = fixture.claim().await;
        let name = "helloworld".parse().unwrap();
        let taken = db.resolved(&job, &name, "latest", None).await.unwrap_err();
        assert!(matches!(taken, Error::AlreadyRunning));
        db.fail(&job, Stage::Detect, taken.to_api("builder")).await.unwrap();
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Running);

        // An update whose source says another name than what runs.
        fixture.update("helloworld").await;
        let job = fixture.claim().await;
        let other = "elsewhere".parse().unwrap();
        let missing = db.resolved(&job, &other, "latest", None).await.unwrap_err();
        assert_eq!(missing.to_string(), "elsewhere:latest is not running: start it with `micro run`");
    }
}

#[tokio::test]
async fn build_logs_are_bounded() {
    for fixture in each().await {
        let db = &fixture.db;
        let deployment = fixture.run("helloworld").await;
        let job = fixture.claim().await;
        db.append_build_log(&job, vec![line("Compiling\0 helloworld"), line(&"ü".repeat(LINE_BYTES_MAX))])
            .await
            .unwrap();
        let (lines, next) = db.build_log(&deployment.id, 0, 10).await.unwrap();
        assert_eq!((lines[0].message.as_str(), next), ("Compiling helloworld", 2));
        assert_eq!(lines[1].message.len(), LINE_BYTES_MAX);
        let long = "x".repeat(LINE_BYTES_MAX);
        for _ in 0..3 {
            db.append_build_log(&job, (0..60).map(|_| line(&long)).collect()).await.unwrap();
        }
        let total = db.build_log_lines(&deployment.id).await.unwrap();
        let (lines, _) = db.build_log(&deployment.id, total - 1, 10).await.unwrap();
        assert_eq!(
            lines[0].message,
            format!("the build log ends here: it is longer than {BUILD_LOG_BYTES_MAX} bytes")
        );
        assert!(total < 2 + BUILD_LOG_BYTES_MAX / 8_000);
    }
}
