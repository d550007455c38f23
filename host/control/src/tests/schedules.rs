//! Schedules: what is due, by hand, and after a death.

use std::sync::atomic::{AtomicI64, Ordering};

use micro_api::jobs::{Run, RunState};
use micro_api::manifest::{Missed, Overlap, Schedule};
use micro_db::{Claimed, ScheduleKey, Wish};

use super::*;
use crate::{Clock, NotRun, Scheduled};

const MINUTE: i64 = 60_000;
/// A whole hour, five seconds before which the tests begin.
const HOUR: i64 = 500_000 * 60 * MINUTE;
const BEGIN: i64 = HOUR - 5_000;

fn hourly(change: impl FnOnce(&mut Scheduled)) -> Arc<Scheduled> {
    let schedule =
        Schedule { cron: "@hourly".to_owned(), endpoint: "App.Tick".to_owned(), ..Schedule::default() };
    let mut one = Scheduled {
        namespace: micro_api::Namespace::default(),
        service: "app".parse().unwrap(),
        version: "latest".to_owned(),
        started_ms: BEGIN - 10 * 60 * MINUTE,
        schedule,
    };
    change(&mut one);
    Arc::new(one)
}

fn key(one: &Scheduled) -> ScheduleKey {
    crate::task::schedule::key_of(one)
}

/// The platform at a time that the test sets.
struct Timed {
    fixture: Fixture,
    now: Arc<AtomicI64>,
}

impl Timed {
    async fn new(schedules: Vec<Arc<Scheduled>>) -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), schedules, 0, BEGIN).await
    }

    /// The next `good` runs end well.
    async fn open(
        folder: Arc<tempfile::TempDir>,
        schedules: Vec<Arc<Scheduled>>,
        good: usize,
        now_ms: i64,
    ) -> Self {
        let now = Arc::new(AtomicI64::new(now_ms));
        let node = Arc::new(FakeNode::default());
        node.set(|state| {
            state.schedules = schedules;
            state.runs = (0..good).map(|_| Ok(())).collect();
        });
        let shown = Arc::clone(&now);
        let fixture = Fixture::open_with(folder, node, true, |config| {
            config.clock = Clock::new(move || shown.load(Ordering::SeqCst));
            config.node_id = "n1".to_owned();
        });
        Self { fixture: fixture.await, now }
    }

    fn set(&self, now_ms: i64) {
        self.now.store(now_ms, Ordering::SeqCst);
        self.fixture.control.poke();
    }

    /// Waits until the newest runs are as described.
    async fn until(&self, what: &str, is: impl Fn(&[Run]) -> bool) -> Vec<Run> {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (status, answer) = self.fixture.get("/v1/jobs/runs").await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            let runs: Vec<Run> = serde_json::from_value(answer).unwrap();
            if is(&runs) {
                return runs;
            }
            assert!(std::time::Instant::now() < deadline, "{what}: {runs:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn begun(&self, count: usize) -> Vec<crate::ScheduledCall> {
        self.fixture.node.until("runs are begun", |state| state.scheduled.len() >= count).await.scheduled
    }

    async fn by_hand(&self, body: Value) -> (StatusCode, Value) {
        self.fixture.send("POST", "/v1/jobs/run", Some(body)).await
    }
}

fn states(runs: &[Run]) -> Vec<(i64, RunState)> {
    runs.iter().map(|run| (run.tick_ms, run.state)).collect()
}

#[tokio::test]
async fn a_tick_calls_the_endpoint_once() {
    let timed = Timed::new(vec![hourly(|one| one.schedule.name = Some("tick".to_owned()))]).await;
    timed.fixture.node.set(|state| state.runs = [Ok(())].into());
    let (_, listed) = timed.fixture.get("/v1/jobs").await;
    assert_eq!((&listed[0]["next_ms"], listed[0].get("last")), (&json!(HOUR), None));
    timed.set(HOUR);
    let runs = timed.until("it ran", |runs| runs.iter().any(|run| run.state == RunState::Ok)).await;
    assert_eq!(states(&runs), [(HOUR, RunState::Ok)]);
    assert_eq!((runs[0].node.as_str(), runs[0].by_hand, runs[0].schedule.as_str()), ("n1", false, "tick"));
    let calls = timed.begun(1).await;
    let metadata = [("Micro-Schedule", "tick".to_owned()), ("Micro-Tick", HOUR.to_string())];
    assert_eq!(calls[0].metadata, metadata.map(|(key, value)| (key.to_owned(), value)));
    assert_eq!((calls[0].endpoint.as_str(), &calls[0].request_id), ("App.Tick", &runs[0].id));
    // The next one fails, and both are told of.
    let refused = micro_api::Error::new("app", 503, "paused");
    timed.fixture.node.set(|state| state.runs = [Err(refused.into())].into());
    timed.set(HOUR + 60 * MINUTE);
    let runs = timed.until("it failed", |runs| runs.len() == 2 && runs[0].ended_ms.is_some()).await;
    assert_eq!((runs[0].state, runs[0].error.as_deref()), (RunState::Failed, Some("503 paused")));
    let (_, listed) = timed.fixture.get("/v1/jobs?service=app").await;
    assert_eq!(listed[0]["last"]["state"], "failed");
    assert_eq!(listed[0]["next_ms"], HOUR + 120 * MINUTE);
    assert_eq!(timed.fixture.get("/v1/jobs?service=other").await.1, json!([]));
    assert_eq!(timed.begun(2).await.len(), 2);
}

#[tokio::test]
async fn a_tick_without_a_request_left_is_skipped_with_the_reason() {
    let timed = Timed::new(vec![hourly(|_| ())]).await;
    let used_up = micro_api::Error::new("gateway", 429, "limit: requests_per_month: used up");
    timed.fixture.node.set(|state| state.runs = [Err(NotRun::Skipped(used_up)), Ok(())].into());
    timed.set(HOUR);
    let runs = timed.until("it is skipped", |runs| runs.iter().any(|run| run.ended_ms.is_some())).await;
    assert_eq!(states(&runs), [(HOUR, RunState::Skipped)]);
    assert_eq!(runs[0].error.as_deref(), Some("limit: requests_per_month: used up"));
    // The next one is begun as ever.
    timed.set(HOUR + 60 * MINUTE);
    let runs = timed.until("it ran", |runs| runs.iter().any(|run| run.state == RunState::Ok)).await;
    assert_eq!(states(&runs), [(HOUR + 60 * MINUTE, RunState::Ok), (HOUR, RunState::Skipped)]);
}

#[tokio::test]
async fn somebody_runs_it_by_hand() {
    let second = hourly(|one| one.schedule.name = Some("nightly".to_owned()));
    let timed = Timed::new(vec![hourly(|_| ()), second]).await;
    let (code, detail) = error(&timed.by_hand(json!({"service": "app"})).await);
    assert_eq!(code, 400);
    assert!(detail.starts_with("which one? app has ") && detail.contains("nightly of latest"), "{detail}");
    let slip = error(&timed.by_hand(json!({"service": "app", "schedule": "nightl"})).await);
    assert_eq!(slip, (404, "app has no schedule `nightl`, did you mean `nightly`?".to_owned()));
    assert_eq!(error(&timed.by_hand(json!({"service": "other"})).await).0, 404);
    let version = json!({"service": "app", "schedule": "nightly", "version": "v9"});
    assert_eq!(error(&timed.by_hand(version).await).0, 404);
    assert_eq!(error(&timed.by_hand(json!({"service": "app", "name": "nightly"})).await).0, 400);

    let wish = json!({"service": "app", "schedule": "nightly"});
    let (status, run) = timed.by_hand(wish.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{run}");
    assert_eq!((&run["by_hand"], &run["state"]), (&json!(true), &json!("running")));
    timed.begun(1).await;
    // It never ends, and the schedule allows one.
    let (code, detail) = error(&timed.by_hand(wish).await);
    assert_eq!((code, detail.contains("still under way")), (409, true), "{detail}");
    let (_, runs) = timed.fixture.get("/v1/jobs/runs?schedule=nightly&limit=5").await;
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(timed.fixture.get("/v1/jobs/runs?schedule=App.Tick").await.1, json!([]));
}

#[tokio::test]
async fn a_tick_is_skipped_while_the_run_before_is_under_way() {
    let wide = hourly(|one| {
        one.schedule.name = Some("wide".to_owned());
        one.schedule.overlap = Overlap::Allow;
    });
    let timed = Timed::new(vec![hourly(|_| ()), wide]).await;
    for schedule in ["App.Tick", "wide"] {
        let (status, answer) = timed.by_hand(json!({"service": "app", "schedule": schedule})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    timed.begun(2).await;
    timed.set(HOUR);
    let runs = timed.until("both ticks are noted", |runs| runs.len() == 4).await;
    let of = |name: &str| {
        let run = runs.iter().find(|run| run.schedule == name && run.tick_ms == HOUR).unwrap();
        (run.state, run.error.clone())
    };
    assert_eq!(of("App.Tick"), (RunState::Skipped, Some("the run before was still under way".to_owned())));
    assert_eq!(of("wide"), (RunState::Running, None));
    assert_eq!(timed.begun(3).await.len(), 3);
}

#[tokio::test]
async fn the_last_of_what_was_missed_is_run_once() {
    let once = hourly(|one| one.schedule.missed = Missed::Once);
    let never = hourly(|one| one.schedule.name = Some("never".to_owned()));
    let all = vec![Arc::clone(&once), never];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let late = HOUR + 5 * 60 * MINUTE + 30 * MINUTE;
    for round in 0..2 {
        let timed = Timed::open(Arc::clone(&folder), all.clone(), 2, late).await;
        let runs = timed.until("it ran late", |runs| runs.iter().any(|run| run.ended_ms.is_some())).await;
        assert_eq!(states(&runs), [(HOUR + 5 * 60 * MINUTE, RunState::Ok)], "round {round}");
        assert_eq!(runs[0].schedule, "App.Tick");
        // What is due next comes as ever, and nothing that was missed comes before it.
        if round == 1 {
            timed.set(HOUR + 6 * 60 * MINUTE);
            let runs = timed.until("both ran", |runs| runs.len() == 3).await;
            assert!(runs[..2].iter().all(|run| run.tick_ms == HOUR + 6 * 60 * MINUTE), "{runs:?}");
        }
    }
}

#[tokio::test]
async fn what_died_elsewhere_is_lost_or_begun_again_here() {
    let retried = hourly(|one| {
        one.schedule.name = Some("retried".to_owned());
        one.schedule.retry = true;
    });
    let lost = hourly(|_| ());
    let timed = Timed::new(vec![Arc::clone(&retried), Arc::clone(&lost)]).await;
    timed.fixture.node.set(|state| state.runs = [Ok(())].into());
    for one in [&retried, &lost] {
        let wish = Wish {
            key: &key(one),
            tick_ms: HOUR - 60 * MINUTE,
            by_hand: false,
            overlap: false,
            retry: one.schedule.retry,
            unless_after_ms: None,
            node: "dead",
            now_ms: BEGIN - 11_000,
        };
        assert!(matches!(timed.fixture.db.claim_run(&wish).await.unwrap(), Claimed::Held(_)));
    }
    let ended = |runs: &[Run]| runs.iter().all(|run| run.ended_ms.is_some());
    let runs = timed.until("both are looked after", ended).await;
    let of = |name: &str| runs.iter().find(|run| run.schedule == name).unwrap();
    let again = of("retried");
    assert_eq!((again.state, again.attempts, again.node.as_str()), (RunState::Ok, 2, "n1"));
    assert_eq!(of("App.Tick").state, RunState::Lost);
    assert_eq!(of("App.Tick").error.as_deref(), Some("the node dead ended while it ran"));
    assert_eq!(timed.begun(1).await.len(), 1);
}

#[tokio::test]
async fn a_run_that_is_another_nodes_by_now_is_ended_here() {
    let timed = Timed::new(vec![hourly(|_| ())]).await;
    let (_, run) = timed.by_hand(json!({"service": "app"})).await;
    let id = run["id"].as_str().unwrap().to_owned();
    timed.begun(1).await;
    // Another node could not see this one for a while.
    let taken = timed.fixture.db.reap_runs("n2", BEGIN + 3_600_000, |_| true).await.unwrap();
    assert_eq!(taken, []);
    timed.fixture.node.until("it was dropped", |state| state.dropped == [id.clone()]).await;
    let runs = timed.until("it is lost", |runs| runs[0].state == RunState::Lost).await;
    assert_eq!(runs.len(), 1);
}

#[tokio::test]
async fn a_stop_gives_runs_up_at_once() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let one = hourly(|one| one.schedule.retry = true);
    let timed = Timed::open(Arc::clone(&folder), vec![Arc::clone(&one)], 0, BEGIN).await;
    let (_, run) = timed.by_hand(json!({"service": "app"})).await;
    timed.begun(1).await;
    let Timed { fixture, .. } = timed;
    let (node, db) = (Arc::clone(&fixture.node), fixture.db.clone());
    drop(fixture);
    node.until("it was dropped", |state| !state.dropped.is_empty()).await;
    drop(db);
    // The next process begins it again, though no time went by.
    let timed = Timed::open(folder, vec![one], 1, BEGIN).await;
    let runs = timed.until("it ran again", |runs| runs.iter().all(|run| run.state == RunState::Ok)).await;
    assert_eq!((&json!(runs[0].id), runs[0].attempts), (&run["id"], 2));
}

/// A job's schedule of this name.
fn job(name: &str) -> Arc<Scheduled> {
    hourly(|one| {
        one.schedule.name = Some(name.to_owned());
        one.schedule.endpoint = String::new();
    })
}

#[tokio::test]
async fn a_job_is_started_by_its_schedule_and_ends_with_it() {
    let timed = Timed::new(vec![job("nightly"), hourly(|_| ())]).await;
    timed.fixture.node.set(|state| state.runs = [].into());
    for schedule in ["nightly", "App.Tick"] {
        let (status, run) = timed.by_hand(json!({"service": "app", "schedule": schedule})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{run}");
    }
    let calls = timed.begun(2).await;
    let started = calls.iter().find(|call| call.endpoint.is_empty()).unwrap();
    assert!(started.metadata.contains(&("Micro-Schedule".to_owned(), "nightly".to_owned())));
    // The service is stopped: its job ends, a call ends by itself.
    timed.fixture.node.set(|state| state.schedules.clear());
    timed.fixture.control.poke();
    let ended = |runs: &[Run]| runs.iter().any(|run| run.ended_ms.is_some());
    let runs = timed.until("the job ended", ended).await;
    let of = |name: &str| runs.iter().find(|run| run.schedule == name).unwrap();
    assert_eq!(of("nightly").state, RunState::Failed);
    let text = "the service was stopped, or its schedule removed, while it ran";
    assert_eq!(of("nightly").error.as_deref(), Some(text));
    let id = started.request_id.clone();
    timed.fixture.node.until("it was dropped", |state| state.dropped == [id.clone()]).await;
    assert_eq!(of("App.Tick").state, RunState::Running);
}

#[tokio::test]
async fn a_namespace_has_few_jobs_at_once_and_calls_do_not_wait_for_them() {
    let mut all: Vec<_> = ["a", "b", "c", "d", "e"].map(job).into();
    all.push(hourly(|_| ()));
    let timed = Timed::new(all).await;
    timed.set(HOUR);
    let under_way = |runs: &[Run]| {
        let jobs = runs.iter().filter(|run| run.schedule != "App.Tick").count();
        (jobs, runs.len() - jobs)
    };
    let runs = timed.until("what has a place is begun", |runs| under_way(runs) == (4, 1)).await;
    let refused =
        ["a", "b", "c", "d", "e"].into_iter().find(|name| runs.iter().all(|run| run.schedule != *name));
    let wish = json!({"service": "app", "schedule": refused.unwrap()});
    assert_eq!(error(&timed.by_hand(wish).await).0, 429);
    assert_eq!(timed.begun(5).await.len(), 5);
    // One of them goes, and the last has its place.
    let gone = timed.begun(5).await.into_iter().find(|call| call.endpoint.is_empty()).unwrap();
    let name = gone.metadata[0].1.clone();
    timed.fixture.node.set(|state| state.schedules.retain(|one| one.schedule.name() != name));
    timed.fixture.control.poke();
    timed.until("the last is begun", |runs| under_way(runs) == (5, 1)).await;
    assert!(timed.begun(6).await.iter().any(|call| call.metadata[0].1 == refused.unwrap()));
}

#[tokio::test]
async fn another_tenants_schedules_are_not_there() {
    let fixture = people::platform().await;
    let (victim, stranger) = (fixture.someone("victoria").await, fixture.someone("mallory").await);
    let namespace: micro_api::Namespace = victim.namespace.parse().unwrap();
    let secret = hourly(|one| one.namespace = namespace);
    fixture.node.set(|state| {
        state.schedules = vec![secret];
        state.runs = [Ok(())].into();
    });
    let own = Who::In(&stranger.session, &stranger.namespace);
    let owner = Who::In(&victim.session, &victim.namespace);
    let wish = || Some(json!({"service": "app"}));
    assert_eq!(fixture.send_as(own, "GET", "/v1/jobs", None).await.1, json!([]));
    assert_eq!(fixture.send_as(own, "POST", "/v1/jobs/run", wish()).await.0, StatusCode::NOT_FOUND);
    let (status, run) = fixture.send_as(owner, "POST", "/v1/jobs/run", wish()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{run}");
    assert_eq!(fixture.send_as(own, "GET", "/v1/jobs/runs", None).await.1, json!([]));
    let (_, runs) = fixture.send_as(owner, "GET", "/v1/jobs/runs", None).await;
    assert_eq!(runs[0]["id"], run["id"]);
    let into = Who::In(&stranger.session, &victim.namespace);
    for (method, path, body) in
        [("GET", "/v1/jobs", None), ("GET", "/v1/jobs/runs", None), ("POST", "/v1/jobs/run", wish())]
    {
        assert_eq!(fixture.send_as(into, method, path, body.clone()).await.0, StatusCode::NOT_FOUND);
        assert_eq!(fixture.send_as(Who::Nobody, method, path, body).await.0, StatusCode::UNAUTHORIZED);
    }
}
