//! What every backend must do, run on each.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;

use super::s3::server as s3;
use super::*;
use crate::context::unix_ms;
use crate::tests::ran;

fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Objects>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(check(Arc::new(MemoryObjects::default())));
    ran("blobs", "memory");
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(check(Arc::new(Folder::open(folder.path().join("blobs")).unwrap())));
    ran("blobs", "folder");
    if let Some(config) = runtime.block_on(s3::bucket()) {
        runtime.block_on(check(Arc::new(runtime.block_on(S3::open(&config)).unwrap())));
        runtime.block_on(s3::remove(&config));
        ran("blobs", "S3");
    }
}

async fn put(objects: &dyn Objects, chunks: &[&'static [u8]]) -> ObjectId {
    let id = ObjectId::random();
    let mut sink = objects.create(&id).await.unwrap();
    for chunk in chunks {
        sink.write(Bytes::from_static(chunk)).await.unwrap();
    }
    sink.finish().await.unwrap();
    id
}

async fn read(objects: &dyn Objects, id: &ObjectId, offset: u64, length: u64) -> Vec<u8> {
    let chunks: Vec<Bytes> = objects.read(id, offset, length).await.unwrap().try_collect().await.unwrap();
    chunks.concat()
}

#[test]
fn what_is_finished_is_read_whole_and_in_part() {
    on_each(|objects| async move {
        let id = put(&*objects, &[b"one", b"two", b"three"]).await;
        let whole = b"onetwothree";
        for offset in 0..=whole.len() {
            for length in 0..=whole.len() + 2 {
                let end = whole.len().min(offset + length);
                let part = read(&*objects, &id, offset as u64, length as u64).await;
                assert_eq!(part, &whole[offset..end], "{length} from {offset}");
            }
        }
        let empty = put(&*objects, &[]).await;
        assert_eq!(read(&*objects, &empty, 0, 10).await, b"");
    });
}

#[test]
fn large_objects_come_in_bounded_chunks() {
    on_each(|objects| async move {
        let id = ObjectId::random();
        let mut sink = objects.create(&id).await.unwrap();
        for number in 0..3 {
            sink.write(vec![number; CHUNK_BYTES_MAX].into()).await.unwrap();
        }
        sink.finish().await.unwrap();
        let chunks = objects.read(&id, 1, u64::MAX).await.unwrap();
        let chunks: Vec<Bytes> = chunks.try_collect().await.unwrap();
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES_MAX));
        let whole = chunks.concat();
        assert_eq!(whole.len(), 3 * CHUNK_BYTES_MAX - 1);
        assert_eq!((whole[0], whole[CHUNK_BYTES_MAX], whole[whole.len() - 1]), (0, 1, 2));
    });
}

#[test]
fn what_is_not_finished_or_deleted_is_not_there() {
    on_each(|objects| async move {
        let id = ObjectId::random();
        let mut sink = objects.create(&id).await.unwrap();
        sink.write(Bytes::from_static(b"half")).await.unwrap();
        assert!(matches!(objects.read(&id, 0, 1).await, Err(Error::Missing)));
        assert_eq!(objects.list(None, 10).await.unwrap(), []);
        drop(sink);
        assert_eq!(objects.clear_unfinished(u64::MAX).await.unwrap(), 0, "dropping it leaves nothing");
        let id = put(&*objects, &[b"x"]).await;
        objects.delete(&id).await.unwrap();
        objects.delete(&id).await.unwrap();
        assert!(matches!(objects.read(&id, 0, 1).await, Err(Error::Missing)));
    });
}

#[test]
fn objects_are_listed_page_by_page() {
    on_each(|objects| async move {
        let began_ms = unix_ms() - 1_000;
        let mut ids = Vec::new();
        for _ in 0..25 {
            ids.push(put(&*objects, &[b"x"]).await);
        }
        ids.sort();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = objects.list(after.as_ref(), 10).await.unwrap();
            assert!(page.iter().all(|found| found.finished_ms >= began_ms));
            seen.extend(page.iter().map(|found| found.id.clone()));
            after = seen.last().cloned();
            if page.len() < 10 {
                break;
            }
        }
        assert_eq!(seen, ids);
    });
}
