//! Random calls, each held against a map that does the same. `PROPTEST_CASES` sets how many runs there are on each backend.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::transaction::{Change, Check};
use super::*;

/// Few keys, so that calls meet; some that a backend might take for something else.
const KEYS: [&[u8]; 9] = [b"a", b"a\0", b"a/b", b"ab", b"b", b"*", b"{a}:b", b"\xff", b"\xff\xff\x01"];

#[derive(Debug, Clone)]
enum Call {
    Get(Bytes),
    Set(Part),
    Delete(Bytes),
    Increment(Bytes, i64, Option<u64>),
    Commit(Vec<(Bytes, Ask)>, Vec<Part>),
    Scan(Range, Want),
}

/// What to ask of a key in a transaction.
#[derive(Debug, Clone)]
enum Ask {
    /// What is there, which holds.
    Same,
    Absent,
    Value(Bytes),
}

#[derive(Debug, Clone)]
enum Part {
    Set(Bytes, Bytes, Option<u64>),
    Delete(Bytes),
}

/// A key's value, and whether it expires: never while the test runs, or at once.
type Model = BTreeMap<Bytes, (Bytes, bool)>;

fn key() -> impl Strategy<Value = Bytes> {
    proptest::sample::select(&KEYS[..]).prop_map(Bytes::from_static)
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        any::<i64>().prop_map(|number| number.to_string().into()),
        (-3..3_i64).prop_map(|number| number.to_string().into()),
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
    ]
}

fn ttl() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 2 => Just(Some(3_600_000)), 1 => Just(Some(0)), 1 => Just(Some(u64::MAX))]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Part::Set(key, value, ttl)),
        1 => key().prop_map(Part::Delete),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![4 => Just(Ask::Same), 1 => Just(Ask::Absent), 1 => value().prop_map(Ask::Value)]
}

fn range() -> impl Strategy<Value = Range> {
    let piece =
        || prop_oneof![2 => Just(Bytes::new()), 1 => key().prop_map(|key| key.slice(..1)), 1 => key()];
    let after = proptest::option::of(key());
    (piece(), piece(), after, 0..4_u64, 0..12_usize)
        .prop_map(|(prefix, suffix, after, offset, limit)| Range { prefix, suffix, after, offset, limit })
}

fn call() -> impl Strategy<Value = Call> {
    let want = prop_oneof![Just(Want::Keys), Just(Want::Records)];
    let delta = prop_oneof![-3..4_i64, any::<i64>()];
    prop_oneof![
        2 => key().prop_map(Call::Get),
        3 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Call::Set(Part::Set(key, value, ttl))),
        1 => key().prop_map(Call::Delete),
        3 => (key(), delta, ttl()).prop_map(|(key, delta, ttl)| Call::Increment(key, delta, ttl)),
        4 => (vec((key(), ask()), 0..4), vec(part(), 0..5))
            .prop_map(|(checks, parts)| Call::Commit(checks, parts)),
        2 => (range(), want).prop_map(|(range, want)| Call::Scan(range, want)),
    ]
}

impl Part {
    fn key(&self) -> &Bytes {
        match self {
            Self::Set(key, ..) | Self::Delete(key) => key,
        }
    }

    fn apply(&self, model: &mut Model) {
        match self {
            Self::Set(key, value, ttl) if *ttl != Some(0) => {
                model.insert(key.clone(), (value.clone(), ttl.is_some()));
            }
            part => drop(model.remove(part.key())),
        }
    }

    fn write(&self) -> Option<Write> {
        match self {
            Self::Set(key, value, ttl_ms) => {
                Some(Write { key: key.clone(), value: value.clone(), ttl_ms: *ttl_ms })
            }
            Self::Delete(_) => None,
        }
    }

    fn change(&self) -> Change {
        self.write().map_or_else(|| Change::Delete(self.key().clone()), Change::Set)
    }
}

fn number(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

async fn make(backend: &dyn Backend, table: &TableKey, model: &mut Model, call: &Call) {
    match call {
        Call::Get(key) => {
            let found = backend.get(table, key).await.unwrap();
            let found = found.map(|record| (record.value, record.expires_ms.is_some()));
            assert_eq!(found.as_ref(), model.get(key), "{key:?}");
        }
        Call::Set(part) => {
            backend.set(table, part.write().unwrap()).await.unwrap();
            part.apply(model);
        }
        Call::Delete(key) => {
            backend.delete(table, key).await.unwrap();
            model.remove(key);
        }
        Call::Increment(key, delta, ttl) => {
            let sum = backend.increment(table, key, *delta, *ttl).await;
            let (before, expires) = match model.get(key) {
                Some((value, expires)) => (number(value), *expires),
                None => (Some(0), ttl.is_some()),
            };
            match before.map(|before| before.checked_add(*delta)) {
                None => assert!(matches!(sum, Err(Error::Number)), "{sum:?}"),
                Some(None) => assert!(matches!(sum, Err(Error::Overflow)), "{sum:?}"),
                Some(Some(expected)) => {
                    assert_eq!(sum.unwrap(), expected);
                    if model.contains_key(key) || *ttl != Some(0) {
                        model.insert(key.clone(), (expected.to_string().into(), expires));
                    }
                }
            }
        }
        Call::Commit(checks, parts) => commit(backend, table, model, checks, parts).await,
        Call::Scan(range, want) => scan(backend, table, model, range, *want).await,
    }
}

async fn commit(
    backend: &dyn Backend,
    table: &TableKey,
    model: &mut Model,
    checks: &[(Bytes, Ask)],
    parts: &[Part],
) {
    let there = |key: &Bytes| model.get(key).map(|(value, _)| value.clone());
    let checks = checks.iter().map(|(key, ask)| {
        let value = match ask {
            Ask::Same => there(key),
            Ask::Absent => None,
            Ask::Value(value) => Some(value.clone()),
        };
        Check { key: key.clone(), value }
    });
    let checks: Vec<_> = checks.collect();
    let hold = checks.iter().all(|check| there(&check.key) == check.value);
    let twice = parts
        .iter()
        .enumerate()
        .any(|(at, part)| parts.iter().take(at).any(|earlier| earlier.key() == part.key()));
    let changes = parts.iter().map(Part::change).collect();
    let done = backend.commit(table, checks, changes).await;
    if twice {
        assert!(matches!(done, Err(Error::Twice)), "{done:?}");
        return;
    }
    assert_eq!(done.unwrap(), hold);
    if hold {
        for part in parts {
            part.apply(model);
        }
    }
}

async fn scan(backend: &dyn Backend, table: &TableKey, model: &Model, range: &Range, want: Want) {
    let page = backend.scan(table, range.clone(), want).await.unwrap();
    let found: Vec<_> = page
        .records
        .into_iter()
        .map(|record| (record.key, (record.value, record.expires_ms.is_some())))
        .collect();
    let matches = |key: &Bytes| {
        key.starts_with(&range.prefix)
            && key.ends_with(&range.suffix)
            && range.after.as_ref().is_none_or(|after| key > after)
    };
    let expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| matches(key))
        .skip(usize::try_from(range.offset).unwrap())
        .take(range.limit)
        .map(|(key, (value, expires))| {
            let value = if want == Want::Keys { Bytes::new() } else { value.clone() };
            (key.clone(), (value, *expires))
        })
        .collect();
    assert_eq!(found, expected, "{range:?}");
}

async fn run(backend: &dyn Backend, table: &TableKey, calls: &[Call]) {
    let mut model = Model::new();
    for call in calls {
        make(backend, table, &mut model, call).await;
    }
    scan(backend, table, &model, &all(), Want::Records).await;
}

/// Each run has a table of its own.
fn hold_against_the_model(backend: &dyn Backend) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    let result = runner.run(&vec(call(), 1..60), |calls| {
        number.set(number.get() + 1);
        let table = table("default", &format!("run{}", number.get()));
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| handle.block_on(run(backend, &table, &calls)));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn each_backend_does_what_a_map_does() {
    on_each(|backend| async move { hold_against_the_model(&*backend) });
}
