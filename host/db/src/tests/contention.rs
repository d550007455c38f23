//! Several processes, pools and tasks that write at once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use micro_api::logs::LogRecord;

use super::*;
use crate::build_log::BUILD_LOG_LINES_MAX;

/// Names the database to the other processes.
const URL: &str = "MICRO_TEST_CONTENTION_URL";

fn lines(count: usize) -> Vec<LogRecord> {
    let line = LogRecord { timestamp: 1, metadata: BTreeMap::new(), message: "y".to_owned() };
    vec![line; count]
}

/// A server and a builder in one: each step writes, and none may fail.
async fn write(db: &Db, name: &str) {
    for n in 0..8 {
        let name = format!("{name}-{n}");
        db.submit(&namespace(), Action::Run, &request(&name)).await.unwrap();
        let Some(job) = db.claim_job(&name, 120_000).await.unwrap() else { continue };
        db.stage(&job, DeploymentState::Building, report(Stage::Build)).await.unwrap();
        db.append_build_log(&job, lines(300)).await.unwrap();
        assert!(db.heartbeat(&job, 120_000).await.unwrap());
        db.complete(&job, &revision(&job.deployment)).await.unwrap();
    }
}

/// Not a test of its own: what the other processes do.
#[tokio::test]
#[ignore = "started by another test"]
async fn writer() {
    let Ok(url) = std::env::var(URL) else { return };
    let db = Db::connect(&url).await.unwrap();
    write(&db, &format!("p{}", std::process::id())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_any_process_never_find_it_locked() {
    for fixture in each().await {
        let children: Vec<_> = (0..2)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "tests::contention::writer", "--ignored", "--nocapture"])
                    .env(URL, &fixture.url)
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut tasks = Vec::new();
        for pool in 0..2 {
            let db = Db::connect(&fixture.url).await.unwrap();
            for task in 0..3 {
                let db = db.clone();
                tasks.push(tokio::spawn(async move { write(&db, &format!("t{pool}-{task}")).await }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        for child in children {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_is_opened_by_many_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("control.db").display());
        let opening = (0..6).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Db::connect(&url).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}

/// A build that prints without end must cost no other its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_lines_lets_others_write() {
    for fixture in each().await {
        fixture.run("loud").await;
        let loud = fixture.claim().await;
        fixture.run("quiet").await;
        let quiet = fixture.claim().await;
        let flood = {
            let (db, loud) = (fixture.db.clone(), loud.clone());
            tokio::spawn(async move {
                // The log is full before the second one.
                for _ in 0..2 {
                    db.append_build_log(&loud, lines(1_000_000)).await.unwrap();
                }
            })
        };
        let other = Db::connect(&fixture.url).await.unwrap();
        let mut slowest = Duration::ZERO;
        while !flood.is_finished() {
            for db in [&fixture.db, &other] {
                let started = Instant::now();
                assert!(db.heartbeat(&quiet, 60_000).await.unwrap());
                slowest = slowest.max(started.elapsed());
            }
        }
        flood.await.unwrap();
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
        let kept = fixture.db.build_log_lines(&loud.deployment).await.unwrap();
        assert_eq!(kept, BUILD_LOG_LINES_MAX);
        let (last, _) = fixture.db.build_log(&loud.deployment, kept - 1, 1).await.unwrap();
        let said = format!("the build log ends here: it is longer than {BUILD_LOG_LINES_MAX} lines");
        assert_eq!(last.first().unwrap().message, said);
    }
}

/// Whoever is dropped in the middle of a transaction lets go of it.
#[tokio::test]
async fn a_writer_that_is_dropped_lets_go() {
    for fixture in each().await {
        for pause in 0..40 {
            let (namespace, wish) = (namespace(), request(&format!("dropped{pause}")));
            let submit = fixture.db.submit(&namespace, Action::Run, &wish);
            let _given_up = tokio::time::timeout(Duration::from_micros(pause * 50), submit).await;
        }
        let started = Instant::now();
        fixture.run("after").await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
