//! Builders that end in the middle.

use std::time::Duration;

use micro_api::deployment::{DeploymentState, Stage};

use crate::harness::*;

/// Whether the build's own script has begun.
async fn begun(platform: &Platform, id: &str) {
    let waiting = async {
        while !platform.log(id).await.contains("BEGUN") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the script runs");
}

fn processes(pattern: &str) -> String {
    let found = std::process::Command::new("pgrep").args(["-f", pattern]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

/// Ends within a moment.
async fn gone(pattern: &str) {
    for _ in 0..200 {
        if processes(pattern).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still there: {}", processes(pattern));
}

const FLAGS: [&str; 2] = ["--lease", "1s"];

#[tokio::test]
async fn a_killed_builder_leaves_nothing_and_its_job_is_taken_up() {
    let mut platform = Platform::start(&FLAGS).await;
    let gate = "if [ -e /work/target/second ]; then exit 0; fi\ntouch /work/target/second\necho BEGUN\nsleep 100001.25\n";
    let source = scripted(&platform, "slow", gate);
    let deployment = platform.submit(source, "slow", "latest").await;
    begun(&platform, &deployment.id).await;
    platform.child.kill().await.unwrap();
    gone("sleep 100001.25").await;
    platform.restart(&FLAGS);
    let found = platform.wait(&deployment.id, |found| found.state == DeploymentState::Built).await;
    assert_eq!(found.error, None);
    assert_eq!(std::fs::read_dir(platform.data().join("build/jobs")).unwrap().count(), 0);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&platform.data().display().to_string()), "{mounts}");
}

#[tokio::test]
async fn a_stopped_builder_gives_its_job_back() {
    let mut platform = Platform::start(&[]).await;
    let source = scripted(&platform, "slow", "echo BEGUN\nsleep 100002.25\n");
    let deployment = platform.submit(source, "slow", "latest").await;
    begun(&platform, &deployment.id).await;
    drop(platform.child.stdin.take());
    let status = tokio::time::timeout(Duration::from_secs(5), platform.child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    gone("sleep 100002.25").await;
    // The lease is 10 s: a job that was given back is claimed at once.
    let claimed = platform.db.claim_job("test", 10_000).await.unwrap().unwrap();
    assert_eq!((claimed.deployment, claimed.attempt), (deployment.id, 1));
}

#[tokio::test]
async fn a_killed_deployment_stops_its_build() {
    let mut platform = Platform::start(&FLAGS).await;
    let source = scripted(&platform, "slow", "echo BEGUN\nsleep 100003.25\n");
    let deployment = platform.submit(source, "slow", "latest").await;
    begun(&platform, &deployment.id).await;
    let stage = platform.db.deployment_by_id(&deployment.id).await.unwrap().unwrap().deployment.stages;
    assert_eq!(stage.last().unwrap().stage, Stage::Build);
    platform.db.kill(&micro_api::Namespace::default(), "slow", "latest").await.unwrap();
    gone("sleep 100003.25").await;
}
