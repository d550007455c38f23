//! kill -9 of a writing process: what it was told is done is done, and nothing is half there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::query::query;

/// Names the database to the process that is killed.
const URL: &str = "MICRO_TEST_KILLED_URL";

/// Not a test of its own: what the killed process does. It says each deployment that was acknowledged.
#[tokio::test]
#[ignore = "started by another test"]
async fn writer() {
    let Ok(url) = std::env::var(URL) else { return };
    let fixture =
        Fixture { db: Db::connect(&url).await.unwrap(), url, _folder: tempfile::tempdir().unwrap() };
    for n in 0.. {
        let deployment = fixture.run(&format!("service{n}")).await;
        println!("\nqueued {}", deployment.id);
        fixture.build().await;
        println!("\nbuilt {}", deployment.id);
        fixture.reconcile().await;
        println!("\nrunning {}", deployment.id);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill() {
    for lines in [1, 2, 3, 5, 8] {
        let fixture = sqlite().await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::killed::writer", "--ignored", "--nocapture"])
            .env(URL, &fixture.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut said = Vec::new();
        for line in output.lines() {
            let line = line.unwrap();
            let Some((word, id)) = line.split_once(' ') else { continue };
            // The test runner itself says "running 1 test".
            if let (Some(state), Ok(_)) = (DeploymentState::parse(word), uuid::Uuid::try_parse(id)) {
                said.push((id.to_owned(), state));
            }
            if said.len() == lines {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let db = Db::connect(&fixture.url).await.unwrap();
        let order = |state| DeploymentState::ALL.iter().position(|known| *known == state);
        for (id, state) in said {
            let found =
                db.deployment_by_id(&id).await.unwrap().expect("it was acknowledged").deployment.state;
            assert!(order(found) >= order(state), "{found:?} after {state:?}");
        }
        // Each deployment in a builder's hands has its job and its row, and no other has a job.
        let lost = query(
            "test.lost",
            "SELECT COUNT(*) FROM deployments d WHERE
               (d.state IN ('queued', 'fetching', 'building', 'validating', 'precompiling'))
               <> EXISTS (SELECT 1 FROM jobs j WHERE j.deployment = d.id)
               OR NOT EXISTS (SELECT 1 FROM versions v WHERE v.deployment = d.id)",
        );
        assert_eq!(lost.read_first::<(i64,)>(&db).await.unwrap(), Some((0,)));
    }
}
