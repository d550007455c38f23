//! Namespaces take turns at the builders.

use super::*;
use crate::Error;
use crate::submit::JOBS_OF_NAMESPACE_MAX;

impl Fixture {
    async fn queue(&self, namespace: &str, count: usize) {
        for n in 0..count {
            let wish = request(&format!("service{n}"));
            self.db.submit(&namespace.parse().unwrap(), Action::Run, &wish).await.unwrap();
        }
    }

    async fn next(&self) -> BuildJob {
        let job = self.claim().await;
        // Turns are told apart by the millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        job
    }
}

#[tokio::test]
async fn a_hundred_jobs_of_one_do_not_hold_up_another() {
    for fixture in each().await {
        fixture.queue("many", 100).await;
        fixture.queue("few", 2).await;
        fixture.queue("one", 1).await;
        let mut taken = Vec::new();
        for _ in 0..7 {
            taken.push(fixture.next().await);
        }
        let turns: Vec<&str> = taken.iter().map(|job| job.namespace.as_str()).collect();
        // Each has one in work, then those that wait two, then the only one that still waits.
        assert_eq!(turns, ["many", "few", "one", "many", "few", "many", "many"]);
        let names: Vec<&str> = taken
            .iter()
            .filter(|job| job.namespace.as_str() == "many")
            .map(|job| job.request.name.alias())
            .collect();
        assert_eq!(names, ["service0", "service1", "service2", "service3"], "the oldest first");
    }
}

#[tokio::test]
async fn a_single_builder_goes_round() {
    for fixture in each().await {
        fixture.queue("many", 20).await;
        fixture.queue("few", 3).await;
        let mut turns = Vec::new();
        for _ in 0..8 {
            let job = fixture.next().await;
            fixture.db.complete(&job, &revision(&job.deployment)).await.unwrap();
            turns.push(job.namespace.to_string());
        }
        assert_eq!(turns, ["many", "few", "many", "few", "many", "few", "many", "many"]);
    }
}

#[tokio::test]
async fn one_namespace_cannot_fill_the_queue() {
    let fixture = sqlite().await;
    let Db::Sqlite { write, .. } = &fixture.db else { panic!("not SQLite") };
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO jobs (id, deployment, namespace, lease_until_ms, attempt, created_ms)
         SELECT 'j' || i, 'd' || i, 'default', 0, 0, i FROM n",
    )
    .bind(JOBS_OF_NAMESPACE_MAX)
    .execute(write)
    .await
    .unwrap();
    let full = fixture.db.submit(&namespace(), Action::Run, &request("helloworld")).await.unwrap_err();
    assert!(matches!(full, Error::QueueFull(JOBS_OF_NAMESPACE_MAX)), "{full:?}");
    fixture.queue("other", 1).await;
}
