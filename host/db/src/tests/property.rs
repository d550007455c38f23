//! Random orders of everything that people, builders and the reconciler can do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::query::query;
use crate::state::{is_building, is_legal};

#[derive(Debug, Clone)]
enum Step {
    Run(bool),
    Update(bool),
    Kill(bool),
    /// With a lease that is over at once, or one that lasts.
    Claim(bool),
    Stage(Index, Index),
    Resolve(Index, bool),
    Complete(Index),
    Fail(Index),
    Starting(Index),
    Running(Index, bool),
    Stopped(Index),
    Failed(Index),
    Finished(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        any::<bool>().prop_map(Step::Run),
        any::<bool>().prop_map(Step::Update),
        any::<bool>().prop_map(Step::Kill),
        any::<bool>().prop_map(Step::Claim),
        (index(), index()).prop_map(|(job, state)| Step::Stage(job, state)),
        (index(), any::<bool>()).prop_map(|(job, name)| Step::Resolve(job, name)),
        index().prop_map(Step::Complete),
        index().prop_map(Step::Fail),
        index().prop_map(Step::Starting),
        (index(), any::<bool>()).prop_map(|(record, job)| Step::Running(record, job)),
        index().prop_map(Step::Stopped),
        index().prop_map(Step::Failed),
        index().prop_map(Step::Finished),
    ]
}

fn name(first: bool) -> &'static str {
    if first { "one" } else { "two" }
}

async fn apply(db: &Db, step: &Step, jobs: &mut Vec<BuildJob>, ids: &mut Vec<String>) {
    let error = || micro_api::Error::internal("test", "failed");
    let job = |index: &Index| (!jobs.is_empty()).then(|| index.get(jobs).clone());
    let id = |index: &Index| (!ids.is_empty()).then(|| index.get(ids).clone());
    let record = async |index: &Index| db.deployment_by_id(&id(index)?).await.unwrap();
    // Whether a step is refused is for the invariants to judge.
    match step {
        Step::Run(first) | Step::Update(first) => {
            let action = if matches!(step, Step::Run(_)) { Action::Run } else { Action::Update };
            if let Ok(deployment) = db.submit(&namespace(), action, &request(name(*first))).await {
                ids.push(deployment.id);
            }
        }
        Step::Kill(first) => drop(db.kill(&namespace(), name(*first), "latest").await),
        Step::Claim(lasts) => {
            let lease = if *lasts { 60_000 } else { 0 };
            jobs.extend(db.claim_job(&format!("worker-{}", jobs.len()), lease).await.unwrap());
        }
        Step::Stage(index, state) => {
            if let Some(job) = job(index) {
                drop(db.stage(&job, *state.get(&DeploymentState::ALL), report(Stage::Build)).await);
            }
        }
        Step::Resolve(index, first) => {
            if let Some(job) = job(index) {
                drop(db.resolved(&job, &name(*first).parse().unwrap(), "latest", None).await);
            }
        }
        Step::Complete(index) => {
            if let Some(job) = job(index) {
                drop(db.complete(&job, &revision(&job.deployment)).await);
            }
        }
        Step::Fail(index) => {
            if let Some(job) = job(index) {
                drop(db.fail(&job, Stage::Build, error()).await);
            }
        }
        Step::Starting(index) => {
            if let Some(record) = record(index).await {
                drop(db.starting(&record).await);
            }
        }
        Step::Running(index, is_job) => {
            if let Some(record) = record(index).await {
                drop(db.running(&record, *is_job).await);
            }
        }
        Step::Stopped(index) => {
            if let Some(record) = record(index).await {
                drop(db.stopped(&record).await);
            }
        }
        Step::Failed(index) => {
            if let Some(record) = record(index).await {
                drop(db.failed(&record, error()).await);
            }
        }
        Step::Finished(index) => {
            if let Some(record) = record(index).await {
                drop(db.finished(&record).await);
            }
        }
    }
}

async fn states(db: &Db, ids: &[String]) -> BTreeMap<String, DeploymentState> {
    let mut states = BTreeMap::new();
    for id in ids {
        let record = db.deployment_by_id(id).await.unwrap().unwrap();
        states.insert(id.clone(), record.deployment.state);
    }
    states
}

async fn check(
    db: &Db,
    before: &BTreeMap<String, DeploymentState>,
    after: &BTreeMap<String, DeploymentState>,
) {
    for (id, now) in after {
        match before.get(id) {
            Some(then) => assert!(then == now || is_legal(*then, *now), "{then:?} became {now:?}"),
            None => assert_eq!(*now, DeploymentState::Queued),
        }
    }
    let jobs = query("test.jobs", "SELECT deployment FROM jobs").read_all::<(String,)>(db).await.unwrap();
    let building: Vec<_> = after.iter().filter(|(_, state)| is_building(**state)).map(|(id, _)| id).collect();
    let mut jobs: Vec<_> = jobs.iter().map(|(id,)| id).collect();
    jobs.sort();
    assert_eq!(jobs, building, "a deployment has a job as long as it is being built");

    let rows = query("test.versions", "SELECT service, deployment, active FROM versions");
    let rows = rows.read_all::<(String, String, Option<String>)>(db).await.unwrap();
    let mut active: Vec<_> = rows.iter().filter_map(|(_, _, active)| active.as_ref()).collect();
    active.sort();
    let running: Vec<_> =
        after.iter().filter(|(_, state)| **state == DeploymentState::Running).map(|(id, _)| id).collect();
    assert_eq!(active, running, "what runs is what a version names as active");
    let under_way = after.iter().filter(|(_, state)| {
        is_building(**state) || matches!(state, DeploymentState::Built | DeploymentState::Starting)
    });
    for (id, state) in under_way {
        assert!(rows.iter().any(|(_, deployment, _)| deployment == id), "{state:?} and nobody waits for it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_steps_keeps_the_rows_consistent(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = sqlite().await;
            let Db::Sqlite { write: pool, .. } = &fixture.db else { panic!("not SQLite") };
            // Thousands of commits: what is tested here is logic, not the disk.
            sqlx::query("PRAGMA synchronous = OFF").execute(pool).await.unwrap();
            let (mut jobs, mut ids) = (Vec::new(), Vec::new());
            let mut before = BTreeMap::new();
            for step in &steps {
                apply(&fixture.db, step, &mut jobs, &mut ids).await;
                let after = states(&fixture.db, &ids).await;
                check(&fixture.db, &before, &after).await;
                before = after;
            }
        });
    }
}
