//! Revisions of another engine.

use std::collections::BTreeMap;

use micro_api::deployment::{DeploymentState, RunRequest, Stage};
use micro_api::{Namespace, manifest::Manifest};
use micro_artifact::{Code, Config, Exports, Key, RevisionManifest, Store, Wasi, publish, verify};
use micro_db::Action;

use crate::harness::*;

#[tokio::test]
async fn a_revision_of_another_engine_is_compiled_again() {
    let mut platform = Platform::start(&[]).await;
    platform.child.kill().await.unwrap();
    let store = Store::open(&Config::Filesystem { folder: platform.data().join("artifacts") }).unwrap();
    let key = Key::open(&platform.data().join("artifact.key")).unwrap();
    let code = Code {
        component: store.put(&wat::parse_str(JOB).unwrap()).unwrap(),
        native: store.put(b"code of long ago").unwrap(),
        engine: "sync-0000000000000000".to_owned(),
    };
    let old = RevisionManifest {
        exports: Exports { run: Some(Wasi::P2), ..Exports::default() },
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        args: vec!["x".to_owned()],
        commit: Some("9342934e6180".to_owned()),
        ..RevisionManifest::new("app".parse().unwrap(), code, Manifest::default())
    };
    // Long gone: nothing may look at it.
    let source = git("https://git.invalid/app", "", "");
    let request = RunRequest::new(source, "git.invalid/app", "app".parse().unwrap());
    let db = platform.db.clone();
    db.submit(&Namespace::default(), Action::Run, &request).await.unwrap();
    let job = db.claim_job("test", 60_000).await.unwrap().unwrap();
    db.complete(&job, &publish(&store, &key, &old).unwrap()).await.unwrap();
    let record = db.deployment_by_id(&job.deployment).await.unwrap().unwrap();
    let again = db.recompile(&record).await.unwrap().unwrap();

    platform.restart(&[]);
    let found = platform
        .wait(&again.id, |found| matches!(found.state, DeploymentState::Built | DeploymentState::Failed))
        .await;
    assert_eq!(found.error, None);
    let stages: Vec<Stage> = found.stages.iter().map(|report| report.stage).collect();
    assert_eq!(stages, [Stage::Precompile, Stage::Publish]);
    let verified = verify(&store, &key, &found.revision.unwrap().parse().unwrap()).unwrap();
    let new = verified.manifest();
    assert_ne!(new.engine, old.engine);
    assert_ne!(new.native, old.native);
    assert_eq!(**new, RevisionManifest { native: new.native, engine: new.engine.clone(), ..old });
}

#[tokio::test]
async fn a_component_that_is_gone_is_told() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("app");
    write_component(&folder, JOB);
    commit(&folder, &[("README", "x")]);
    let built = platform.build(local(&folder), "app", "latest").await;
    let record = platform.db.deployment_by_id(&built.id).await.unwrap().unwrap();
    std::fs::remove_dir_all(platform.data().join("artifacts")).unwrap();
    let again = platform.db.recompile(&record).await.unwrap().unwrap();
    let found = platform.wait(&again.id, |found| found.state == DeploymentState::Failed).await;
    let error = found.error.unwrap().detail;
    assert_eq!(error, "Error compiling service: the build's result is gone or damaged: update it again");
}
