use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_api::manifest::Grants;

use super::super::HANDLES_MAX;
use super::*;
use crate::Context;
use crate::tests::World;

fn context() -> Arc<Context> {
    Arc::new(Context {
        account: None,
        metadata: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(10),
        traceparent: String::new(),
        request_id: String::new(),
    })
}

/// Of an instance of its own.
fn handle_of(world: &World) -> Handle {
    Handle::new(world.guest(Grants { blob: true, ..Grants::default() }), context())
}

fn new_of(content_type: &str) -> New {
    New { content_type: content_type.to_owned(), ..New::default() }
}

#[tokio::test]
async fn a_guest_puts_reads_lists_and_deletes() {
    let world = World::new();
    let guest = handle_of(&world);
    let upload = guest.blob_create("a/1", new_of("text/plain")).await.unwrap();
    guest.blob_write(upload, b"hello ".to_vec()).await.unwrap();
    guest.blob_write(upload, b"world".to_vec()).await.unwrap();
    assert_eq!(guest.blob_stat("a/1").await.unwrap(), None, "nobody sees what is not finished");
    let put = guest.blob_finish(upload).await.unwrap();
    assert_eq!((put.key.as_str(), put.row.size, put.row.content_type.as_str()), ("a/1", 11, "text/plain"));
    assert_eq!(guest.blob_finish(upload).await.unwrap_err().code, 400, "it is closed");
    let reading = guest.blob_open("a/1", 0, None).await.unwrap();
    let mut parts = Vec::new();
    loop {
        let part = guest.blob_read(reading, 4).await.unwrap();
        if part.is_empty() {
            break;
        }
        parts.push(String::from_utf8(part).unwrap());
    }
    assert!(parts.iter().all(|part| part.len() <= 4), "{parts:?}");
    assert_eq!(parts.concat(), "hello world");
    assert_eq!(guest.blob_read(reading, 0).await.unwrap_err().code, 400);
    let part = guest.blob_open("a/1", 6, Some(3)).await.unwrap();
    assert_eq!(guest.blob_read(part, 100).await.unwrap(), b"wor");
    assert_eq!(guest.blob_read(part, 100).await.unwrap(), b"");
    assert_eq!(guest.blob_list("a/", None, 10).await.unwrap(), [put]);
    assert_eq!(guest.blob_list("a/", Some("a/1"), 10).await.unwrap(), []);
    guest.blob_delete("a/1").await.unwrap();
    let missing = guest.blob_open("a/1", 0, None).await.unwrap_err();
    assert_eq!((missing.code, missing.detail.as_str()), (404, "not found"));
}

#[tokio::test]
async fn handles_are_bounded_and_of_one_kind() {
    let world = World::new();
    let guest = handle_of(&world);
    let upload = guest.blob_create("k", New::default()).await.unwrap();
    assert_eq!(guest.blob_read(upload, 1).await.unwrap_err().code, 400);
    guest.blobs.close(upload);
    guest.blobs.close(upload);
    let upload = guest.blob_create("k", New::default()).await.unwrap();
    let long = vec![0; CHUNK_BYTES_MAX + 1];
    assert_eq!(guest.blob_write(upload, long).await.unwrap_err().code, 400);
    assert_eq!(guest.blob_write(upload, vec![1]).await.unwrap_err().code, 400, "an error closes it");
    let upload = guest.blob_create("k", New::default()).await.unwrap();
    guest.blob_finish(upload).await.unwrap();
    // None of them was left open.
    for _ in 0..HANDLES_MAX {
        guest.blob_open("k", 0, None).await.unwrap();
    }
    assert_eq!(guest.blob_open("k", 0, None).await.unwrap_err().code, 429);
    assert_eq!(guest.blob_create("k", New::default()).await.unwrap_err().code, 429);
    // Of another instance's handles there is nothing here.
    let other = handle_of(&world);
    assert_eq!(other.blob_read(1, 1).await.unwrap_err().code, 400);
    guest.blobs.clear();
    guest.blob_open("k", 0, None).await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_last_call_closes_what_is_open() {
    let world = World::new();
    let mut ctx = Ctx::new(Arc::clone(&handle_of(&world).guest));
    let (one, two) = (ctx.begin(context()), ctx.begin(context()));
    let upload = ctx.handle().blob_create("k", New::default()).await.unwrap();
    ctx.end(one);
    ctx.handle().blob_write(upload, vec![1]).await.unwrap();
    ctx.end(two);
    let three = ctx.begin(context());
    assert_eq!(ctx.handle().blob_write(upload, vec![1]).await.unwrap_err().code, 400);
    ctx.end(three);
}

#[test]
fn a_digest_is_64_digits() {
    assert_eq!(digest(&"0f".repeat(32)).unwrap(), [0x0f; 32]);
    for wrong in ["", "0f", &"0f".repeat(33), &"0g".repeat(32)] {
        assert_eq!(digest(wrong), Err(Blob::DigestText), "{wrong}");
    }
}
