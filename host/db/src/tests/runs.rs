//! Ticks of schedules, and who has them.

use micro_api::jobs::{Run, RunState};

use super::*;
use crate::runs::{ATTEMPTS_MAX, ERROR_BYTES_MAX, HISTORY_MAX, LEASE_MS};
use crate::{Claimed, HeldRun, ScheduleKey, Wish};

const NOW: i64 = 1_800_000_000_000;

fn key(schedule: &str) -> ScheduleKey {
    ScheduleKey {
        namespace: namespace(),
        service: "app".to_owned(),
        version: "latest".to_owned(),
        schedule: schedule.to_owned(),
    }
}

fn wish<'a>(key: &'a ScheduleKey, tick_ms: i64) -> Wish<'a> {
    Wish {
        key,
        tick_ms,
        by_hand: false,
        overlap: false,
        retry: false,
        unless_after_ms: None,
        node: "n1",
        now_ms: NOW,
    }
}

impl Fixture {
    async fn claimed(&self, wish: &Wish<'_>) -> HeldRun {
        match self.db.claim_run(wish).await.unwrap() {
            Claimed::Held(run) => run,
            other => panic!("{other:?}"),
        }
    }

    async fn read(&self, run: &HeldRun) -> Run {
        self.db.run(&run.key.namespace, &run.id).await.unwrap().unwrap()
    }
}

/// Nodes with connections of their own, each of which sees each tick come.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_one_has_a_tick() {
    for fixture in each().await {
        let mut nodes = Vec::new();
        for node in 0..4 {
            let db = Db::connect(&fixture.url).await.unwrap();
            nodes.push(tokio::spawn(async move {
                let (key, name) = (key("a"), format!("n{node}"));
                let mut had = Vec::new();
                for tick in 0..10 {
                    let wish = Wish { node: &name, overlap: true, ..wish(&key, tick) };
                    if let Claimed::Held(run) = db.claim_run(&wish).await.unwrap() {
                        had.push(run.tick_ms);
                    }
                }
                db.close().await;
                had
            }));
        }
        let mut had = Vec::new();
        for node in nodes {
            had.extend(node.await.unwrap());
        }
        had.sort_unstable();
        assert_eq!(had, (0..10).collect::<Vec<_>>());
        assert_eq!(fixture.db.runs(&namespace(), None, None, None, 100).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn a_run_is_told_to_its_end() {
    for fixture in each().await {
        let (db, key) = (&fixture.db, key("a"));
        let run = fixture.claimed(&wish(&key, 7)).await;
        let told = fixture.read(&run).await;
        assert_eq!((told.state, told.tick_ms, told.attempts, told.by_hand), (RunState::Running, 7, 1, false));
        assert_eq!((told.node.as_str(), told.started_ms, told.ended_ms), ("n1", NOW, None));
        assert_eq!(db.claim_run(&wish(&key, 7)).await.unwrap(), Claimed::Taken);
        assert!(db.end_run(&run, None, NOW + 5).await.unwrap());
        assert!(!db.end_run(&run, Some("late"), NOW + 6).await.unwrap(), "it has ended");
        let told = fixture.read(&run).await;
        assert_eq!((told.state, told.ended_ms, told.error), (RunState::Ok, Some(NOW + 5), None));

        let run = fixture.claimed(&wish(&key, 8)).await;
        let long = "ü".repeat(ERROR_BYTES_MAX);
        assert!(db.end_run(&run, Some(&long), NOW + 9).await.unwrap());
        let told = fixture.read(&run).await;
        assert_eq!((told.state, told.error.unwrap().len()), (RunState::Failed, ERROR_BYTES_MAX));

        let run = fixture.claimed(&wish(&key, 9)).await;
        assert!(db.skip_run(&run, "used up", NOW + 9).await.unwrap());
        assert!(!db.skip_run(&run, "used up", NOW + 9).await.unwrap(), "it has ended");
        let told = fixture.read(&run).await;
        assert_eq!((told.state, told.ended_ms), (RunState::Skipped, Some(NOW + 9)));
        assert_eq!(told.error.as_deref(), Some("used up"));
        let other: Namespace = "other".parse().unwrap();
        assert_eq!(db.run(&other, &run.id).await.unwrap(), None);
        assert!(db.runs(&other, None, None, None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_run_under_way_keeps_others_away_until_its_lease_is_over() {
    for fixture in each().await {
        let (db, key, beside) = (&fixture.db, key("a"), key("b"));
        let first = fixture.claimed(&wish(&key, 1)).await;
        assert_eq!(db.claim_run(&wish(&key, 2)).await.unwrap(), Claimed::Overlaps);
        let by_hand = Wish { by_hand: true, ..wish(&key, 3) };
        assert_eq!(db.claim_run(&by_hand).await.unwrap(), Claimed::Overlaps);
        fixture.claimed(&wish(&beside, 1)).await;
        fixture.claimed(&Wish { overlap: true, ..wish(&key, 4) }).await;
        let told = db.runs(&namespace(), Some("app"), None, Some("a"), 10).await.unwrap();
        let states: Vec<_> = told.iter().map(|run| (run.tick_ms, run.state)).collect();
        use RunState::{Running, Skipped};
        assert_eq!(states, [(4, Running), (2, Skipped), (1, Running)], "nothing is noted of a run by hand");
        assert_eq!((told[1].ended_ms, told[1].attempts), (Some(NOW), 0));
        assert!(told[1].error.as_deref().unwrap().contains("under way"));
        // Nobody renewed it.
        let later = Wish { now_ms: NOW + LEASE_MS + 1, ..wish(&key, 5) };
        fixture.claimed(&later).await;
        assert_eq!(db.beat_runs(&[first], NOW).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_died_with_its_node_is_lost() {
    for fixture in each().await {
        let (db, key, alive) = (&fixture.db, key("a"), key("b"));
        let run = fixture.claimed(&wish(&key, 1)).await;
        let other = fixture.claimed(&wish(&alive, 1)).await;
        let over = NOW + LEASE_MS + 1;
        assert_eq!(db.beat_runs(std::slice::from_ref(&other), NOW + 3_000).await.unwrap(), []);
        assert_eq!(db.reap_runs("n2", NOW + LEASE_MS, |_| true).await.unwrap(), []);
        assert_eq!(fixture.read(&run).await.state, RunState::Running);
        // It does not want to be begun again.
        assert_eq!(db.reap_runs("n2", over, |_| true).await.unwrap(), []);
        let told = fixture.read(&run).await;
        assert_eq!((told.state, told.ended_ms), (RunState::Lost, Some(over)));
        assert_eq!(told.error.as_deref(), Some("the node n1 ended while it ran"));
        assert_eq!(fixture.read(&other).await.state, RunState::Running);
        // The node was only away.
        assert_eq!(
            db.beat_runs(&[run.clone(), other.clone()], over).await.unwrap(),
            std::slice::from_ref(&run)
        );
        assert!(!db.end_run(&run, None, over).await.unwrap());
        // One that stops in order need not be waited for.
        db.release_runs(std::slice::from_ref(&other)).await.unwrap();
        db.reap_runs("n2", over, |_| true).await.unwrap();
        assert_eq!(fixture.read(&other).await.state, RunState::Lost);
    }
}

#[tokio::test]
async fn what_wants_it_is_begun_again_by_another_but_not_for_ever() {
    for fixture in each().await {
        let (db, key) = (&fixture.db, key("a"));
        let first = fixture.claimed(&Wish { retry: true, ..wish(&key, 1) }).await;
        let mut now = NOW;
        let mut last = first.clone();
        for attempt in 2..=ATTEMPTS_MAX {
            now += LEASE_MS + 1;
            let node = format!("n{attempt}");
            let taken = db.reap_runs(&node, now, |of| *of == key).await.unwrap();
            assert_eq!(taken.len(), 1);
            assert_eq!((&taken[0].id, taken[0].tick_ms, taken[0].attempt), (&first.id, 1, attempt));
            assert!(!db.end_run(&last, None, now).await.unwrap(), "the fence");
            let told = fixture.read(&first).await;
            assert_eq!((told.attempts, told.state, told.node), (attempt, RunState::Running, node));
            last = taken[0].clone();
        }
        now += LEASE_MS + 1;
        assert_eq!(db.reap_runs("n9", now, |_| true).await.unwrap(), []);
        assert_eq!(fixture.read(&first).await.state, RunState::Lost);
        // Where nobody has the schedule any more.
        let run = fixture.claimed(&Wish { retry: true, now_ms: now, ..wish(&key, 2) }).await;
        assert_eq!(db.reap_runs("n9", now + LEASE_MS + 1, |_| false).await.unwrap(), []);
        assert_eq!(fixture.read(&run).await.state, RunState::Lost);
    }
}

#[tokio::test]
async fn the_last_missed_tick_is_had_once() {
    for fixture in each().await {
        let (db, key) = (&fixture.db, key("a"));
        let run = fixture.claimed(&wish(&key, 10)).await;
        db.end_run(&run, None, NOW).await.unwrap();
        fixture.claimed(&Wish { by_hand: true, overlap: true, ..wish(&key, 45) }).await;
        // Two nodes come back, one a little later: it sees another tick as the last.
        let late = |tick| Wish { unless_after_ms: Some(10), overlap: true, ..wish(&key, tick) };
        fixture.claimed(&late(30)).await;
        assert_eq!(db.claim_run(&late(40)).await.unwrap(), Claimed::Taken);
        assert_eq!(db.last_ticks().await.unwrap(), [(key.clone(), 30)], "a run by hand is no tick");
        let last = db.last_runs(&namespace()).await.unwrap();
        assert_eq!(last.iter().map(|run| run.tick_ms).collect::<Vec<_>>(), [45]);
    }
}

#[tokio::test]
async fn history_is_bounded() {
    for fixture in each().await {
        let (db, key, beside) = (&fixture.db, key("a"), key("b"));
        let under_way = fixture.claimed(&wish(&key, 0)).await;
        let other = fixture.claimed(&wish(&beside, 0)).await;
        db.end_run(&other, None, NOW).await.unwrap();
        for tick in 1..=HISTORY_MAX + 5 {
            let run = fixture.claimed(&Wish { overlap: true, ..wish(&key, tick) }).await;
            db.end_run(&run, None, NOW + tick).await.unwrap();
        }
        let of = async |schedule| {
            db.runs(&namespace(), None, Some("latest"), Some(schedule), 1_000).await.unwrap()
        };
        let kept = of("a").await;
        assert_eq!(kept.len() as i64, HISTORY_MAX + 1);
        assert_eq!((kept[0].tick_ms, kept.last().unwrap().tick_ms), (HISTORY_MAX + 5, under_way.tick_ms));
        assert_eq!(of("b").await.len(), 1);
        assert_eq!(db.runs(&namespace(), Some("app"), None, None, 3).await.unwrap().len(), 3);
        assert_eq!(db.prune_runs(NOW + HISTORY_MAX + 5).await.unwrap() as i64, HISTORY_MAX);
        let kept = of("a").await;
        assert_eq!(kept.len(), 2, "the newest, and what is under way");
    }
}
