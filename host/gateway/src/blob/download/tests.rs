use std::collections::HashMap;

use micro_capability::blob::{
    BlobKey, Blobs, CHUNK_BYTES_MAX, Catalog, Limits, MemoryCatalog, MemoryObjects, New, ObjectId, Objects,
    Row, Shelf, Urls,
};
use micro_capability::{SpaceLimits, Tallies};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn key() -> BlobKey {
    Shelf::named(&"acme".parse().unwrap(), "app").unwrap().key("k").unwrap()
}

fn tallies() -> (Tallies, Arc<Tally>) {
    let tallies = Tallies::default();
    tallies.limit(&HashMap::from([("acme".parse().unwrap(), SpaceLimits::default())]));
    let tally = tallies.of(&"acme".parse().unwrap(), &"app".parse().unwrap());
    (tallies, tally)
}

/// Three chunks, and a body of them.
async fn three(tally: &Arc<Tally>, time_max: Duration) -> Body {
    let blobs = Blobs::memory();
    let mut writing = blobs.create(key(), New::default()).await.unwrap();
    for byte in 0..3 {
        writing.write(vec![byte; CHUNK_BYTES_MAX].into()).await.unwrap();
    }
    writing.finish().await.unwrap();
    let reading = blobs.open(&key(), 0, None).await.unwrap();
    Download::body(reading, Arc::clone(tally), time_max)
}

#[tokio::test(start_paused = true)]
async fn bytes_come_in_chunks_and_are_counted() {
    let (_, tally) = tallies();
    let mut body = three(&tally, HOUR).await;
    assert_eq!(body.size_hint().exact(), Some(3 << 20));
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let chunk = frame.unwrap().into_data().unwrap();
        assert!(chunk.len() <= CHUNK_BYTES_MAX);
        whole.extend_from_slice(&chunk);
        assert_eq!(tally.sums().egress_bytes, whole.len() as u64);
    }
    assert_eq!((whole.len(), whole.last()), (3 << 20, Some(&2)));
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_download_ends_with_its_time_and_with_the_months_bytes() {
    let (tallies, tally) = tallies();
    let mut body = three(&tally, HOUR).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(HOUR).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("limit: blob time"), "{error}");

    let mut body = three(&tally, HOUR).await;
    body.frame().await.unwrap().unwrap();
    tallies.close_egress(&"acme".parse().unwrap(), true);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("limit: egress_bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn damage_is_told_before_the_last_byte() {
    let (objects, catalog) = (MemoryObjects::default(), Arc::new(MemoryCatalog::default()));
    let object = ObjectId::random();
    let mut sink = objects.create(&object).await.unwrap();
    for chunk in ["good", "evil"] {
        sink.write(Bytes::from(chunk)).await.unwrap();
    }
    sink.finish().await.unwrap();
    let row =
        Row { object, size: 8, content_type: String::new(), digest: [0; 32], public: true, changed_ms: 0 };
    catalog.put(&key(), &row, None).await.unwrap();
    let urls = Urls::new("http://localhost", "localhost", []);
    let blobs = Blobs::new(Arc::new(objects), catalog, Arc::default(), Limits::default(), urls);
    let reading = blobs.open(&key(), 0, None).await.unwrap();
    let mut body = Download::body(reading, tallies().1, HOUR);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "good");
    let told = body.frame().await.unwrap().unwrap_err();
    assert_eq!(told.to_string(), Error::Damaged.to_string());
}
