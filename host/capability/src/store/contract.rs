//! What every backend must do, run on each; on PostgreSQL and Redis when `MICRO_TEST_POSTGRES` and `MICRO_TEST_REDIS`
//! name servers.

mod atomic;
mod many;
mod model;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_api::name::Namespace;

use super::*;
use crate::redis::server;
use crate::tests::ran;

/// Runs a check on each backend, a fresh one each.
fn on_each<F: Future<Output = ()> + Send + 'static>(check: impl Fn(Arc<dyn Backend>) -> F) {
    on_each_with(|backend, _| check(backend));
}

/// The same, with the books that the backend keeps.
fn on_each_with<F: Future<Output = ()> + Send + 'static>(check: impl Fn(Arc<dyn Backend>, Arc<Books>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let books = Arc::<Books>::default();
    runtime.block_on(check(Arc::new(Memory::with_books(1 << 30, Arc::clone(&books))), books));
    ran("store", "memory");
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { workers: 2, ..SqliteConfig::new(folder.path().to_owned()) };
    runtime.block_on(check(Sqlite::open(&config).unwrap(), Arc::clone(&config.books)));
    // The same without the memory for hot keys, by a task, whose thread may wait for the disk.
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { cache_bytes_max: 0, ..SqliteConfig::new(folder.path().to_owned()) };
    let task = runtime.spawn(check(Sqlite::open(&config).unwrap(), Arc::clone(&config.books)));
    runtime.block_on(task).unwrap();
    ran("store", "SQLite");
    if let Ok(url) = std::env::var("MICRO_TEST_POSTGRES") {
        runtime.block_on(on_postgres(&url, &check));
        ran("store", "PostgreSQL");
    }
    if let Some(url) = server::shared() {
        runtime.block_on(on_redis(&url, &check));
        ran("store", "Redis");
    }
}

async fn on_postgres<F: Future<Output = ()>>(url: &str, check: impl Fn(Arc<dyn Backend>, Arc<Books>) -> F) {
    let schema = format!("store_{}", uuid::Uuid::new_v4().simple());
    let sweep_every = Duration::from_millis(50);
    let config = PostgresConfig { schema: schema.clone(), sweep_every, ..PostgresConfig::new(url) };
    check(Postgres::open(&config).await.unwrap(), Arc::clone(&config.books)).await;
    let server = sqlx::PgPool::connect(url).await.unwrap();
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&server).await.unwrap();
}

async fn on_redis<F: Future<Output = ()>>(url: &str, check: impl Fn(Arc<dyn Backend>, Arc<Books>) -> F) {
    let mut config = RedisStoreConfig::new(url);
    config.sweep_every = Duration::from_millis(50);
    config.server.prefix = server::prefix();
    check(Redis::open(&config).await.unwrap(), Arc::clone(&config.books)).await;
    server::remove_all(url, &config.server.prefix).await;
}

fn table(namespace: &str, name: &str) -> TableKey {
    TableKey::named(&namespace.parse::<Namespace>().unwrap(), name).unwrap()
}

fn write(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Write {
    Write { key: key.into(), value: value.into(), ttl_ms: None }
}

async fn put(backend: &dyn Backend, table: &TableKey, keys: &[&[u8]]) {
    for key in keys {
        backend.set(table, write(key.to_vec(), [b"value of ", *key].concat())).await.unwrap();
    }
}

async fn keys(backend: &dyn Backend, table: &TableKey, range: Range) -> Vec<Bytes> {
    let page = backend.scan(table, range, Want::Keys).await.unwrap();
    assert!(page.records.iter().all(|record| record.value.is_empty()));
    page.records.into_iter().map(|record| record.key).collect()
}

fn all() -> Range {
    Range { limit: BATCH_RECORDS_MAX, ..Range::default() }
}

fn prefix(prefix: &'static [u8]) -> Range {
    Range { prefix: Bytes::from_static(prefix), ..all() }
}

#[test]
fn what_is_written_is_read_until_deleted() {
    on_each(|backend| async move {
        let own = table("default", "example");
        assert_eq!(backend.get(&own, b"a").await.unwrap(), None);
        backend.set(&own, write("a", "1")).await.unwrap();
        backend.set(&own, write("a", "2")).await.unwrap();
        let record = backend.get(&own, b"a").await.unwrap().unwrap();
        assert_eq!((&record.key[..], &record.value[..], record.expires_ms), (&b"a"[..], &b"2"[..], None));
        backend.set(&own, write("empty", "")).await.unwrap();
        assert_eq!(backend.get(&own, b"empty").await.unwrap().unwrap().value.len(), 0);
        backend.delete(&own, b"a").await.unwrap();
        backend.delete(&own, b"a").await.unwrap();
        assert_eq!(backend.get(&own, b"a").await.unwrap(), None);
    });
}

#[test]
fn tables_and_namespaces_are_apart() {
    on_each(|backend| async move {
        let tables = [table("one", "t"), table("two", "t"), table("one", "u"), table("one", "t2")];
        for (number, table) in tables.iter().enumerate() {
            backend.set(table, write("key", number.to_string())).await.unwrap();
        }
        for (number, table) in tables.iter().enumerate() {
            let record = backend.get(table, b"key").await.unwrap().unwrap();
            assert_eq!(record.value, number.to_string());
            assert_eq!(keys(&*backend, table, all()).await, ["key"]);
        }
        backend.delete(&tables[0], b"key").await.unwrap();
        assert!(backend.get(&tables[1], b"key").await.unwrap().is_some());
        assert_eq!(backend.tables(tables[0].namespace()).await.unwrap(), ["t2", "u"]);
        assert_eq!(backend.tables(&"three".parse().unwrap()).await.unwrap(), Vec::<String>::new());
    });
}

/// A table's name may look like a backend's own names, patterns or code.
#[test]
fn names_of_tables_mean_nothing() {
    on_each(|backend| async move {
        let mut names = [
            "t", "t:values", "t:order", "{t}", "t}:order", "{", "a/t", "/", "..", "%", "%2f", "*", "t'; --",
            "T", "é",
        ];
        names.sort_unstable();
        for namespace in ["a", "a-a"] {
            for name in names {
                backend
                    .set(&table(namespace, name), write("key", format!("{namespace} {name}")))
                    .await
                    .unwrap();
            }
        }
        for namespace in ["a", "a-a"] {
            assert_eq!(backend.tables(&namespace.parse().unwrap()).await.unwrap(), names);
            for name in names {
                let own = table(namespace, name);
                let record = backend.get(&own, b"key").await.unwrap().unwrap();
                assert_eq!(record.value, format!("{namespace} {name}"));
                backend.delete(&own, b"key").await.unwrap();
            }
            assert_eq!(backend.tables(&namespace.parse().unwrap()).await.unwrap(), Vec::<String>::new());
        }
    });
}

#[test]
fn keys_are_bytes_in_bytewise_order() {
    on_each(|backend| async move {
        let own = table("default", "bytes");
        let ordered: [&[u8]; 12] = [
            b"\0",
            b"\0\0",
            b"%",
            b"*",
            b"A",
            b"B",
            b"_",
            b"a",
            b"a\0b",
            b"a/b",
            "é".as_bytes(),
            b"\xff\xff",
        ];
        let mut shuffled = ordered;
        shuffled.reverse();
        put(&*backend, &own, &shuffled).await;
        assert_eq!(keys(&*backend, &own, all()).await, ordered);
        for key in ordered {
            let record = backend.get(&own, key).await.unwrap().unwrap();
            assert_eq!(record.value, [b"value of ", key].concat());
        }
    });
}

#[test]
fn prefixes_and_suffixes_match_literally() {
    on_each(|backend| async move {
        let own = table("default", "match");
        let all_keys: [&[u8]; 9] =
            [b"user", b"user/1", b"user/2", b"user1", b"users/1", b"u%er", b"%", b"_ser", b"\xff\xff\x01"];
        put(&*backend, &own, &all_keys).await;
        assert_eq!(keys(&*backend, &own, prefix(b"user/")).await, ["user/1", "user/2"]);
        assert_eq!(
            keys(&*backend, &own, prefix(b"user")).await,
            ["user", "user/1", "user/2", "user1", "users/1"]
        );
        assert_eq!(keys(&*backend, &own, prefix(b"%")).await, ["%"]);
        assert_eq!(keys(&*backend, &own, prefix(b"_")).await, ["_ser"]);
        assert_eq!(keys(&*backend, &own, prefix(b"u%")).await, ["u%er"]);
        assert_eq!(keys(&*backend, &own, prefix(b"User")).await, Vec::<Bytes>::new());
        assert_eq!(keys(&*backend, &own, prefix(b"\xff\xff")).await, [&b"\xff\xff\x01"[..]]);
        let suffix = Range { suffix: "ser".into(), ..all() };
        assert_eq!(keys(&*backend, &own, suffix).await, ["_ser", "user"]);
        let both = Range { prefix: "user".into(), suffix: "/1".into(), ..all() };
        assert_eq!(keys(&*backend, &own, both.clone()).await, ["user/1", "users/1"]);
        let page = backend.scan(&own, both, Want::Records).await.unwrap();
        assert_eq!(page.records[1].value, "value of users/1");
    });
}

#[test]
fn pages_are_stable_with_after_and_counted_with_offset() {
    on_each(|backend| async move {
        let own = table("default", "pages");
        for number in 0..10 {
            backend.set(&own, write(format!("k{number}"), "v")).await.unwrap();
        }
        let range = Range { limit: 3, ..Range::default() };
        assert_eq!(keys(&*backend, &own, range.clone()).await, ["k0", "k1", "k2"]);
        let page = backend.scan(&own, range.clone(), Want::Keys).await.unwrap();
        assert!(!page.more, "the page is as long as was asked");
        let after = Range { after: Some("k2".into()), ..range.clone() };
        backend.delete(&own, b"k1").await.unwrap();
        backend.delete(&own, b"k2").await.unwrap();
        assert_eq!(keys(&*backend, &own, after).await, ["k3", "k4", "k5"]);
        let offset = Range { offset: 2, ..range.clone() };
        assert_eq!(keys(&*backend, &own, offset).await, ["k4", "k5", "k6"]);
        let both = Range { after: Some("k4".into()), offset: 1, ..range.clone() };
        assert_eq!(keys(&*backend, &own, both).await, ["k6", "k7", "k8"]);
        let before = Range { after: Some("a".into()), prefix: "k9".into(), ..range.clone() };
        assert_eq!(keys(&*backend, &own, before).await, ["k9"]);
        let beyond = Range { after: Some("z".into()), prefix: "k".into(), ..range.clone() };
        assert_eq!(keys(&*backend, &own, beyond).await, Vec::<Bytes>::new());
        assert_eq!(keys(&*backend, &own, Range { limit: 0, ..range }).await, Vec::<Bytes>::new());
    });
}

#[test]
fn a_page_is_bounded_in_bytes_and_says_so() {
    on_each(|backend| async move {
        let own = table("default", "large");
        for number in 0..5 {
            backend.set(&own, write(format!("k{number}"), vec![7; 400 << 10])).await.unwrap();
        }
        let page = backend.scan(&own, all(), Want::Records).await.unwrap();
        assert_eq!((page.records.len(), page.more), (2, true));
        assert_eq!(keys(&*backend, &own, all()).await.len(), 5);
        backend.set(&own, write("k0", vec![7; VALUE_BYTES_MAX])).await.unwrap();
        let page = backend.scan(&own, all(), Want::Records).await.unwrap();
        assert_eq!((page.records.len(), page.more), (1, true), "one record always fits");
        assert_eq!(backend.get(&own, b"k0").await.unwrap().unwrap().value.len(), VALUE_BYTES_MAX);
    });
}

#[test]
fn limits_are_errors() {
    on_each(|backend| async move {
        let own = table("default", "limits");
        assert!(matches!(backend.set(&own, write("", "v")).await, Err(Error::Key)));
        assert!(matches!(backend.get(&own, b"").await, Err(Error::Key)));
        let long = vec![b'k'; KEY_BYTES_MAX + 1];
        assert!(matches!(backend.set(&own, write(long.clone(), "v")).await, Err(Error::Key)));
        assert!(matches!(backend.delete(&own, &long).await, Err(Error::Key)));
        backend.set(&own, write(long[1..].to_vec(), "v")).await.unwrap();
        let value = vec![0; VALUE_BYTES_MAX + 1];
        assert!(matches!(backend.set(&own, write("k", value)).await, Err(Error::Value)));
        let namespace = own.namespace();
        for name in ["", "a\nb", &"t".repeat(257)] {
            assert!(matches!(TableKey::named(namespace, name), Err(Error::Table)), "{name:?}");
        }
    });
}

#[test]
fn expired_records_are_invisible_at_once() {
    on_each(|backend| async move {
        let own = table("default", "expiry");
        let ttl = |key: &'static str, ttl_ms| Write { ttl_ms: Some(ttl_ms), ..write(key, "v") };
        backend.set(&own, ttl("soon", 150)).await.unwrap();
        backend.set(&own, ttl("later", 60_000)).await.unwrap();
        backend.set(&own, ttl("gone", 0)).await.unwrap();
        backend.set(&own, ttl("kept", 1)).await.unwrap();
        backend.set(&own, write("kept", "for ever")).await.unwrap();
        backend.set(&own, ttl("never", u64::MAX)).await.unwrap();
        assert!(backend.get(&own, b"soon").await.unwrap().unwrap().expires_ms.is_some());
        assert_eq!(backend.get(&own, b"gone").await.unwrap(), None);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(backend.get(&own, b"soon").await.unwrap(), None);
        assert_eq!(keys(&*backend, &own, all()).await, ["kept", "later", "never"]);
        let other = table("default", "only-expired");
        backend.set(&other, ttl("x", 0)).await.unwrap();
        assert_eq!(backend.tables(own.namespace()).await.unwrap(), ["expiry"]);
    });
}

#[test]
fn concurrent_writes_all_arrive() {
    on_each(|backend| async move {
        let own = table("default", "concurrent");
        let writes = (0..200).map(|number| {
            let (backend, own) = (Arc::clone(&backend), own.clone());
            tokio::spawn(async move {
                let key = format!("k{number:03}");
                backend.set(&own, write(key.clone(), key.clone())).await.unwrap();
                assert_eq!(backend.get(&own, key.as_bytes()).await.unwrap().unwrap().value, key);
            })
        });
        for task in writes.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(keys(&*backend, &own, all()).await.len(), 200);
    });
}

#[test]
fn the_admins_view_pages_through_everything() {
    on_each(|backend| async move {
        let namespace: Namespace = "default".parse().unwrap();
        let own = TableKey::named(&namespace, "example-service").unwrap();
        for number in 0..2_500 {
            backend.set(&own, write(format!("k{number:04}"), "v")).await.unwrap();
        }
        let admin = Admin::new(Arc::clone(&backend));
        let query = |key: &str| micro_api::store::Query { key: key.to_owned(), ..Default::default() };
        let everything = admin.list(&namespace, "example-service", query("")).await.unwrap();
        assert_eq!((everything.len(), everything[2_499].as_str()), (2_500, "k2499"));
        let limited = micro_api::store::Query { limit: 1_200, offset: 1_000, ..query("") };
        let limited = admin.list(&namespace, "example-service", limited).await.unwrap();
        assert_eq!((limited.len(), limited[0].as_str()), (1_200, "k1000"));
        let missing = admin.read(&namespace, "example-service", query("nope")).await.unwrap_err();
        assert_eq!((missing.code, missing.detail.as_str()), (404, "not found"));
        let none = micro_api::store::Query { prefix: true, ..query("nope") };
        assert_eq!(admin.read(&namespace, "example-service", none).await.unwrap(), Vec::new());
        let write =
            micro_api::store::Write { key: "b".to_owned(), value: "AAE=".to_owned(), ttl_ms: Some(60_000) };
        admin.write(&namespace, "micro", write).await.unwrap();
        let read = admin.read(&namespace, "micro", query("b")).await.unwrap();
        assert_eq!(read[0].value, "AAE=");
        assert!(read[0].expiry_ms.is_some_and(|left| left > 0 && left <= 60_000));
        assert_eq!(admin.tables(&namespace).await.unwrap(), ["example-service", "micro"]);
    });
}

/// A record's key and value, and 128 bytes.
fn sizes(books: &Books) -> Vec<(String, String, u64)> {
    let mut changed: Vec<_> = books
        .take_changed()
        .into_iter()
        .map(|(namespace, table, bytes)| (namespace.to_string(), table, bytes))
        .collect();
    changed.sort();
    changed
}

fn size(namespace: &str, table: &str, bytes: u64) -> (String, String, u64) {
    (namespace.to_owned(), table.to_owned(), bytes)
}

#[test]
fn what_a_table_holds_is_known_after_each_change() {
    on_each_with(|backend, books| async move {
        let (one, two, other) = (table("a", "one"), table("a", "two"), table("b", "one"));
        backend.set(&one, write("k", "12345")).await.unwrap();
        backend.set(&two, write("key", "1")).await.unwrap();
        backend.set(&other, write("k", "1")).await.unwrap();
        assert_eq!(sizes(&books), [size("a", "one", 134), size("a", "two", 132), size("b", "one", 130)]);
        backend.set(&one, write("k", "1")).await.unwrap();
        assert_eq!(sizes(&books), [size("a", "one", 130)]);
        backend.set(&one, write("l", "")).await.unwrap();
        backend.delete(&one, b"k").await.unwrap();
        assert_eq!(sizes(&books), [size("a", "one", 129)]);
        backend.get(&one, b"l").await.unwrap();
        assert!(sizes(&books).is_empty(), "reading changes nothing");
        backend.delete(&one, b"l").await.unwrap();
        assert_eq!(sizes(&books), [size("a", "one", 0)]);
    });
}

#[test]
fn what_expired_is_not_held_any_more() {
    on_each_with(|backend, books| async move {
        let own = table("a", "one");
        backend.set(&own, Write { ttl_ms: Some(1), ..write("gone", "1") }).await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            // Memory clears away as others write.
            backend.set(&own, write("stays", "1")).await.unwrap();
            if sizes(&books).last() == Some(&size("a", "one", 134)) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "it was never swept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_plan_bounds_what_a_namespace_holds() {
    on_each_with(|backend, books| async move {
        let limited: Namespace = "a".parse().unwrap();
        books.limit(std::collections::HashMap::from([(limited.clone(), 1_000)]));
        let (one, two, other) = (table("a", "one"), table("a", "two"), table("b", "one"));
        backend.set(&one, write("k", vec![1; 700])).await.unwrap();
        let full = backend.set(&two, write("k", vec![1; 100])).await.unwrap_err();
        assert!(matches!(full, Error::Quota(1_000)), "{full:?}");
        let shown = micro_api::Error::from(full);
        assert_eq!(shown.code, 403);
        assert!(shown.detail.starts_with("limit: store_bytes: the plan of this namespace allows 1000 bytes"));
        assert_eq!(backend.get(&two, b"k").await.unwrap(), None, "nothing of it was written");
        // To the byte: 829 are held.
        backend.set(&two, write("k", vec![1; 42])).await.unwrap();
        assert!(backend.set(&two, write("k", vec![1; 43])).await.is_err());
        backend.set(&other, write("k", vec![1; 5_000])).await.unwrap();
        // A smaller plan: what is there may shrink, and not grow.
        books.limit(std::collections::HashMap::from([(limited, 100)]));
        assert!(backend.set(&one, write("k", vec![1; 701])).await.is_err());
        backend.set(&one, write("k", vec![1; 600])).await.unwrap();
        backend.delete(&two, b"k").await.unwrap();
        books.limit(std::collections::HashMap::new());
        backend.set(&one, write("k", vec![1; 5_000])).await.unwrap();
    });
}

/// Of many writers at once, no more are let in than there is room for.
#[test]
fn a_plan_holds_against_many_writers() {
    on_each_with(|backend, books| async move {
        let limited: Namespace = "a".parse().unwrap();
        books.limit(std::collections::HashMap::from([(limited, 10 * 232)]));
        let writers = (0..64).map(|n| {
            let (backend, own) = (Arc::clone(&backend), table("a", "one"));
            tokio::spawn(async move {
                backend
                    .set(&own, write(format!("key{n}").into_bytes(), vec![1; 104 - format!("key{n}").len()]))
                    .await
            })
        });
        let mut passed = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(()) => passed += 1,
                Err(error) => assert!(matches!(error, Error::Quota(2_320)), "{error:?}"),
            }
        }
        assert_eq!(passed, 10);
        assert_eq!(sizes(&books), [size("a", "one", 2_320)]);
    });
}
