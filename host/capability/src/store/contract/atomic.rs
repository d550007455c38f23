//! `increment` and `commit`, also with many at once.

use std::collections::HashMap;

use super::super::transaction::{Change, Check, TRANSACTION_BYTES_MAX, TRANSACTION_PARTS_MAX};
use super::*;

fn holds(key: &'static str, value: &'static str) -> Check {
    Check { key: key.into(), value: Some(value.into()) }
}

fn absent(key: &'static str) -> Check {
    Check { key: key.into(), value: None }
}

fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Change {
    Change::Set(write(key, value))
}

fn delete(key: &'static str) -> Change {
    Change::Delete(key.into())
}

async fn value(backend: &dyn Backend, table: &TableKey, key: &str) -> Option<Bytes> {
    backend.get(table, key.as_bytes()).await.unwrap().map(|record| record.value)
}

#[test]
fn a_number_is_added_to_and_is_text() {
    on_each(|backend| async move {
        let (own, other) = (table("default", "count"), table("other", "count"));
        assert_eq!(backend.increment(&own, b"n", 5, None).await.unwrap(), 5);
        assert_eq!(backend.increment(&own, b"n", -7, None).await.unwrap(), -2);
        assert_eq!(value(&*backend, &own, "n").await.unwrap(), "-2");
        assert_eq!(backend.increment(&own, b"n", 0, None).await.unwrap(), -2);
        assert_eq!(backend.increment(&own, b"zero", 0, None).await.unwrap(), 0);
        assert_eq!(value(&*backend, &own, "zero").await.unwrap(), "0");
        assert_eq!(value(&*backend, &other, "n").await, None);
        backend.set(&own, write("n", "41")).await.unwrap();
        assert_eq!(backend.increment(&own, b"n", 1, None).await.unwrap(), 42);
        backend.delete(&own, b"n").await.unwrap();
        assert_eq!(backend.increment(&own, b"n", 1, None).await.unwrap(), 1);
        assert_eq!(keys(&*backend, &own, all()).await, ["n", "zero"]);
    });
}

#[test]
fn what_is_no_number_is_refused_and_stays() {
    on_each(|backend| async move {
        let own = table("default", "count");
        let others: [&[u8]; 11] = [
            b"",
            b" 1",
            b"1 ",
            b"+1",
            b"01",
            b"-0",
            b"1.0",
            b"\xff",
            b"1\0",
            b"9223372036854775808",
            &[b'1'; 5_000],
        ];
        for other in others {
            backend.set(&own, write("n", other)).await.unwrap();
            let error = backend.increment(&own, b"n", 1, None).await.unwrap_err();
            assert!(matches!(error, Error::Number), "{other:?}: {error:?}");
            assert_eq!(micro_api::Error::from(error).code, 400);
            assert_eq!(value(&*backend, &own, "n").await.unwrap(), other);
        }
        for (most, delta) in [(i64::MAX, 1), (i64::MIN, -1)] {
            backend.set(&own, write("n", most.to_string())).await.unwrap();
            assert_eq!(backend.increment(&own, b"n", 0, None).await.unwrap(), most, "exact at the border");
            assert_eq!(backend.increment(&own, b"n", -delta, None).await.unwrap(), most - delta);
            assert_eq!(backend.increment(&own, b"n", delta, None).await.unwrap(), most);
            let error = backend.increment(&own, b"n", delta, None).await.unwrap_err();
            assert!(matches!(error, Error::Overflow), "{error:?}");
            assert_eq!(value(&*backend, &own, "n").await.unwrap(), most.to_string());
        }
        assert!(matches!(backend.increment(&own, b"", 1, None).await, Err(Error::Key)));
        let long = vec![b'k'; KEY_BYTES_MAX + 1];
        assert!(matches!(backend.increment(&own, &long, 1, None).await, Err(Error::Key)));
    });
}

#[test]
fn a_window_begins_with_its_first_count() {
    on_each(|backend| async move {
        let own = table("default", "window");
        assert_eq!(backend.increment(&own, b"n", 1, Some(60_000)).await.unwrap(), 1);
        let first = backend.get(&own, b"n").await.unwrap().unwrap().expires_ms.unwrap();
        assert_eq!(backend.increment(&own, b"n", 1, Some(600_000)).await.unwrap(), 2);
        let second = backend.get(&own, b"n").await.unwrap().unwrap().expires_ms.unwrap();
        // Where the server's clock counts, a reader knows the time to a few milliseconds.
        assert!(second.abs_diff(first) < 1_000, "the second prolongs nothing: {first} {second}");
        backend.increment(&own, b"forever", 1, None).await.unwrap();
        backend.increment(&own, b"forever", 1, Some(1)).await.unwrap();
        assert_eq!(backend.get(&own, b"forever").await.unwrap().unwrap().expires_ms, None);
        backend.set(&own, Write { ttl_ms: Some(0), ..write("gone", "no number") }).await.unwrap();
        assert_eq!(backend.increment(&own, b"gone", 1, None).await.unwrap(), 1, "expired counts as 0");
        assert_eq!(backend.get(&own, b"gone").await.unwrap().unwrap().expires_ms, None);
        assert_eq!(backend.increment(&own, b"short", 7, Some(0)).await.unwrap(), 7);
        assert_eq!(backend.increment(&own, b"short", 7, Some(u64::MAX)).await.unwrap(), 7, "it was over");
        assert!(backend.get(&own, b"short").await.unwrap().is_some());
    });
}

#[test]
fn of_many_writers_none_is_lost() {
    on_each(|backend| async move {
        let own = table("default", "many");
        let writers = (0..64_i64).map(|number| {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                let mut sums = Vec::new();
                for _ in 0..4 {
                    sums.push(backend.increment(&own, b"n", 1, None).await.unwrap());
                    backend.increment(&own, b"sum", number, Some(60_000)).await.unwrap();
                }
                sums
            })
        });
        let mut sums = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            sums.extend(writer.await.unwrap());
        }
        sums.sort_unstable();
        assert_eq!(sums, (1..=256).collect::<Vec<_>>(), "each sum is seen by one");
        assert_eq!(value(&*backend, &own, "sum").await.unwrap(), (4 * 63 * 64 / 2).to_string());
    });
}

#[test]
fn a_transaction_is_all_or_nothing() {
    on_each(|backend| async move {
        let own = table("default", "all");
        let commit = |checks, changes| backend.commit(&own, checks, changes);
        assert!(commit(vec![absent("a"), absent("b")], vec![set("a", "1"), set("b", "1")]).await.unwrap());
        let changes = || vec![set("a", "2"), delete("b"), set("c", "2")];
        assert!(!commit(vec![holds("a", "1"), absent("b")], changes()).await.unwrap());
        assert!(!commit(vec![holds("a", "10")], changes()).await.unwrap());
        assert!(!commit(vec![holds("c", "")], changes()).await.unwrap());
        assert!(!commit(vec![holds("a", "1"), holds("a", "2")], changes()).await.unwrap());
        assert_eq!(keys(&*backend, &own, all()).await, ["a", "b"]);
        assert_eq!(value(&*backend, &own, "a").await.unwrap(), "1");
        assert!(commit(vec![holds("a", "1"), holds("b", "1"), absent("c")], changes()).await.unwrap());
        assert_eq!(keys(&*backend, &own, all()).await, ["a", "c"]);
        assert_eq!(value(&*backend, &own, "a").await.unwrap(), "2");
        assert!(commit(vec![], vec![delete("missing"), set("empty", "")]).await.unwrap());
        assert!(!commit(vec![absent("empty")], vec![]).await.unwrap(), "an empty value is a value");
        assert!(commit(vec![holds("empty", ""), absent("missing")], vec![]).await.unwrap());
        assert!(commit(vec![], vec![]).await.unwrap());
        assert_eq!(keys(&*backend, &own, all()).await, ["a", "c", "empty"]);
    });
}

#[test]
fn a_transaction_knows_what_has_expired() {
    on_each(|backend| async move {
        let own = table("default", "expiry");
        backend.set(&own, Write { ttl_ms: Some(0), ..write("gone", "1") }).await.unwrap();
        assert!(!backend.commit(&own, vec![holds("gone", "1")], vec![set("a", "1")]).await.unwrap());
        let short = Change::Set(Write { ttl_ms: Some(100), ..write("short", "1") });
        let now = Change::Set(Write { ttl_ms: Some(0), ..write("now", "1") });
        let long = Change::Set(Write { ttl_ms: Some(u64::MAX), ..write("long", "1") });
        let changes = vec![short, now, long, set("gone", "2")];
        assert!(backend.commit(&own, vec![absent("gone")], changes).await.unwrap());
        assert_eq!(value(&*backend, &own, "now").await, None);
        let left = backend.get(&own, b"gone").await.unwrap().unwrap().expires_ms;
        assert_eq!(left, None, "the old expiry went with the old value");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(keys(&*backend, &own, all()).await, ["gone", "long"]);
        assert!(backend.commit(&own, vec![absent("short")], vec![]).await.unwrap());
    });
}

#[test]
fn keys_and_values_of_a_transaction_are_bytes() {
    on_each(|backend| async move {
        let (own, other) = (table("default", "bytes"), table("other", "bytes"));
        let odd: [&'static [u8]; 7] = [b"\0", b"*", b"a:b", b"{a}", b"'; --", b"\xff\xfe", "é/".as_bytes()];
        let changes = odd.map(|key| set(key, key)).to_vec();
        assert!(backend.commit(&own, vec![], changes).await.unwrap());
        for key in odd {
            assert_eq!(backend.get(&own, key).await.unwrap().unwrap().value, key);
            assert_eq!(backend.get(&other, key).await.unwrap(), None);
        }
        let checks = odd.map(|key| Check { key: key.into(), value: Some(key.into()) }).to_vec();
        assert!(
            backend.commit(&own, checks, odd.map(|key| Change::Delete(key.into())).to_vec()).await.unwrap()
        );
        assert_eq!(keys(&*backend, &own, all()).await, Vec::<Bytes>::new());
    });
}

#[test]
fn a_transaction_is_bounded() {
    on_each(|backend| async move {
        let own = table("default", "bounds");
        let commit = |checks, changes| backend.commit(&own, checks, changes);
        let many = |count: usize| (0..count).map(|n| set(format!("k{n:03}"), "v")).collect::<Vec<_>>();
        assert!(commit(vec![], many(TRANSACTION_PARTS_MAX)).await.unwrap());
        let over = commit(vec![absent("x")], many(TRANSACTION_PARTS_MAX)).await.unwrap_err();
        assert!(matches!(over, Error::Transaction), "{over:?}");
        assert_eq!(micro_api::Error::from(over).code, 400);
        let half = vec![7; TRANSACTION_BYTES_MAX / 2 - 1];
        assert!(commit(vec![], vec![set("a", half.clone()), set("b", half.clone())]).await.unwrap());
        let check = Check { key: "c".into(), value: None };
        let over = commit(vec![check], vec![set("a", half.clone()), set("b", half)]).await.unwrap_err();
        assert!(matches!(over, Error::Transaction), "{over:?}");
        for twice in [vec![set("a", "1"), set("a", "2")], vec![set("a", "1"), delete("a")]] {
            let error = commit(vec![], twice).await.unwrap_err();
            assert!(matches!(error, Error::Twice), "{error:?}");
        }
        assert!(matches!(commit(vec![], vec![set("", "v")]).await, Err(Error::Key)));
        assert!(matches!(commit(vec![absent("")], vec![]).await, Err(Error::Key)));
        let long = vec![0; VALUE_BYTES_MAX + 1];
        assert!(matches!(commit(vec![], vec![set("a", long)]).await, Err(Error::Value)));
    });
}

/// Each takes one from a purse and gives it to another, by the value it saw; nothing is made, nothing is lost.
#[test]
fn loops_of_compare_and_swap_all_end() {
    on_each(|backend| async move {
        let own = table("default", "cas");
        backend.set(&own, write("from", "48")).await.unwrap();
        let workers = (0..16).map(|worker| {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                for _ in 0..3 {
                    loop {
                        let from = value(&*backend, &own, "from").await.unwrap();
                        let to = value(&*backend, &own, "to").await;
                        let number =
                            |text: &Bytes| std::str::from_utf8(text).unwrap().parse::<i64>().unwrap();
                        let more = to.as_ref().map_or(0, number) + 1;
                        // Half of them name the keys in the other order: that must not be how two wait for each other.
                        let mut changes =
                            vec![set("from", (number(&from) - 1).to_string()), set("to", more.to_string())];
                        let mut checks = vec![
                            Check { key: "from".into(), value: Some(from) },
                            Check { key: "to".into(), value: to },
                        ];
                        if worker % 2 == 0 {
                            changes.reverse();
                            checks.reverse();
                        }
                        if backend.commit(&own, checks, changes).await.unwrap() {
                            break;
                        }
                    }
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        assert_eq!(value(&*backend, &own, "from").await.unwrap(), "0");
        assert_eq!(value(&*backend, &own, "to").await.unwrap(), "48");
    });
}

/// Of two that each ask that the other's key is absent, one loses.
#[test]
fn an_absent_key_is_held_against_others() {
    on_each(|backend| async move {
        for round in 0..20 {
            let own = table("default", &format!("skew{round}"));
            let one = backend.commit(&own, vec![absent("a")], vec![set("b", "1")]);
            let two = backend.commit(&own, vec![absent("b")], vec![set("a", "1")]);
            let (one, two) = tokio::join!(one, two);
            assert!(one.unwrap() != two.unwrap());
            assert_eq!(keys(&*backend, &own, all()).await.len(), 1);
        }
    });
}

/// Whoever finds one key's new value finds the other's, too.
#[test]
fn nobody_sees_a_part_of_a_transaction() {
    on_each(|backend| async move {
        let own = table("default", "parts");
        let first = backend.commit(&own, vec![], vec![set("a", "0000"), set("b", "0000")]);
        assert!(first.await.unwrap());
        let writer = {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                for number in 1..=200 {
                    let value = format!("{number:04}");
                    let both = vec![set("a", value.clone()), set("b", value)];
                    assert!(backend.commit(&own, vec![], both).await.unwrap());
                }
            })
        };
        while !writer.is_finished() {
            for (one, other) in [("a", "b"), ("b", "a")] {
                let before = value(&*backend, &own, one).await.unwrap();
                let after = value(&*backend, &own, other).await.unwrap();
                assert!(after >= before, "{one} is {before:?}, and {other} still {after:?}");
            }
        }
        writer.await.unwrap();
    });
}

/// All ways to write, at once and on the same keys: each ends, and what is held is what is there.
#[test]
fn all_kinds_of_writes_go_on_beside_each_other() {
    on_each_with(|backend, books| async move {
        let own = table("a", "mixed");
        let workers = (0..12_usize).map(|worker| {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                for round in 0..10_usize {
                    let key = |n: usize| Bytes::from(format!("k{}", (worker + round + n) % 7));
                    match (worker + round) % 4 {
                        0 => backend.set(&own, write(key(0), "1")).await.unwrap(),
                        1 => backend.delete(&own, &key(0)).await.unwrap(),
                        2 => drop(backend.increment(&own, &key(0), 1, Some(5)).await.unwrap()),
                        _ => {
                            let checks = vec![Check { key: key(5), value: None }];
                            let ends = Change::Set(Write { ttl_ms: Some(3), ..write(key(1), "100") });
                            let changes = vec![set(key(0), "10"), Change::Delete(key(3)), ends];
                            backend.commit(&own, checks, changes).await.unwrap();
                        }
                    }
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let mut last = 0;
        loop {
            // Memory clears away as others write; and this way the size is told once more.
            backend.set(&own, write("mark", "1")).await.unwrap();
            let page = backend.scan(&own, all(), Want::Records).await.unwrap();
            let held: u64 =
                page.records.iter().map(|record| (record.key.len() + record.value.len() + 128) as u64).sum();
            last = sizes(&books).last().map_or(last, |(_, _, bytes)| *bytes);
            if last == held {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{last} is said, {held} is there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_plan_bounds_numbers_and_transactions() {
    on_each_with(|backend, books| async move {
        let limited: Namespace = "a".parse().unwrap();
        books.limit(HashMap::from([(limited.clone(), 300)]));
        let own = table("a", "one");
        assert_eq!(backend.increment(&own, b"n", 9, None).await.unwrap(), 9);
        assert_eq!(sizes(&books), [size("a", "one", 130)]);
        // 130 are held; two more of 85 are not room enough for what a record costs.
        let full = backend.commit(&own, vec![], vec![set("b", "1"), set("c", "1")]).await.unwrap_err();
        assert!(matches!(full, Error::Quota(300)), "{full:?}");
        assert_eq!(keys(&*backend, &own, all()).await, ["n"], "nothing of it was written");
        assert!(backend.commit(&own, vec![], vec![set("b", vec![1; 41])]).await.unwrap());
        assert_eq!(sizes(&books), [size("a", "one", 300)]);
        let full = backend.increment(&own, b"n", 1, None).await.unwrap_err();
        assert!(matches!(full, Error::Quota(300)), "a digit more: {full:?}");
        assert_eq!(backend.increment(&own, b"n", -1, None).await.unwrap(), 8);
        assert!(backend.increment(&own, b"m", 1, None).await.is_err());
        // One goes as the other comes: it is the sum that counts.
        let swap = vec![set("c", vec![1; 41]), delete("b")];
        assert!(backend.commit(&own, vec![holds("n", "8")], swap).await.unwrap());
        assert_eq!(sizes(&books), [size("a", "one", 300)]);
        assert!(!backend.commit(&own, vec![holds("n", "9")], vec![delete("c")]).await.unwrap());
        assert!(sizes(&books).is_empty(), "nothing changed");
        // A smaller plan: what is there may shrink, and not grow.
        books.limit(HashMap::from([(limited, 100)]));
        assert!(backend.commit(&own, vec![], vec![set("c", vec![1; 40]), set("n", "7")]).await.unwrap());
        assert!(backend.commit(&own, vec![], vec![set("c", vec![1; 41])]).await.is_err());
        assert_eq!(sizes(&books), [size("a", "one", 299)]);
    });
}
