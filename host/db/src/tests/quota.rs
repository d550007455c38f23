//! What a plan allows, where it is checked.

use super::*;
use crate::calendar::{month_of, month_start_ms};
use crate::quota::{Counted, check_count};
use crate::{Actor, Error, Quotas, Refusal, now_ms, usage};

/// Tries at the last place.
const TRIES: usize = 64;

fn operator() -> Actor {
    Actor { id: "operator".to_owned(), name: "operator".to_owned(), address: String::new() }
}

fn services(max: i64) -> Quotas {
    Quotas { services: Some(max), ..Quotas::default() }
}

impl Fixture {
    async fn try_run(&self, name: &str, quotas: &Quotas) -> Result<Deployment, Error> {
        self.db.submit_within(&namespace(), Action::Run, &request(name), quotas).await
    }

    async fn make_namespace(&self, name: &str) {
        let mut tx = self.db.begin(name).await.unwrap();
        crate::query::query(
            "test.namespace",
            "INSERT INTO namespaces (namespace, project, environment, description, plan, blocked, created_ms)
             VALUES ($1, 'p', 'production', '', 'free', 0, 1)",
        )
        .bind(name)
        .execute(&mut tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tries_at_the_last_service_one_passes() {
    for fixture in each().await {
        let quotas = services(3);
        fixture.try_run("a", &quotas).await.unwrap();
        fixture.try_run("b", &quotas).await.unwrap();
        let tries = (0..TRIES).map(|n| {
            let (db, quotas) = (fixture.db.clone(), quotas.clone());
            tokio::spawn(async move {
                db.submit_within(&namespace(), Action::Run, &request(&format!("c{n}")), &quotas).await
            })
        });
        let mut passed = 0;
        for tried in tries.collect::<Vec<_>>() {
            match tried.await.unwrap() {
                Ok(_) => passed += 1,
                Err(error) => {
                    assert!(
                        matches!(error, Error::Limit { limit: "services", max: 3, resets_ms: None }),
                        "{error:?}"
                    );
                    let shown = error.to_api("runtime");
                    assert_eq!(shown.code, 403);
                    assert_eq!(
                        shown.detail,
                        "limit: services: the plan of this namespace allows 3: stop one that is no longer needed \
                         with `micro kill`, or ask the operator for a larger plan"
                    );
                }
            }
        }
        assert_eq!(passed, 1);
        assert_eq!(fixture.db.used(&namespace(), 0).await.unwrap().services, 3);
        // A version more of a service that is there is no service more; nor is an update.
        let more = RunRequest { version: "next".to_owned(), ..request("a") };
        fixture.db.submit_within(&namespace(), Action::Run, &more, &quotas).await.unwrap();
        fixture.db.submit_within(&namespace(), Action::Update, &request("a"), &quotas).await.unwrap();
        // Another namespace has its own, and a place that is given back can be taken.
        fixture
            .db
            .submit_within(&"other".parse().unwrap(), Action::Run, &request("x"), &quotas)
            .await
            .unwrap();
        fixture.db.kill(&namespace(), "b", "latest").await.unwrap();
        fixture.try_run("d", &quotas).await.unwrap();
        assert!(fixture.try_run("e", &quotas).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tries_at_the_last_member_one_passes() {
    for fixture in each().await {
        let join = |db: Db, person: String| async move {
            let mut tx = db.begin("default").await?;
            check_count(&mut tx, "default", Counted::Members, Some(2)).await?;
            crate::query::query(
                "test.member",
                "INSERT INTO members (namespace, person, role, joined_ms) VALUES ('default', $1, 'viewer', 1)",
            )
            .bind(person)
            .execute(&mut tx)
            .await?;
            tx.commit().await
        };
        join(fixture.db.clone(), "owner".to_owned()).await.unwrap();
        let tries = (0..TRIES).map(|n| tokio::spawn(join(fixture.db.clone(), format!("p{n}"))));
        let mut passed = 0;
        for tried in tries.collect::<Vec<_>>() {
            match tried.await.unwrap() {
                Ok(()) => passed += 1,
                Err(error) => {
                    assert!(matches!(error, Error::Limit { limit: "members", max: 2, .. }), "{error:?}")
                }
            }
        }
        assert_eq!(passed, 1);
    }
}

/// A source is asked for under one name, and its `micro.toml` gives it another.
#[tokio::test]
async fn a_name_that_only_the_build_finds_is_counted_too() {
    for fixture in each().await {
        let quotas = services(1);
        fixture.try_run("a", &quotas).await.unwrap();
        fixture.claim().await;
        let branch = RunRequest { version: "branch".to_owned(), ..request("a") };
        fixture.db.submit_within(&namespace(), Action::Run, &branch, &quotas).await.unwrap();
        let job = fixture.claim().await;
        let renamed = fixture.db.resolved(&job, &"other".parse().unwrap(), "branch", None).await;
        assert!(matches!(renamed, Err(Error::Limit { limit: "services", .. })), "{renamed:?}");
        // Where the name gives way, there is room.
        fixture.db.kill(&namespace(), "a", "latest").await.unwrap();
        fixture.db.resolved(&job, &"other".parse().unwrap(), "branch", None).await.unwrap();
    }
}

#[tokio::test]
async fn builds_end_with_the_months_minutes() {
    for fixture in each().await {
        let quotas = Quotas { build_minutes: Some(1), ..Quotas::default() };
        fixture.try_run("first", &quotas).await.unwrap();
        // Both are allowed when they are asked for; then the first one uses the minute up.
        let second = fixture.try_run("second", &quotas).await.unwrap();
        let job = fixture.claim().await;
        let now = now_ms();
        let mut tx = fixture.db.begin("default").await.unwrap();
        usage::add_build(&mut tx, "default", "first", now - 60_000, now).await.unwrap();
        tx.commit().await.unwrap();
        if month_of(now - 60_000) != month_of(now) {
            return; // The minute over the end of a month is in both.
        }
        fixture.db.complete(&job, &revision("first")).await.unwrap();

        assert!(fixture.db.claim_job("worker", 60_000).await.unwrap().is_none());
        let failed = fixture.get(&second.id).await;
        assert_eq!(failed.state, DeploymentState::Failed);
        let error = failed.error.unwrap();
        assert_eq!(error.code, 429);
        assert!(
            error.detail.starts_with("limit: build_minutes: the plan of this namespace allows 1 a month")
        );
        let refused = fixture.try_run("third", &quotas).await.unwrap_err();
        let Error::Limit { limit: "build_minutes", max: 1, resets_ms: Some(resets_ms) } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(resets_ms, month_start_ms(month_of(now) + 1));
        let day = crate::calendar::day_text(crate::calendar::day_of(resets_ms));
        assert!(refused.to_string().contains(&format!("starts again on {day} at 00:00 UTC")), "{refused}");
        // Without the limit it goes on.
        fixture.try_run("third", &Quotas::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_blocked_namespace_builds_nothing() {
    for fixture in each().await {
        let db = &fixture.db;
        let (blocked, other): (Namespace, Namespace) = ("bad".parse().unwrap(), "good".parse().unwrap());
        fixture.make_namespace("bad").await;
        fixture.make_namespace("good").await;
        let in_work = db.submit(&blocked, Action::Run, &request("a")).await.unwrap();
        let waits = db.submit(&blocked, Action::Run, &request("b")).await.unwrap();
        let job = fixture.claim().await;
        assert_eq!(job.deployment, in_work.id);
        db.submit(&other, Action::Run, &request("c")).await.unwrap();
        assert!(db.holds_job(&job).await.unwrap());
        let before = db.access_revision().await.unwrap();

        db.set_namespace_blocked(&blocked, true, "mines coins", &operator()).await.unwrap();
        assert!(db.access_revision().await.unwrap() > before, "nodes hear of it");
        assert!(!db.holds_job(&job).await.unwrap() && !db.heartbeat(&job, 60_000).await.unwrap());
        assert!(matches!(db.complete(&job, &revision("a")).await, Err(Error::LeaseLost)));
        for deployment in [in_work, waits] {
            let found = db.deployment(&blocked, &deployment.id).await.unwrap().unwrap();
            assert_eq!(found.deployment.state, DeploymentState::Stopped);
        }
        let refused = db.submit(&blocked, Action::Run, &request("d")).await.unwrap_err();
        assert!(matches!(&refused, Error::Blocked(name) if name == "bad"), "{refused:?}");
        assert_eq!(refused.to_api("runtime").code, 403);
        assert_eq!(fixture.claim().await.namespace, other);
        assert!(db.claim_job("worker", 60_000).await.unwrap().is_none());

        db.set_namespace_blocked(&blocked, false, "", &operator()).await.unwrap();
        db.submit(&blocked, Action::Run, &request("d")).await.unwrap();
        assert_eq!(fixture.claim().await.namespace, blocked);
        let nobody = db.set_namespace_blocked(&"nobody".parse().unwrap(), true, "", &operator()).await;
        assert!(matches!(nobody, Err(Error::Refused(Refusal::NoNamespace))), "{nobody:?}");
    }
}

#[tokio::test]
async fn a_change_of_plan_is_heard_of() {
    for fixture in each().await {
        let db = &fixture.db;
        let name: Namespace = "team".parse().unwrap();
        fixture.make_namespace("team").await;
        assert_eq!(db.namespace_plan(&name).await.unwrap().as_deref(), Some("free"));
        let before = db.access_revision().await.unwrap();
        db.set_namespace_plan(&name, "large", "they pay", &operator()).await.unwrap();
        assert_eq!(db.namespace_plan(&name).await.unwrap().as_deref(), Some("large"));
        assert!(db.access_revision().await.unwrap() > before);
        assert_eq!(db.namespace_plan(&"nobody".parse().unwrap()).await.unwrap(), None);
        let log = db.audit_of(&name, "", 10).await.unwrap();
        assert_eq!(
            log.first().map(|line| (line.action.as_str(), line.detail.as_str())),
            Some(("namespace.plan", "they pay"))
        );
    }
}
