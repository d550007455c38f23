//! Values and their streams.

use std::collections::HashMap;

use futures::FutureExt;

use super::*;
use crate::blob::wasi::incoming::SYNC_BYTES_MAX;
use crate::blob::wasi::sending::BUFFER_BYTES;
use crate::blob::{Blobs, Limits, MemoryCatalog, MemoryObjects, Quotas, Urls};
use crate::tests::scope;

/// Bytes that do not repeat in any buffer's length.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

#[tokio::test]
async fn three_mebibytes_are_written_and_read_by_streams() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    let whole = bytes(3 << 20);
    one.put(container, "large", &whole).await;
    let value = one.open(container, "large", 0, u64::MAX).await.unwrap();
    let stream = one.calls().incoming_value_consume_async(Resource::new_own(value)).await.unwrap().unwrap();
    let mut read = Vec::new();
    loop {
        let input: &mut DynInputStream = one.table.get_mut(&stream).unwrap();
        match input.blocking_read(100_000).await {
            Ok(chunk) => {
                assert!(!chunk.is_empty() && chunk.len() <= 100_000);
                read.extend_from_slice(&chunk);
            }
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(read == whole);
    one.table.delete(stream).unwrap();
    // What was read to its end, or dropped, is closed.
    for _ in 0..HANDLES_MAX {
        let value = one.open(container, "large", 1, 2).await.unwrap();
        let stream = one.calls().incoming_value_consume_async(Resource::new_own(value)).await.unwrap();
        one.table.delete(stream.unwrap()).unwrap();
    }
    one.open(container, "large", 1, 2).await.unwrap();
}

#[tokio::test]
async fn what_comes_as_one_list_has_a_bound() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    let whole = bytes(usize::try_from(SYNC_BYTES_MAX).unwrap() + 1);
    one.put(container, "large", &whole).await;
    let told = one.get(container, "large", 0, u64::MAX).await.unwrap_err();
    assert!(told.starts_with("limit: incoming-value-consume-sync: at most 4194304 bytes"), "{told}");
    assert!(one.get(container, "large", 1, u64::MAX).await.unwrap() == whole[1..]);
}

#[tokio::test]
async fn where_a_value_lies_may_be_said_before_its_bytes_or_after() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    let whole = bytes(2 * BUFFER_BYTES + 5);
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    let stream = one.body(value).await;
    assert!(
        one.calls().outgoing_value_write_body(Resource::new_borrow(value)).await.unwrap().is_err(),
        "once"
    );
    one.write(stream, &whole).await;
    one.table.delete(Resource::<DynOutputStream>::new_own(stream)).unwrap();
    one.aim(container, "after", value).await.unwrap();
    one.aim(container, "after", value).await.unwrap();
    assert!(one.aim(container, "other", value).await.unwrap_err().contains("another object already"));
    assert_eq!(one.names(container).await, Vec::<String>::new(), "nobody sees what is not finished");
    one.calls().finish(Resource::new_own(value)).await.unwrap().unwrap();
    assert!(one.get(container, "after", 0, u64::MAX).await.unwrap() == whole);

    // Without a stream it is empty; without an object or an end it is nothing.
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    one.aim(container, "empty", value).await.unwrap();
    one.calls().finish(Resource::new_own(value)).await.unwrap().unwrap();
    assert_eq!(one.get(container, "empty", 0, 9).await.unwrap(), b"");
    let value = one.calls().new_outgoing_value().await.unwrap();
    let told = one.calls().finish(value).await.unwrap().unwrap_err();
    assert_eq!(told, "write-data gave this value to no object: it is dropped");
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    one.aim(container, "dropped", value).await.unwrap();
    let stream = one.body(value).await;
    one.write(stream, &whole).await;
    assert!(
        HostOutgoingValue::drop(&mut one.calls(), Resource::new_own(value)).await.is_err(),
        "its stream is still there"
    );
    one.table.delete(Resource::<DynOutputStream>::new_own(stream)).unwrap();
    HostOutgoingValue::drop(&mut one.calls(), Resource::new_own(value)).await.unwrap();
    assert_eq!(one.names(container).await, ["after", "empty"]);
    assert!(one.calls().handle().blob_stat("-").await.unwrap().is_none());
}

#[tokio::test]
async fn a_full_buffer_is_waited_for() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    one.aim(container, "o", value).await.unwrap();
    let stream = one.body(value).await;
    let output = one.output(stream);
    assert_eq!(output.check_write().unwrap(), BUFFER_BYTES);
    output.write(Bytes::from(bytes(BUFFER_BYTES - 1))).unwrap();
    output.flush().unwrap();
    assert_eq!(output.check_write().unwrap(), 1);
    assert!(matches!(output.write(Bytes::from_static(b"ab")), Err(StreamError::Trap(_))));
    output.write(Bytes::from_static(b"a")).unwrap();
    assert_eq!(output.check_write().unwrap(), 0);
    // Whoever stops waiting loses nothing.
    let _ = output.ready().now_or_never();
    output.ready().await;
    assert_eq!(output.check_write().unwrap(), BUFFER_BYTES);
    one.table.delete(Resource::<DynOutputStream>::new_own(stream)).unwrap();
    one.calls().finish(Resource::new_own(value)).await.unwrap().unwrap();
    assert_eq!(one.get(container, "o", 0, u64::MAX).await.unwrap().len(), BUFFER_BYTES);
}

#[tokio::test]
async fn streams_end_with_their_call() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    one.put(container, "o", b"x").await;
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    let output = one.body(value).await;
    let opened = one.open(container, "o", 0, 9).await.unwrap();
    let input = one.calls().incoming_value_consume_async(Resource::new_own(opened)).await.unwrap().unwrap();
    one.ctx.blobs.clear();
    assert!(matches!(one.output(output).check_write(), Err(StreamError::LastOperationFailed(_))));
    let input = one.table.get_mut(&input).unwrap();
    let cut = input.blocking_read(1).await;
    assert!(
        matches!(cut, Err(StreamError::LastOperationFailed(_))),
        "it must not look like the end: {cut:?}"
    );
    assert!(matches!(input.blocking_read(1).await, Err(StreamError::Closed)));
    one.table.delete(Resource::<DynOutputStream>::new_own(output)).unwrap();
    assert!(one.aim(container, "o", value).await.is_err());
    assert!(one.calls().finish(Resource::new_own(value)).await.unwrap().is_err());
}

#[tokio::test]
async fn a_plan_bounds_what_is_written() {
    let mut world = World::new();
    let quotas = Arc::new(Quotas::default());
    let limit = 4 * BUFFER_BYTES;
    quotas.set(HashMap::from([(scope().namespace, u64::try_from(limit).unwrap())]));
    let urls = Urls::new("http://localhost:8080", "localhost", [[0; 32]]);
    let (objects, catalog) = (Arc::<MemoryObjects>::default(), Arc::<MemoryCatalog>::default());
    let blobs = Blobs::new(objects, catalog, quotas, Limits::default(), urls);
    Arc::get_mut(&mut world.capabilities).unwrap().blobs = Arc::new(blobs);
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    one.put(container, "kept", &bytes(3 * BUFFER_BYTES)).await;
    // It is not known yet what they replace when most of their bytes are sent.
    for (object, length, fits) in
        [("more", BUFFER_BYTES + 1, false), ("kept", limit, true), ("less", 1, false)]
    {
        let value = one.calls().new_outgoing_value().await.unwrap().rep();
        let stream = one.body(value).await;
        one.write(stream, &bytes(length)).await;
        one.table.delete(Resource::<DynOutputStream>::new_own(stream)).unwrap();
        one.aim(container, object, value).await.unwrap();
        let finished = one.calls().finish(Resource::new_own(value)).await.unwrap();
        assert_eq!(finished.is_ok(), fits, "{object}: {finished:?}");
    }
    assert_eq!(one.names(container).await, ["kept"]);
    // Nor is more taken than the plan allows in all.
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    let stream = one.body(value).await;
    let mut told = None;
    for _ in 0..6 {
        let written = one.output(stream).blocking_write_and_flush(Bytes::from(bytes(BUFFER_BYTES))).await;
        told = written.err().map(|error| error.to_string()).or(told);
    }
    let told = told.unwrap();
    assert!(told.contains("limit: blob_bytes"), "{told}");
}
