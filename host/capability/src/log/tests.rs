//! Logs on disk: order, rotation, restarts, followers, floods.

use futures::StreamExt as _;
use micro_api::manifest::Grants;
use wasmtime_wasi::cli::StdoutStream as _;

use super::*;
use crate::Ctx;
use crate::tests::{World, context, scope};

fn tail(lines: usize) -> Tail {
    Tail {
        namespace: scope().namespace,
        service: scope().service,
        version: None,
        lines,
        since_ms: None,
        follow: false,
    }
}

fn record(message: impl Into<String>) -> LogRecord {
    LogRecord { timestamp: now_ms(), metadata: Default::default(), message: message.into() }
}

async fn messages(logs: &Logs, tail: Tail) -> Vec<String> {
    logs.tail(tail).map(|record| record.message).collect().await
}

fn open(folder: &std::path::Path) -> Arc<Logs> {
    Logs::open(LogsConfig::new(folder.to_owned())).unwrap()
}

#[tokio::test]
async fn the_last_lines_in_order_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path());
    for number in 0..20 {
        logs.append(&scope(), record(format!("line {number}")));
    }
    assert_eq!(messages(&logs, tail(3)).await, ["line 17", "line 18", "line 19"]);
    assert_eq!(messages(&logs, tail(0)).await, Vec::<String>::new());
    drop(logs);
    // A crash left half a line.
    let path = folder.path().join("default/greeter/log.ndjson");
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"timestamp":1,"mess"#);
    std::fs::write(&path, text).unwrap();
    let logs = open(folder.path());
    logs.append(&scope(), record("after"));
    assert_eq!(messages(&logs, tail(2)).await, ["line 19", "after"]);
}

#[tokio::test]
async fn files_are_rotated_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        LogsConfig { file_bytes_max: 2_000, files_max: 3, ..LogsConfig::new(folder.path().to_owned()) };
    let logs = Logs::open(config).unwrap();
    for number in 0..500 {
        logs.append(&scope(), record(format!("line {number}")));
    }
    let all = messages(&logs, tail(1_000)).await;
    assert_eq!(all.last().unwrap(), "line 499");
    assert!(all.len() > 20 && all.len() < 100, "{}", all.len());
    let first: usize = all[0].trim_start_matches("line ").parse().unwrap();
    assert_eq!(all, (first..500).map(|number| format!("line {number}")).collect::<Vec<_>>());
    let sizes = std::fs::read_dir(folder.path().join("default/greeter")).unwrap();
    let sizes: Vec<_> = sizes.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 2_000), "{sizes:?}");
}

#[tokio::test]
async fn versions_and_times_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path());
    let other = Scope { version: "v2".to_owned(), ..scope() };
    logs.append(&scope(), LogRecord { timestamp: 10, ..record("old") });
    logs.append(&scope(), LogRecord { timestamp: 20, ..record("new") });
    logs.append(&other, LogRecord { timestamp: 30, ..record("other") });
    let latest = Tail { version: Some("latest".to_owned()), ..tail(10) };
    assert_eq!(messages(&logs, latest).await, ["old", "new"]);
    assert_eq!(messages(&logs, Tail { since_ms: Some(20), ..tail(10) }).await, ["new", "other"]);
}

#[tokio::test]
async fn a_follower_misses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path());
    let writer = {
        let logs = Arc::clone(&logs);
        tokio::spawn(async move {
            for number in 0..2_000 {
                logs.append(&scope(), record(number.to_string()));
                if number % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let seen: Vec<_> = logs.tail(Tail { follow: true, ..tail(10_000) }).take(2_000).collect().await;
    writer.await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|record| record.message).collect();
    assert_eq!(seen, (0..2_000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flood_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        LogsConfig { lines_per_second: 1, lines_burst: 10, ..LogsConfig::new(folder.path().to_owned()) };
    let logs = Logs::open(config).unwrap();
    for _ in 0..100 {
        logs.append(&scope(), record("flood"));
    }
    logs.platform(&scope(), "error", "r1", "limit: cpu");
    let seen: Vec<_> = logs.tail(Tail { follow: true, ..tail(1_000) }).take(12).collect().await;
    let last = &seen[11];
    assert_eq!(seen.iter().filter(|record| record.message == "flood").count(), 10);
    assert!(
        seen.iter().any(|record| record.message == "limit: cpu"),
        "the platform's words are not the flood's"
    );
    assert_eq!(last.message, "limit: log (90 lines dropped: too many at once)");
}

#[tokio::test]
async fn long_lines_are_cut_at_a_character() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path());
    let mut long = record("é".repeat(LINE_BYTES_MAX));
    long.metadata.insert("field".to_owned(), "x".repeat(METADATA_BYTES_MAX * 2));
    logs.append(&scope(), long);
    let seen: Vec<_> = logs.tail(tail(1)).collect().await;
    assert!(seen[0].message.len() <= LINE_BYTES_MAX && seen[0].message.ends_with("é… (cut)"));
    assert!(seen[0].metadata["field"].len() <= METADATA_BYTES_MAX);
}

#[tokio::test]
async fn output_becomes_lines_of_its_stream() {
    let world = World::new();
    let mut ctx = Ctx::new(world.guest(Grants::default()));
    let call = ctx.begin(context(Duration::from_secs(1)));
    let mut stdout = ctx.stdout().p2_stream();
    let mut stderr = ctx.stderr().p2_stream();
    stdout.write("one\ntw".into()).unwrap();
    stderr.write("oops \u{0}\n\n".into()).unwrap();
    stdout.write(bytes::Bytes::from_static(b"o\n\xff\nlast")).unwrap();
    ctx.end(call);
    let seen: Vec<_> = world.capabilities.logs.tail(tail(10)).collect().await;
    let stream = |name: &str| -> Vec<_> {
        let of = seen.iter().filter(|record| record.metadata["stream"] == name);
        of.map(|record| record.message.as_str()).collect()
    };
    assert_eq!(stream("stdout"), ["one", "two", "\u{fffd}", "last"]);
    assert_eq!(stream("stderr"), ["oops \u{0}"]);
    assert!(seen.iter().all(|record| record.metadata["request"] == "r1"));
}

#[tokio::test]
async fn flooding_stdout_costs_nothing_and_is_said_once_a_call() {
    let world = World::new();
    let mut ctx = Ctx::new(world.guest(Grants::default()));
    for _ in 0..2 {
        let call = ctx.begin(context(Duration::from_secs(1)));
        let mut stdout = ctx.stdout().p2_stream();
        let chunk = bytes::Bytes::from(vec![b'x'; 64 << 10]);
        for _ in 0..200 {
            stdout.write(chunk.clone()).unwrap();
        }
        ctx.end(call);
    }
    let seen = messages(&world.capabilities.logs, tail(1_000)).await;
    assert_eq!(seen.iter().filter(|line| line.starts_with("limit: stdout")).count(), 2);
    assert_eq!(seen.len(), 4, "each call has one endless line, cut");
    assert!(seen.iter().all(|line| line.len() <= LINE_BYTES_MAX));
}

#[tokio::test]
async fn lines_older_than_the_plan_keeps_them_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let expire_every = Duration::from_millis(20);
    let logs = Logs::open(LogsConfig { expire_every, ..LogsConfig::new(folder.path().to_owned()) }).unwrap();
    let days = |days: i64| now_ms() - days * 86_400_000;
    for (age, message) in [(9, "old"), (8, "older than a week"), (6, "young"), (0, "new")] {
        logs.append(&scope(), LogRecord { timestamp: days(age), ..record(message) });
    }
    assert_eq!(messages(&logs, tail(10)).await.len(), 4);
    // A file of the rotation that was last written to nine days ago, one that was not, and another namespace's.
    let week = std::time::SystemTime::now() - Duration::from_secs(9 * 86_400);
    let write = |path: &str, old: bool| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        if old {
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(week).unwrap();
        }
        path
    };
    let old = write("default/greeter/log.2.ndjson", true);
    let young = write("default/greeter/log.1.ndjson", false);
    let gone = write("default/other/log.ndjson", true);
    let others = write("somebody/greeter/log.ndjson", true);
    logs.keep_days(HashMap::from([(scope().namespace, 7)]));
    assert_eq!(messages(&logs, tail(10)).await, ["young", "new"]);
    let since = Tail { since_ms: Some(days(1)), ..tail(10) };
    assert_eq!(messages(&logs, since).await, ["new"], "a later time still counts");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while old.exists() || gone.exists() {
        assert!(tokio::time::Instant::now() < deadline, "old files stay");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(young.exists() && others.exists());
    logs.keep_days(HashMap::new());
    assert_eq!(messages(&logs, tail(10)).await.len(), 4, "the current file is younger than what it holds");
}
