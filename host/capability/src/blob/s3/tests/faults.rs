//! A server that is wrong, away, slow or killed.

use super::super::server::Server;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_at_the_start() {
    let Some(config) = bucket().await else { return };
    let open = async |wrong: S3Config| told(&S3::open(&wrong).await.unwrap_err());
    let named = format!("bucket `{}`: list objects on S3: ", config.bucket);
    let secret = open(S3Config { secret: "other".to_owned(), ..config.clone() }).await;
    assert_eq!(secret, format!("{named}the secret is not that of the access key (SignatureDoesNotMatch)"));
    let key = open(S3Config { key: "nobody".to_owned(), ..config.clone() }).await;
    assert_eq!(key, format!("{named}the server does not know the access key (InvalidAccessKeyId)"));
    let missing = open(S3Config { bucket: "nosuch".to_owned(), ..config.clone() }).await;
    assert_eq!(missing, "bucket `nosuch`: list objects on S3: the bucket does not exist (NoSuchBucket)");
    let away = open(by(&config, "127.0.0.1:1")).await;
    assert!(away.starts_with(&named) && away.contains("refused"), "{away}");
    for (field, wrong) in [
        ("prefix", S3Config { prefix: "../x".to_owned(), ..config.clone() }),
        ("bucket", S3Config { bucket: "a/b".to_owned(), ..config.clone() }),
        ("key", S3Config { key: String::new(), ..config.clone() }),
        ("secret", S3Config { secret: "testsecret\n".to_owned(), ..config.clone() }),
        ("path", S3Config { address: format!("{}/path", config.address), ..config.clone() }),
        ("user", by(&config, format!("test:testsecret@{}", host(&config)))),
    ] {
        assert!(!open(wrong).await.is_empty(), "{field}");
    }
    let objects = S3::open(&config).await.unwrap();
    let shown = format!("{config:?} {objects:?}");
    assert!(!shown.contains("testsecret") && shown.contains(&config.bucket), "{shown}");
    assert_eq!(objects.list(None, 10).await.unwrap(), [], "nothing is left of the questions");
    objects.check().await.unwrap();
    remove(&config).await;
    assert!(told(&objects.check().await.unwrap_err()).contains("the bucket does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_platforms_do_not_have_the_same_objects() {
    let Some(config) = bucket().await else { return };
    let owner = |owner: &str, prefix: &str| S3Config {
        owner: owner.to_owned(),
        prefix: prefix.to_owned(),
        ..config.clone()
    };
    let (one, two) = (owner("one", "a"), owner("two", "a"));
    let at_once = futures::join!(S3::open(&one), S3::open(&two));
    assert_ne!(at_once.0.is_ok(), at_once.1.is_ok(), "{at_once:?}");
    let first = if at_once.0.is_ok() { "one" } else { "two" };
    let other = if at_once.0.is_ok() { "two" } else { "one" };
    S3::open(&owner(first, "a")).await.unwrap();
    S3::open(&owner(other, "b")).await.unwrap();
    let refused = told(&S3::open(&owner(other, "a")).await.unwrap_err());
    assert!(refused.contains("what lies below `a/` belongs to another platform"), "{refused}");
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_two_seconds_costs_two_seconds() {
    let Some(config) = bucket().await else { return };
    let line = Line::to(host(&config)).await;
    let objects = S3::open(&by(&config, line.address)).await.unwrap();
    let whole = bytes(PART_BYTES + 1);
    line.stall(true);
    let go_on = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        line.stall(false);
    };
    let (id, ()) = tokio::join!(put(&objects, &whole), go_on);
    assert!(read(&objects, &id.unwrap(), 0, whole.len() as u64).await.unwrap() == whole);
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_given_up_in_time() {
    let Some(config) = bucket().await else { return };
    let line = Line::to(host(&config)).await;
    let (try_timeout, call_timeout) = (Duration::from_secs(1), Duration::from_secs(3));
    let objects =
        S3::open(&S3Config { try_timeout, call_timeout, ..by(&config, line.address) }).await.unwrap();
    line.stall(true);
    let error = put(&objects, &bytes(10)).await.unwrap_err();
    assert!(told(&error).contains("no answer within"), "{error}");
    assert!(objects.check().await.is_err());
    line.stall(false);
    put(&objects, &bytes(10)).await.unwrap();
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_while_it_is_read_costs_no_byte() {
    let Some(config) = bucket().await else { return };
    let line = Line::to(host(&config)).await;
    let objects = S3::open(&by(&config, line.address)).await.unwrap();
    let whole = bytes(5 * PIECE_BYTES + 7);
    let id = put(&objects, &whole).await.unwrap();
    let mut chunks = objects.read(&id, 0, whole.len() as u64).await.unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        found.extend_from_slice(&chunk);
        line.cut();
    }
    assert!(found == whole);
    // Where the server does not come back, the end is an error.
    let mut chunks = objects.read(&id, 0, whole.len() as u64).await.unwrap();
    assert!(chunks.try_next().await.unwrap().is_some());
    line.close().await;
    assert!(told(&chunks.try_next().await.unwrap_err()).starts_with("read an object on S3: "));
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_server_goes_away_leaves_no_row_and_no_object() {
    let Some(config) = bucket().await else { return };
    let direct = S3::open(&config).await.unwrap();
    for (length, doing, left) in [(10, "put an object", 0), (PART_BYTES + 1, "send a part", 1)] {
        let line = Line::to(host(&config)).await;
        let blobs = blobs(S3::open(&by(&config, line.address)).await.unwrap());
        let mut writing = blobs.create(key(), New::default()).await.unwrap();
        let mut rest = bytes(length);
        while !rest.is_empty() {
            writing.write(rest.split_to(rest.len().min(CHUNK_BYTES_MAX))).await.unwrap();
        }
        line.close().await;
        let error = writing.finish().await.unwrap_err();
        assert!(told(&error).starts_with(&format!("{doing} on S3: ")), "{error}");
        assert_eq!(blobs.stat(&key()).await, Err(Error::Missing));
        assert_eq!(direct.list(None, 10).await.unwrap(), []);
        assert_eq!(direct.clear_unfinished(u64::MAX).await.unwrap(), left);
    }
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_keeps_what_was_finished_and_nothing_else() {
    let Some(mut server) = Server::start().await else { return };
    let objects = S3::open(&server.config).await.unwrap();
    let whole = bytes(PART_BYTES + 1);
    let id = put(&objects, &whole).await.unwrap();
    let mut sink = objects.create(&ObjectId::random()).await.unwrap();
    write(&mut sink, bytes(PART_BYTES + 1)).await.unwrap();
    server.kill();
    let error = sink.finish().await.unwrap_err();
    assert!(told(&error).starts_with("send a part on S3: ") && told(&error).contains("refused"), "{error}");
    assert!(told(&objects.check().await.unwrap_err()).contains("refused"));
    server.restart();
    until("it has found its files", async || read(&objects, &id, 0, 1).await.is_ok()).await;
    assert!(read(&objects, &id, 0, whole.len() as u64).await.unwrap() == whole);
    let found = objects.list(None, 10).await.unwrap();
    assert_eq!(found.into_iter().map(|found| found.id).collect::<Vec<_>>(), [id]);
    assert_eq!(objects.clear_unfinished(u64::MAX).await.unwrap(), 1);
    assert_eq!(objects.uploads().await, 0);
    until("it takes objects again", async || put(&objects, &whole).await.is_ok()).await;
}
