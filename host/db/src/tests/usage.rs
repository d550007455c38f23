//! Counting, budgets, alerts and the ledger.

use super::*;
use crate::calendar::{DAY_MS, day_of, first_day, month_of, month_start_ms};
use crate::ledger::{self, NewEntry};
use crate::query::Query;
use crate::usage::{self, Batch, Budget, Grant, Level, Sample, StoreSize, Wish, alerts};
use crate::{Error, now_ms};

/// 2026-11-26, noon.
const NOON: i64 = 20_783 * DAY_MS + DAY_MS / 2;

fn batch(sequence: i64) -> Batch {
    Batch {
        node: "node".to_owned(),
        boot: "boot".to_owned(),
        sequence,
        now_ms: NOON,
        lease_ms: 30_000,
        ..Batch::default()
    }
}

fn sample(service: &str, requests: i64) -> Sample {
    Sample {
        namespace: "default".to_owned(),
        service: service.to_owned(),
        day: day_of(NOON),
        requests,
        cpu_ms: requests * 2,
        memory_mib_seconds: 3,
        egress_bytes: 4,
    }
}

fn store(service: &str, bytes: i64) -> StoreSize {
    StoreSize { namespace: "default".to_owned(), service: service.to_owned(), bytes }
}

fn wish(held: i64, want: i64, max: i64) -> Wish {
    Wish { namespace: "default".to_owned(), budget: Budget::Requests, max, held, want }
}

impl Fixture {
    async fn flush(&self, batch: &Batch) -> Vec<Grant> {
        self.db.flush_usage(batch).await.unwrap()
    }

    async fn requests(&self) -> i64 {
        self.db.month(&namespace(), month_of(NOON)).await.unwrap().requests
    }
}

#[tokio::test]
async fn a_batch_that_is_sent_again_counts_once() {
    for fixture in each().await {
        let samples = vec![sample("a", 5), sample("b", 1), sample("a", 2)];
        let first = Batch { samples, ..batch(1) };
        for _ in 0..3 {
            fixture.flush(&first).await;
        }
        assert_eq!(fixture.requests().await, 8);
        fixture.flush(&Batch { samples: vec![sample("a", 10)], ..batch(2) }).await;
        // A late copy of an old one.
        fixture.flush(&first).await;
        assert_eq!(fixture.requests().await, 18);
        // The numbers of another boot, and of another node, are their own.
        fixture.flush(&Batch { boot: "next".to_owned(), ..first.clone() }).await;
        fixture.flush(&Batch { node: "other".to_owned(), ..first.clone() }).await;
        assert_eq!(fixture.requests().await, 34);

        let rows = fixture.db.usage(&namespace(), day_of(NOON), None, 100).await.unwrap();
        let shown: Vec<_> =
            rows.iter().map(|row| (row.day.as_str(), row.service.as_str(), row.requests)).collect();
        assert_eq!(shown, [("2026-11-26", "a", 31), ("2026-11-26", "b", 3)]);
        let a = rows.first().unwrap();
        assert_eq!((a.cpu_ms, a.memory_mib_seconds, a.egress_bytes), (62, 21, 28));
        // A retry whose first try may or may not have arrived, as when the connection broke.
        let parallel = Batch { samples: vec![sample("a", 100)], ..batch(3) };
        let (one, two) = tokio::join!(fixture.db.flush_usage(&parallel), fixture.db.flush_usage(&parallel));
        one.and(two).unwrap();
        assert_eq!(fixture.requests().await, 134);
    }
}

/// The process is killed between batches, at any point: what was sent is counted in full or not at all.
#[tokio::test]
async fn what_a_dropped_flush_leaves_is_whole() {
    for fixture in each().await {
        let mut sent = 0;
        for n in 0..30 {
            let batch = Batch { samples: vec![sample("a", 1), sample("b", 1)], ..batch(n) };
            let flush = fixture.db.flush_usage(&batch);
            let dropped = tokio::time::timeout(std::time::Duration::from_micros(100 * n as u64), flush).await;
            if dropped.is_err() {
                // The same batch again, by the one that does not know.
                fixture.flush(&batch).await;
            }
            sent += 2;
        }
        assert_eq!(fixture.requests().await, sent);
        let rows = fixture.db.usage(&namespace(), day_of(NOON), None, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.requests).sum::<i64>(), sent);
    }
}

#[tokio::test]
async fn days_and_months_end_at_midnight_utc() {
    for fixture in each().await {
        let midnight = month_start_ms(month_of(NOON) + 1);
        let at = |ms: i64, requests| Sample { day: day_of(ms), ..sample("a", requests) };
        let samples = vec![at(midnight - 1, 3), at(midnight, 4)];
        fixture.flush(&Batch { samples, now_ms: midnight + 5, ..batch(1) }).await;
        assert_eq!(fixture.requests().await, 3);
        let next = fixture.db.month(&namespace(), month_of(NOON) + 1).await.unwrap();
        assert_eq!(next.requests, 4);
        let rows = fixture.db.usage(&namespace(), 0, None, 10).await.unwrap();
        let days: Vec<_> = rows.iter().map(|row| (row.day.as_str(), row.requests)).collect();
        assert_eq!(days, [("2026-11-30", 3), ("2026-12-01", 4)]);
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_repetition() {
    for fixture in each().await {
        let services = (0..7).map(|n| format!("s{n}"));
        let samples = services
            .flat_map(|name| (0..5).map(move |day| Sample { day: day_of(NOON) - day, ..sample(&name, 1) }))
            .collect();
        fixture.flush(&Batch { samples, ..batch(1) }).await;
        let from = day_of(NOON) - 3;
        let all = fixture.db.usage(&namespace(), from, None, 100).await.unwrap();
        assert_eq!(all.len(), 28, "four days of seven services");
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let (day, service) = after.clone().unwrap_or((0, String::new()));
            let of = namespace();
            let page = fixture.db.usage(&of, from, after.as_ref().map(|_| (day, service.as_str())), 5);
            let page = page.await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((crate::calendar::parse_day(&last.day).unwrap(), last.service.clone()));
            paged.extend(page);
        }
        assert_eq!(paged, all);
        assert!(fixture.db.usage(&"other".parse().unwrap(), 0, None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_the_store_holds_is_noted_on_every_day() {
    for fixture in each().await {
        let day = day_of(NOON);
        fixture
            .flush(&Batch { stores: vec![store("a", 100), store("b", 7), store("a", 50)], ..batch(1) })
            .await;
        fixture.flush(&Batch { samples: vec![sample("a", 1)], ..batch(2) }).await;
        assert_eq!(
            bytes(&fixture, day).await,
            [("2026-11-26 a".to_owned(), 50), ("2026-11-26 b".to_owned(), 7)]
        );
        fixture.flush(&Batch { stores: vec![store("b", 0)], ..batch(3) }).await;
        for _ in 0..2 {
            fixture.db.carry_store(day + 1).await.unwrap();
        }
        assert_eq!(bytes(&fixture, day + 1).await, [("2026-11-27 a".to_owned(), 50)]);
        let used = fixture.db.used(&namespace(), month_of(NOON)).await.unwrap();
        assert_eq!((used.store_bytes, used.month.requests), (50, 1));
        let total = fixture.db.total(&namespace(), day, day + 2).await.unwrap();
        assert_eq!((total.store_byte_days, total.requests), (100, 1));
    }
}

async fn bytes(fixture: &Fixture, from: i64) -> Vec<(String, i64)> {
    let rows = fixture.db.usage(&namespace(), from, None, 10).await.unwrap();
    rows.into_iter().map(|row| (format!("{} {}", row.day, row.service), row.store_bytes)).collect()
}

/// Whatever the order in which nodes ask, spend and die: together they are never given more than there is.
#[tokio::test]
async fn nodes_share_a_budget() {
    for fixture in each().await {
        let max = 1_000;
        let of = |node: &str, sequence, requests, wish: Wish| Batch {
            node: node.to_owned(),
            samples: vec![sample("a", requests)],
            wishes: vec![wish],
            ..batch(sequence)
        };
        let only = |grants: Vec<Grant>| grants.into_iter().next().unwrap();
        let a = only(fixture.flush(&of("a", 1, 0, wish(0, 400, max))).await);
        assert_eq!((a.granted, a.free, a.used), (400, 600, 0));
        let b = only(fixture.flush(&of("b", 1, 0, wish(0, 400, max))).await);
        assert_eq!((b.granted, b.free), (400, 200));
        // 300 spent, 100 left: it may have 200 more, which is all.
        let a = only(fixture.flush(&of("a", 2, 300, wish(100, 400, max))).await);
        assert_eq!((a.granted, a.free, a.used), (200, 0, 300));
        // A debt of 50 was counted where it was spent.
        let b = only(fixture.flush(&of("b", 2, 450, wish(-50, 400, max))).await);
        assert_eq!((b.granted, b.free, b.used), (50, 0, 750), "nothing is left but what `a` holds");
        // `a` gives back what it does not need.
        let a = only(fixture.flush(&of("a", 3, 0, wish(300, 0, max))).await);
        assert_eq!((a.granted, a.free), (-300, 250));
        let b = only(fixture.flush(&of("b", 3, 0, wish(0, 400, max))).await);
        assert_eq!((b.granted, b.free), (250, 0));
        // `b` dies with 250. Its lease runs out, and `a` may have them.
        let late =
            |sequence, held| Batch { now_ms: NOON + 30_000, ..of("a", sequence, 0, wish(held, 400, max)) };
        let a = only(fixture.flush(&of("a", 4, 0, wish(0, 400, max))).await);
        assert_eq!(a.granted, 0);
        let a = only(fixture.flush(&late(5, 0)).await);
        assert_eq!((a.granted, a.used), (250, 750));
        // Another month begins with all of it.
        let next = Batch { now_ms: month_start_ms(month_of(NOON) + 1), ..of("a", 6, 0, wish(0, 400, max)) };
        let a = only(fixture.flush(&next).await);
        assert_eq!((a.granted, a.free, a.used), (400, 600, 0));
        // A plan that became smaller takes back what was given.
        let less = Batch { now_ms: next.now_ms + 1, ..of("a", 7, 0, wish(400, 400, 100)) };
        assert_eq!(only(fixture.flush(&less).await).granted, -300);
    }
}

#[tokio::test]
async fn nodes_that_ask_at_once_are_given_it_once() {
    for fixture in each().await {
        let asking = (0..16).map(|n| {
            let db = fixture.db.clone();
            let batch = Batch { node: format!("n{n}"), wishes: vec![wish(0, 100, 1_000)], ..batch(1) };
            tokio::spawn(async move { db.flush_usage(&batch).await.unwrap().first().unwrap().granted })
        });
        let mut given = 0;
        for asked in asking.collect::<Vec<_>>() {
            given += asked.await.unwrap();
        }
        assert_eq!(given, 1_000);
    }
}

#[tokio::test]
async fn a_namespace_is_told_once_of_each_level() {
    for fixture in each().await {
        let db = &fixture.db;
        let month = month_of(NOON);
        let level = |level, used| Level {
            namespace: "default".to_owned(),
            month,
            name: "requests_per_month",
            level,
            used,
            max: 100,
        };
        assert_eq!(db.raise_alerts(vec![level(80, 81)]).await.unwrap(), [level(80, 81)]);
        assert_eq!(db.raise_alerts(vec![level(80, 90), level(100, 100)]).await.unwrap(), [level(100, 100)]);
        assert!(db.raise_alerts(vec![level(80, 99), level(100, 101)]).await.unwrap().is_empty());
        let next = Level { month: month + 1, ..level(80, 80) };
        assert_eq!(db.raise_alerts(vec![next.clone()]).await.unwrap(), [next]);

        let due = db.due_alerts(60_000).await.unwrap();
        assert_eq!(due.len(), 3);
        assert!(db.due_alerts(60_000).await.unwrap().is_empty(), "somebody has taken them up");
        db.alert_told(due.first().unwrap()).await.unwrap();
        // Whoever took up the others did not come back.
        assert_eq!(db.due_alerts(-1).await.unwrap().len(), 2);
        let of_month = db.alerts(&namespace(), month).await.unwrap();
        assert_eq!(of_month.iter().map(|alert| alert.level).collect::<Vec<_>>(), [80, 100]);
    }
}

#[tokio::test]
async fn standings_are_those_that_changed() {
    for fixture in each().await {
        let at = |namespace: &str, sequence, now_ms| Batch {
            samples: vec![Sample { namespace: namespace.to_owned(), ..sample("a", 1) }],
            now_ms,
            ..batch(sequence)
        };
        fixture.flush(&at("first", 1, NOON)).await;
        fixture.flush(&at("second", 2, NOON + 10)).await;
        let stores = vec![StoreSize { namespace: "first".to_owned(), ..store("a", 12) }];
        fixture.flush(&Batch { stores, now_ms: NOON + 20, ..batch(3) }).await;
        let found = fixture.db.standings(month_of(NOON), NOON + 10).await.unwrap();
        let names: Vec<_> = found.iter().map(|one| (one.namespace.as_str(), one.store_bytes)).collect();
        assert_eq!(names, [("second", 0), ("first", 12)]);
        assert!(fixture.db.standings(month_of(NOON) + 1, 0).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_entry_of_the_ledger_is_noted_once() {
    for fixture in each().await {
        let db = &fixture.db;
        let entry = |entry: &str, amount| NewEntry {
            entry: entry.to_owned(),
            namespace: namespace(),
            description: format!("for {entry}"),
            amount_millicents: amount,
            currency: "EUR".to_owned(),
        };
        let both =
            [entry("invoice/default/2026-10/plan", 3_500_000), entry("invoice/default/2026-10/cpu", 12)];
        assert_eq!(db.note(&both).await.unwrap(), 2);
        assert_eq!(db.note(&both).await.unwrap(), 0);
        assert_eq!(db.note(&[entry("payment/default/2026-10", -3_500_012)]).await.unwrap(), 1);
        assert!(db.is_noted("payment/default/2026-10").await.unwrap());
        assert!(!db.is_noted("payment/other/2026-10").await.unwrap());
        let entries = db.ledger(&namespace()).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.amount_millicents).sum::<i64>(), 0);
        assert_eq!(entries.len(), 3);
        assert!(db.ledger(&"other".parse().unwrap()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn old_days_are_forgotten() {
    for fixture in each().await {
        let old = Sample { day: first_day(month_of(NOON)) - 40, ..sample("a", 1) };
        fixture.flush(&Batch { samples: vec![old, sample("a", 2)], ..batch(1) }).await;
        fixture.db.prune_usage(day_of(NOON), NOON - 1).await.unwrap();
        let rows = fixture.db.usage(&namespace(), 0, None, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.requests).collect::<Vec<_>>(), [2]);
        // The batch is still known.
        fixture.flush(&Batch { samples: vec![sample("a", 2)], ..batch(1) }).await;
        assert_eq!(fixture.requests().await, 2);
    }
}

/// No list and no check reads a whole table, however many tenants there are.
#[tokio::test]
async fn every_query_of_usage_goes_by_an_index() {
    for fixture in each().await {
        let queries: Vec<(&str, Query)> = vec![
            ("page", usage::usage_page().bind(&namespace()).bind(1_i64).bind("").bind(10_i64)),
            ("month", usage::month_query().bind(&namespace()).bind(1_i64)),
            ("counts", usage::counts_query().bind(&namespace())),
            ("total", usage::total_query().bind(&namespace()).bind(1_i64).bind(2_i64)),
            ("standings", alerts::standings_query().bind(1_i64).bind(2_i64).bind(3_i64)),
            ("due", alerts::due_query().bind(1_i64)),
            ("ledger", ledger::ledger_query().bind(&namespace()).bind(10_i64)),
            ("of plan", ledger::namespaces_of_plan_query().bind("free").bind("").bind(10_i64)),
        ];
        for (name, query) in queries {
            for step in query.explained(&fixture.db).await {
                assert!(!step.contains("Seq Scan"), "{name}: {step}");
                let whole =
                    step.starts_with("SCAN") && !step.contains("USING") && !step.contains("CONSTANT ROW");
                assert!(!whole, "{name}: {step}");
                assert!(!step.contains("TEMP B-TREE"), "{name} sorts: {step}");
            }
        }
    }
}

#[tokio::test]
async fn time_at_a_builder_is_counted_once() {
    for fixture in each().await {
        let db = &fixture.db;
        let month = month_of(now_ms());
        let built = || async { db.month(&namespace(), month).await.unwrap().build_ms };
        fixture.run("slow").await;
        let job = fixture.claim().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        db.complete(&job, &revision("slow")).await.unwrap();
        let first = built().await;
        assert!((20..10_000).contains(&first), "{first}");
        assert!(matches!(db.complete(&job, &revision("slow")).await, Err(Error::LeaseLost)));
        assert_eq!(built().await, first);

        // One that is killed has used its builder too; one that only waited has not.
        fixture.run("killed").await;
        fixture.claim().await;
        fixture.run("waits").await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        db.kill(&namespace(), "killed", "latest").await.unwrap();
        let second = built().await;
        assert!(second >= first + 20, "{second}");
        db.kill(&namespace(), "waits", "latest").await.unwrap();
        assert_eq!(built().await, second);
        let rows = db.usage(&namespace(), day_of(now_ms()) - 1, None, 10).await.unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.service.as_str()).collect();
        assert_eq!(names, ["killed", "slow"]);
        assert!(rows.iter().all(|row| row.build_seconds >= 1));
    }
}

#[tokio::test]
async fn a_build_over_midnight_counts_in_both_days() {
    for fixture in each().await {
        let midnight = month_start_ms(month_of(NOON) + 1);
        let mut tx = fixture.db.begin("default").await.unwrap();
        usage::add_build(&mut tx, "default", "a", midnight - 1_500, midnight + 2_000).await.unwrap();
        tx.commit().await.unwrap();
        let rows = fixture.db.usage(&namespace(), 0, None, 10).await.unwrap();
        let days: Vec<_> = rows.iter().map(|row| (row.day.as_str(), row.build_seconds)).collect();
        assert_eq!(days, [("2026-11-30", 2), ("2026-12-01", 2)]);
        let next = fixture.db.month(&namespace(), month_of(NOON) + 1).await.unwrap();
        assert_eq!(next.build_ms, 2_000);
    }
}
