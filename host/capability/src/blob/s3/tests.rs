//! What goes wrong between a platform and its bucket, and what is S3's alone.

mod faults;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::sync::Barrier;

use super::fake::Fake;
use super::server::{bucket, by, host, remove};
use super::*;
use crate::blob::{BlobKey, Blobs, Limits, MemoryCatalog, New, Quotas, Shelf, Urls};
use crate::line::Line;

/// Bytes that do not repeat in any part's length.
fn bytes(length: usize) -> Bytes {
    (0..length as u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8)
        .collect::<Vec<_>>()
        .into()
}

async fn write(sink: &mut Box<dyn Sink>, mut bytes: Bytes) -> Result<(), Error> {
    // No length that parts or pieces have.
    while !bytes.is_empty() {
        sink.write(bytes.split_to(bytes.len().min(700_001))).await?;
    }
    Ok(())
}

async fn put(objects: &S3, bytes: &Bytes) -> Result<ObjectId, Error> {
    let id = ObjectId::random();
    let mut sink = objects.create(&id).await?;
    write(&mut sink, bytes.clone()).await?;
    sink.finish().await?;
    Ok(id)
}

async fn read(objects: &S3, id: &ObjectId, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Bytes> = objects.read(id, offset, length).await?.try_collect().await?;
    Ok(chunks.concat())
}

fn told(error: &Error) -> String {
    let Error::Backend(text) = error else { panic!("{error:?}") };
    assert!(!text.contains("testsecret") && !text.contains("<") && text.len() < 500, "{text}");
    text.clone()
}

/// Waits for what another task does.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn key() -> BlobKey {
    Shelf::named(&"a".parse().unwrap(), "app").unwrap().key("k").unwrap()
}

fn blobs(objects: S3) -> Blobs {
    let catalog = Arc::new(MemoryCatalog::default());
    let urls = Urls::new("http://localhost:8080", "localhost", [[1; 32]]);
    Blobs::new(Arc::new(objects), catalog, Arc::<Quotas>::default(), Limits::default(), urls)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_a_part_goes_up_in_parts_and_comes_back_whole() {
    let Some(config) = bucket().await else { return };
    for checksum in [S3Checksum::WhenRequired, S3Checksum::Sha256] {
        let objects = S3::open(&S3Config { checksum, ..config.clone() }).await.unwrap();
        for (length, has_parts) in
            [(PART_BYTES, false), (PART_BYTES + 1, true), (2 * PART_BYTES + 12_345, true)]
        {
            let (whole, id) = (bytes(length), ObjectId::random());
            let mut sink = objects.create(&id).await.unwrap();
            write(&mut sink, whole.clone()).await.unwrap();
            assert_eq!(objects.uploads().await, usize::from(has_parts), "{length}");
            assert_eq!(read(&objects, &id, 0, 1).await, Err(Error::Missing));
            assert_eq!(objects.list(None, 10).await.unwrap(), []);
            sink.finish().await.unwrap();
            assert!(read(&objects, &id, 0, length as u64).await.unwrap() == whole, "{length}");
            let part = read(&objects, &id, PART_BYTES as u64 - 2, 3).await.unwrap();
            assert_eq!(part, whole[PART_BYTES - 2..length.min(PART_BYTES + 1)]);
            assert_eq!(objects.uploads().await, 0);
            objects.delete(&id).await.unwrap();
        }
    }
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_dropped_leaves_no_parts() {
    let Some(config) = bucket().await else { return };
    let objects = S3::open(&config).await.unwrap();
    let mut sink = objects.create(&ObjectId::random()).await.unwrap();
    write(&mut sink, bytes(PART_BYTES + 1)).await.unwrap();
    assert_eq!(objects.uploads().await, 1);
    drop(sink);
    until("its parts are gone", async || objects.uploads().await == 0).await;
    remove(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_never_ends_is_cleared_once_nothing_comes_any_more() {
    let Some(config) = bucket().await else { return };
    let objects = S3::open(&config).await.unwrap();
    let id = ObjectId::random();
    let mut sink = objects.create(&id).await.unwrap();
    write(&mut sink, bytes(PART_BYTES + 1)).await.unwrap();
    // Another platform's uploads in the same bucket are not ours.
    let others = S3::open(&S3Config { prefix: "other".to_owned(), ..config.clone() }).await.unwrap();
    assert_eq!(others.clear_unfinished(u64::MAX).await.unwrap(), 0);
    assert_eq!(objects.clear_unfinished(crate::context::unix_ms() - 60_000).await.unwrap(), 0, "it is young");
    // One that began long ago counts by its last part.
    let began = crate::context::unix_ms();
    until("the next second", async || crate::context::unix_ms() > began + 1_000).await;
    let before = crate::context::unix_ms() / 1_000 * 1_000 - 1;
    write(&mut sink, bytes(PART_BYTES)).await.unwrap();
    assert_eq!(objects.clear_unfinished(before).await.unwrap(), 0, "a part came since");
    assert_eq!(objects.clear_unfinished(u64::MAX).await.unwrap(), 1);
    assert_eq!(objects.uploads().await, 0);
    let error = sink.finish().await.unwrap_err();
    assert!(told(&error).starts_with("send a part on S3: "), "{error}");
    assert_eq!(read(&objects, &id, 0, 1).await, Err(Error::Missing));
    remove(&config).await;
}

#[tokio::test]
async fn a_server_that_ignores_conditions_and_encodes_its_answers_will_do() {
    let (_fake, config) = Fake::default().serve().await;
    let objects = S3::open(&config).await.unwrap();
    let whole = bytes(3 * PIECE_BYTES / 2);
    let id = put(&objects, &whole).await.unwrap();
    assert!(read(&objects, &id, 0, u64::MAX).await.unwrap() == whole);
    assert_eq!(objects.clear_unfinished(u64::MAX).await.unwrap(), 0, "it lists none");
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_asked_again_and_then_told_of() {
    let (fake, config) = Fake::default().serve().await;
    let objects = S3::open(&config).await.unwrap();
    fake.slow_down.store(2, Ordering::SeqCst);
    put(&objects, &bytes(10)).await.unwrap();
    let before = fake.calls.load(Ordering::SeqCst);
    fake.slow_down.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(put(&objects, &bytes(10)).await, Err(Error::Busy));
    assert_eq!(fake.calls.load(Ordering::SeqCst) - before, 1 + RETRIES);
}

#[tokio::test]
async fn a_reading_that_breaks_off_goes_on_where_it_was() {
    let (fake, config) = Fake::default().serve().await;
    let objects = S3::open(&config).await.unwrap();
    let whole = bytes(2 * PIECE_BYTES + 10);
    let id = put(&objects, &whole).await.unwrap();
    fake.cuts.store(3, Ordering::SeqCst);
    assert!(read(&objects, &id, 0, whole.len() as u64).await.unwrap() == whole);
    fake.cuts.store(usize::MAX, Ordering::SeqCst);
    let error = read(&objects, &id, 0, 100).await.unwrap_err();
    assert!(told(&error).starts_with("read an object on S3: "), "{error}");
}

#[tokio::test]
async fn a_reading_that_nobody_waits_for_gives_its_turn_back() {
    let (fake, config) = Fake::default().serve().await;
    let call_timeout = Duration::from_secs(1);
    let objects = S3::open(&S3Config { calls_max: 1, call_timeout, ..config }).await.unwrap();
    let id = put(&objects, &bytes(PIECE_BYTES + 1)).await.unwrap();
    let mut chunks = objects.read(&id, 0, u64::MAX).await.unwrap();
    chunks.next().await.unwrap().unwrap();
    fake.stalls.store(1, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_millis(100), chunks.next()).await.unwrap_err();
    until("the only turn is free", async || read(&objects, &id, 0, 1).await.is_ok()).await;
    let error = chunks.next().await.unwrap().unwrap_err();
    assert_eq!(told(&error), "S3 gave no answer within 1s");
}

#[tokio::test]
async fn calls_at_once_are_bounded() {
    let (fake, config) = Fake { together: Some(Barrier::new(4)), ..Fake::default() }.serve().await;
    let objects = S3::open(&S3Config { calls_max: 4, ..config }).await.unwrap();
    let one = bytes(1);
    futures::future::try_join_all((0..64).map(|_| put(&objects, &one))).await.unwrap();
    assert_eq!(fake.most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn who_gets_no_turn_is_told_that_it_is_busy_and_who_gets_no_answer_that() {
    // Nobody else comes.
    let (_fake, config) = Fake { together: Some(Barrier::new(2)), ..Fake::default() }.serve().await;
    let call_timeout = Duration::from_secs(3);
    let objects = S3::open(&S3Config { calls_max: 1, call_timeout, ..config }).await.unwrap();
    let error = put(&objects, &bytes(1)).await.unwrap_err();
    assert_eq!(told(&error), "S3 gave no answer within 3s");
    // What sends more may take longer, and has the only turn meanwhile.
    let longer = objects.0.calls.make(PART_BYTES, std::future::pending::<()>());
    let other = bytes(2);
    tokio::select! {
        biased;
        _ = longer => panic!("it never ends"),
        waited = put(&objects, &other) => assert_eq!(waited, Err(Error::Busy)),
    }
}
