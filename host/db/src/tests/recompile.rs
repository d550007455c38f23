//! Compiling a revision again, for another engine.

use super::*;
use crate::Error;

impl Fixture {
    async fn record(&self, id: &str) -> crate::deployments::Record {
        self.db.deployment_by_id(id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn what_ran_comes_back_under_a_new_deployment() {
    for fixture in each().await {
        let db = &fixture.db;
        fixture.run("hello-src").await;
        let job = fixture.claim().await;
        assert_eq!(job.recompile, None);
        db.resolved(&job, &"helloworld".parse().unwrap(), "latest", Some("9342934e6180")).await.unwrap();
        db.complete(&job, &revision("one")).await.unwrap();
        fixture.reconcile().await;

        let old = fixture.record(&job.deployment).await;
        let new = db.recompile(&old).await.unwrap().unwrap();
        assert_eq!((new.state, new.service.as_str()), (DeploymentState::Queued, "helloworld"));
        assert_eq!(new.commit.as_deref(), Some("9342934e6180"));
        assert!(db.active().await.unwrap().is_empty(), "nothing can be called meanwhile");
        let versions = db.versions(&namespace(), None, None).await.unwrap();
        let [version] = versions.as_slice() else { panic!("{versions:?}") };
        assert_eq!(version.latest.deployment.id, new.id);
        assert!(db.recompile(&old).await.is_err(), "once");

        let job = fixture.claim().await;
        assert_eq!((job.deployment.as_str(), job.recompile), (new.id.as_str(), Some(revision("one"))));
        db.stage(&job, DeploymentState::Precompiling, report(Stage::Precompile)).await.unwrap();
        db.complete(&job, &revision("two")).await.unwrap();
        fixture.reconcile().await;
        assert_eq!(fixture.state(&old.deployment.id).await, DeploymentState::Superseded);
        let running = fixture.get(&new.id).await;
        assert_eq!(running.state, DeploymentState::Running);
        assert_eq!(running.revision, Some(revision("two").to_string()));
        // The name that its source suggests still leads to it.
        let update = fixture.update("hello-src").await;
        assert_eq!(update.service, "helloworld");
    }
}

#[tokio::test]
async fn what_was_about_to_start_is_compiled_first() {
    for fixture in each().await {
        let first = fixture.run("helloworld").await;
        fixture.build().await;
        let record = fixture.record(&first.id).await;
        let new = fixture.db.recompile(&record).await.unwrap().unwrap();
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Superseded);
        fixture.build().await;
        fixture.reconcile().await;
        assert_eq!(fixture.state(&new.id).await, DeploymentState::Running);
    }
}

#[tokio::test]
async fn an_update_under_way_is_not_disturbed_and_a_kill_is_final() {
    for fixture in each().await {
        let first = fixture.bring_up("helloworld").await;
        let update = fixture.update("helloworld").await;
        let record = fixture.record(&first.id).await;
        assert!(fixture.db.recompile(&record).await.unwrap().is_none());
        assert_eq!(fixture.state(&first.id).await, DeploymentState::Running);
        let job = fixture.claim().await;
        assert_eq!(job.deployment, update.id);
        fixture.db.fail(&job, Stage::Build, micro_api::Error::bad_request("builder", "E0308")).await.unwrap();

        // An update that failed is no reason against it.
        let new = fixture.db.recompile(&record).await.unwrap().unwrap();
        fixture.db.kill(&namespace(), "helloworld", "latest").await.unwrap();
        assert_eq!(fixture.state(&new.id).await, DeploymentState::Stopped);
        assert!(fixture.db.claim_job("worker", 60_000).await.unwrap().is_none());
        let gone = fixture.db.recompile(&fixture.record(&new.id).await).await;
        assert!(matches!(gone, Err(Error::Illegal { .. })), "{gone:?}");
    }
}
