//! A crash between any two steps: what is on disk then leads to the end by itself.

use super::*;

const STEPS: usize = 11;

/// Does the first `steps` steps of an update over something that runs.
async fn until(fixture: &Fixture, steps: usize) -> (Deployment, Deployment) {
    let first = fixture.bring_up("helloworld").await;
    let second = fixture.update("helloworld").await;
    let db = &fixture.db;
    let mut job = None;
    for step in 0..steps {
        if step == 0 {
            // The lease of a dead builder is over when the next one asks.
            job = db.claim_job("dies", 0).await.unwrap();
            continue;
        }
        let job = job.as_ref().unwrap();
        match step {
            1 => db.stage(job, DeploymentState::Fetching, report(Stage::Fetch)).await.unwrap(),
            2 => db.resolved(job, &"helloworld".parse().unwrap(), "latest", Some("abc")).await.unwrap(),
            3 => db.stage(job, DeploymentState::Building, report(Stage::Build)).await.unwrap(),
            4 => db.stage(job, DeploymentState::Validating, report(Stage::Validate)).await.unwrap(),
            5 => db.stage(job, DeploymentState::Precompiling, report(Stage::Precompile)).await.unwrap(),
            6 => db.complete(job, &revision(&second.id)).await.unwrap(),
            7 | 8 => {
                let record = db.work("node").await.unwrap().start.remove(0);
                db.starting(&record).await.unwrap();
            }
            9 => {
                let record = db.work("node").await.unwrap().start.remove(0);
                db.running(&record, false).await.unwrap();
            }
            _ => fixture.reconcile().await,
        }
    }
    (first, second)
}

/// What new processes do: claim what is free, reconcile what is due.
async fn recover(fixture: &Fixture) {
    for _ in 0..10 {
        if let Some(job) = fixture.db.claim_job("next", 60_000).await.unwrap() {
            fixture.db.complete(&job, &revision(&job.deployment)).await.unwrap();
        }
        fixture.reconcile().await;
    }
}

#[tokio::test]
async fn a_crash_between_any_two_steps_is_recovered() {
    for steps in 0..=STEPS {
        let mut fixture = sqlite().await;
        let (first, second) = until(&fixture, steps).await;
        // Nothing is closed in order: the next process opens what is on disk.
        fixture.db = Db::connect(&fixture.url).await.unwrap();
        fixture.db.migrate().await.unwrap();
        assert_eq!(fixture.db.active().await.unwrap().len(), 1, "something serves after {steps} steps");
        recover(&fixture).await;
        assert_eq!(fixture.state(&second.id).await, DeploymentState::Running, "{steps}");
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Superseded, "{steps}");
        assert!(!fixture.db.is_busy().await.unwrap());
    }
}

#[tokio::test]
async fn a_crash_after_kill_does_not_bring_it_back() {
    for steps in 0..=STEPS {
        let mut fixture = sqlite().await;
        let (first, second) = until(&fixture, steps).await;
        fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        fixture.db = Db::connect(&fixture.url).await.unwrap();
        recover(&fixture).await;
        assert!(fixture.db.active().await.unwrap().is_empty(), "{steps}");
        for id in [first.id, second.id] {
            assert!(fixture.state(&id).await.is_settled(), "{steps}");
            assert_ne!(fixture.state(&id).await, DeploymentState::Running, "{steps}");
        }
    }
}

/// A transaction that was not committed leaves nothing.
#[tokio::test]
async fn half_a_step_is_no_step() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        let job = fixture.claim().await;
        let (mut tx, held) = fixture.db.held_by(&job).await.unwrap();
        held.step(&mut tx, DeploymentState::Built, |_| ()).await.unwrap();
        drop(tx);
        assert_eq!(fixture.state(&deployment.id).await, DeploymentState::Queued);
        fixture.db.stage(&job, DeploymentState::Fetching, report(Stage::Fetch)).await.unwrap();
    }
}
