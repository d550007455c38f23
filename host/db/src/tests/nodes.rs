//! Which nodes are alive, and what is whose.

use super::*;
use crate::nodes::{Beat, LEASE_MS};

#[tokio::test]
async fn a_lease_is_kept_or_begins_anew() {
    for fixture in each().await {
        let db = &fixture.db;
        assert_eq!(db.beat_node("a", "first", LEASE_MS).await.unwrap(), Beat::Begun);
        assert_eq!(db.beat_node("a", "first", LEASE_MS).await.unwrap(), Beat::Kept);
        // Another process of the node, at once.
        assert_eq!(db.beat_node("a", "second", LEASE_MS).await.unwrap(), Beat::Begun);
        assert_eq!(db.beat_node("b", "third", LEASE_MS).await.unwrap(), Beat::Begun);
        assert_eq!(db.live_nodes().await.unwrap(), ["a", "b"]);
        // Its end was before.
        assert_eq!(db.beat_node("b", "third", -1).await.unwrap(), Beat::Kept);
        assert_eq!(db.live_nodes().await.unwrap(), ["a"]);
        assert_eq!(db.beat_node("b", "third", LEASE_MS).await.unwrap(), Beat::Begun);
        // Only who has it gives it up.
        db.release_node("a", "first").await.unwrap();
        assert_eq!(db.live_nodes().await.unwrap(), ["a", "b"]);
        db.release_node("a", "second").await.unwrap();
        assert_eq!(db.live_nodes().await.unwrap(), ["b"]);
        db.beat_node("c", "fourth", -2_000).await.unwrap();
        db.sweep_nodes(1_000).await.unwrap();
        db.sweep_nodes(600_000).await.unwrap();
        assert_eq!(db.live_nodes().await.unwrap(), ["b"]);
    }
}

#[tokio::test]
async fn a_lease_that_nobody_could_have_used_is_kept() {
    for fixture in each().await {
        let db = &fixture.db;
        db.beat_node("a", "first", -2_000).await.unwrap();
        // As after a step of the clock: nobody else was there.
        assert_eq!(db.beat_node("a", "first", -2_000).await.unwrap(), Beat::Kept);
        db.beat_node("b", "second", -3_000).await.unwrap();
        assert_eq!(db.beat_node("a", "first", -2_000).await.unwrap(), Beat::Kept, "b ended before");
        // It was there, even if it is no more.
        db.beat_node("b", "second", LEASE_MS).await.unwrap();
        db.release_node("b", "second").await.unwrap();
        assert!(db.live_nodes().await.unwrap().is_empty());
        assert_eq!(db.beat_node("a", "first", LEASE_MS).await.unwrap(), Beat::Begun);
    }
}

#[tokio::test]
async fn work_is_one_nodes_until_its_lease_has_run_out() {
    for fixture in each().await {
        let db = &fixture.db;
        let deployment = fixture.run("batch").await;
        fixture.build().await;
        let free = db.work("a").await.unwrap().start.remove(0);
        assert!(db.take(&free, "a").await.unwrap().is_none(), "a has no lease");
        for node in ["a", "b"] {
            db.beat_node(node, "process", LEASE_MS).await.unwrap();
        }
        let record = db.take(&free, "a").await.unwrap().expect("a has it");
        assert!(db.take(&free, "b").await.unwrap().is_none());
        assert!(db.work("b").await.unwrap().start.is_empty());
        assert_eq!(db.work("a").await.unwrap().start.len(), 1);
        let error = db.starting(&free).await.unwrap_err();
        assert!(matches!(error, Error::Elsewhere { .. }), "{error}");
        let record = db.starting(&record).await.unwrap();
        let record = db.running(&record, true).await.unwrap();
        assert_eq!(db.work("a").await.unwrap().jobs.len(), 1);
        assert!(db.work("b").await.unwrap().jobs.is_empty());

        db.beat_node("a", "process", -1).await.unwrap();
        let waits = db.work("b").await.unwrap().jobs.remove(0);
        let theirs = db.take(&waits, "b").await.unwrap().expect("b has it");
        assert!(db.take(&waits, "a").await.unwrap().is_none());
        // What a still does is refused.
        assert!(db.count_restart(&record).await.is_err());
        for refused in [db.finished(&record).await, db.stopped(&record).await] {
            assert!(matches!(refused.unwrap_err(), Error::Elsewhere { .. }));
        }
        db.count_restart(&theirs).await.unwrap();
        db.finished(&theirs).await.unwrap();
        assert_eq!(fixture.state(&deployment.id).await, DeploymentState::Stopped);
        assert!(db.take(&waits, "b").await.unwrap().is_none(), "it moved on");
    }
}

#[tokio::test]
async fn of_nodes_that_take_at_once_one_has_it() {
    for fixture in each().await {
        fixture.run("helloworld").await;
        fixture.build().await;
        let nodes: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
        for node in &nodes {
            fixture.db.beat_node(node, "process", LEASE_MS).await.unwrap();
        }
        let waits = fixture.db.work("n0").await.unwrap().start.remove(0);
        let took = futures::future::join_all(nodes.iter().map(|node| fixture.db.take(&waits, node))).await;
        let has = took.into_iter().filter_map(|taken| taken.unwrap()?.node).collect::<Vec<_>>();
        assert_eq!(has.len(), 1, "{has:?}");
    }
}

#[tokio::test]
async fn one_node_does_what_is_done_once() {
    for fixture in each().await {
        let db = &fixture.db;
        db.beat_node("a", "process", LEASE_MS).await.unwrap();
        assert_eq!(db.lead("events", "a", LEASE_MS).await.unwrap(), Some(i64::MAX), "nobody ever did");
        assert!(db.lead("events", "a", LEASE_MS).await.unwrap().is_some_and(|gap| gap < LEASE_MS));
        assert_eq!(db.lead("events", "b", LEASE_MS).await.unwrap(), None);
        assert_eq!(db.lead("other", "b", LEASE_MS).await.unwrap(), Some(i64::MAX));
        // Its lease is over.
        assert!(db.lead("events", "b", -1).await.unwrap().is_some_and(|gap| gap < LEASE_MS));
        assert_eq!(db.lead("events", "a", LEASE_MS).await.unwrap(), None);
        db.beat_node("b", "process", LEASE_MS).await.unwrap();
        db.release_node("b", "process").await.unwrap();
        assert!(db.lead("events", "a", LEASE_MS).await.unwrap().is_some_and(|gap| gap < LEASE_MS));
    }
}

#[tokio::test]
async fn a_lease_does_not_outlast_a_clock_that_went_back() {
    for fixture in each().await {
        let db = &fixture.db;
        // As if each had been begun an hour from now.
        db.beat_node("dead", "process", 3_600_000).await.unwrap();
        db.lead("events", "dead", LEASE_MS).await.unwrap();
        let mut tx = db.begin_unlocked().await.unwrap();
        let leads = crate::query::query("test.leads", "UPDATE leads SET alive_ms = alive_ms + 3600000");
        leads.execute(&mut tx).await.unwrap();
        tx.commit_quietly().await.unwrap();
        db.beat_node("dead", "process", 3_600_000).await.unwrap();

        db.beat_node("a", "process", LEASE_MS).await.unwrap();
        assert_eq!(db.lead("events", "a", LEASE_MS).await.unwrap(), None, "it may be alive");
        assert_eq!(db.live_nodes().await.unwrap(), ["a", "dead"]);
        let rows = crate::query::query("test.nodes", "SELECT lease_until_ms FROM nodes WHERE id = 'dead'");
        let (until,) = rows.read_first::<(i64,)>(db).await.unwrap().unwrap();
        assert!(until <= db.clock_ms().await.unwrap() + LEASE_MS, "as long as any other");
        // As after a lease.
        assert!(db.lead("events", "a", -1).await.unwrap().is_some_and(|gap| gap < LEASE_MS));
    }
}
