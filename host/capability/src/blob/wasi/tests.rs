//! The calls as a component makes them, without one.

mod streams;

use std::time::Duration;

use bytes::Bytes;
use micro_api::manifest::Grants;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

use super::blobstore::{Host, ObjectId};
use super::types::{HostIncomingValue, HostOutgoingValue};
use super::wit::{HostContainer, HostStreamObjectNames};
use super::*;
use crate::blob::{HANDLES_MAX, KEY_BYTES_MAX};
use crate::tests::{World, context};

/// One instance.
struct Instance {
    ctx: Ctx,
    table: ResourceTable,
}

impl Instance {
    fn of(world: &World) -> Self {
        let mut ctx = Ctx::new(world.guest(Grants { blob: true, ..Grants::default() }));
        ctx.begin(context(Duration::from_secs(60)));
        Self { ctx, table: ResourceTable::new() }
    }

    fn calls(&mut self) -> Caller<'_> {
        Caller { ctx: &mut self.ctx, table: &mut self.table }
    }

    async fn create(&mut self, name: &str) -> u32 {
        self.calls().create_container(name.to_owned()).await.unwrap().unwrap().rep()
    }

    async fn put(&mut self, container: u32, object: &str, bytes: &[u8]) {
        let value = self.calls().new_outgoing_value().await.unwrap().rep();
        let stream = self.body(value).await;
        self.aim(container, object, value).await.unwrap();
        self.write(stream, bytes).await;
        self.table.delete(Resource::<DynOutputStream>::new_own(stream)).unwrap();
        self.calls().finish(Resource::new_own(value)).await.unwrap().unwrap();
    }

    async fn body(&mut self, value: u32) -> u32 {
        let body = self.calls().outgoing_value_write_body(Resource::new_borrow(value)).await;
        body.unwrap().unwrap().rep()
    }

    async fn aim(&mut self, container: u32, object: &str, value: u32) -> Result<(), String> {
        let (container, value) = (Resource::new_borrow(container), Resource::new_borrow(value));
        self.calls().write_data(container, object.to_owned(), value).await.unwrap()
    }

    fn output(&mut self, stream: u32) -> &mut DynOutputStream {
        self.table.get_mut(&Resource::new_borrow(stream)).unwrap()
    }

    /// By 4 KiB at a time, as `blocking-write-and-flush` takes them.
    async fn write(&mut self, stream: u32, bytes: &[u8]) {
        for chunk in bytes.chunks(4_096) {
            self.output(stream).blocking_write_and_flush(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
    }

    async fn open(&mut self, container: u32, object: &str, start: u64, end: u64) -> Result<u32, String> {
        let container = Resource::new_borrow(container);
        let opened = self.calls().get_data(container, object.to_owned(), start, end).await.unwrap();
        opened.map(|value| value.rep())
    }

    async fn get(&mut self, container: u32, object: &str, start: u64, end: u64) -> Result<Vec<u8>, String> {
        let value = self.open(container, object, start, end).await?;
        self.calls().incoming_value_consume_sync(Resource::new_own(value)).await.unwrap()
    }

    async fn names(&mut self, container: u32) -> Vec<String> {
        let names = self.calls().list_objects(Resource::new_borrow(container)).await.unwrap().unwrap().rep();
        let (mut all, mut is_end) = (Vec::new(), false);
        while !is_end {
            let mut calls = self.calls();
            let read = calls.read_stream_object_names(Resource::new_borrow(names), 1_000).await;
            let (page, end) = read.unwrap().unwrap();
            all.extend(page);
            is_end = end;
        }
        HostStreamObjectNames::drop(&mut self.calls(), Resource::new_own(names)).await.unwrap();
        all
    }
}

fn id(container: &str, object: &str) -> ObjectId {
    ObjectId { container: container.to_owned(), object: object.to_owned() }
}

#[tokio::test]
async fn a_container_is_there_from_its_creation_to_its_deletion() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let name = || "photos".to_owned();
    assert!(!one.calls().container_exists(name()).await.unwrap().unwrap());
    let missing = one.calls().get_container(name()).await.unwrap().unwrap_err();
    assert_eq!(missing, "there is no container of this name");
    let photos = one.create("photos").await;
    assert!(one.calls().create_container(name()).await.unwrap().unwrap_err().contains("already"));
    assert!(one.calls().container_exists(name()).await.unwrap().unwrap(), "though it is empty");
    assert_eq!(one.names(photos).await, Vec::<String>::new());
    let info = HostContainer::info(&mut one.calls(), Resource::new_borrow(photos)).await.unwrap().unwrap();
    assert!(info.name == "photos" && info.created_at > 1_700_000_000, "{info:?}");
    // Others whose names begin alike are not in it.
    let longer = one.create("photos2").await;
    one.put(longer, "x", b"x").await;
    one.put(photos, "a/b", b"one").await;
    one.put(photos, "..", b"two").await;
    assert_eq!(one.names(photos).await, ["..", "a/b"]);
    // The `blob` import has the same.
    let listed = one.calls().handle().blob_list("photos", None, 10).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|listed| listed.key.as_str()).collect();
    assert_eq!(keys, ["photos/", "photos/..", "photos/a/b", "photos2/", "photos2/x"]);

    let mut other = Instance::of(&world);
    let same = other.calls().get_container(name()).await.unwrap().unwrap().rep();
    HostContainer::clear(&mut other.calls(), Resource::new_borrow(same)).await.unwrap().unwrap();
    assert_eq!(one.names(photos).await, Vec::<String>::new());
    one.put(photos, "again", b"x").await;
    one.calls().delete_container(name()).await.unwrap().unwrap();
    // What others put where there is no container stays.
    let (blobs, shelf) = (Arc::clone(&world.capabilities.blobs), one.calls().handle().blob_shelf());
    let key = shelf.key("photos/plain").unwrap();
    blobs.create(key.clone(), Default::default()).await.unwrap().finish().await.unwrap();
    one.calls().delete_container(name()).await.unwrap().unwrap();
    blobs.stat(&key).await.unwrap();
    assert!(!other.calls().container_exists(name()).await.unwrap().unwrap());
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    assert_eq!(one.aim(photos, "x", value).await.unwrap_err(), missing, "a handle keeps no container alive");
    assert_eq!(one.get(longer, "x", 0, 9).await.unwrap(), b"x");
}

#[tokio::test]
async fn objects_are_read_in_part_copied_moved_and_deleted() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let (from, to) = (one.create("from").await, one.create("to").await);
    one.put(from, "digits", b"0123456789").await;
    one.put(from, "empty", b"").await;
    for (start, end, bytes) in
        [(0, 0, "0"), (2, 4, "234"), (8, 1_000, "89"), (0, u64::MAX, "0123456789"), (10, 10, "")]
    {
        let read = one.get(from, "digits", start, end).await.unwrap();
        assert_eq!(read, bytes.as_bytes(), "{start} to {end}");
    }
    assert_eq!(one.get(from, "empty", 0, 0).await.unwrap(), b"");
    assert_eq!(one.get(from, "digits", 5, 4).await.unwrap_err(), "the range ends before it begins");
    assert_eq!(one.get(from, "digits", 11, 12).await.unwrap_err(), "the blob has 10 bytes");
    assert_eq!(one.get(from, "none", 0, 1).await.unwrap_err(), "not found");
    let value = one.open(from, "digits", 2, 4).await.unwrap();
    assert_eq!(one.calls().size(Resource::new_borrow(value)).await.unwrap(), 3);

    one.calls().copy_object(id("from", "digits"), id("to", "copy")).await.unwrap().unwrap();
    one.calls().move_object(id("from", "digits"), id("to", "moved")).await.unwrap().unwrap();
    one.calls().move_object(id("to", "moved"), id("to", "moved")).await.unwrap().unwrap();
    assert_eq!(one.names(from).await, ["empty"]);
    assert_eq!(one.names(to).await, ["copy", "moved"]);
    assert_eq!(one.get(to, "moved", 0, 99).await.unwrap(), b"0123456789");
    let nowhere = one.calls().copy_object(id("to", "copy"), id("nowhere", "copy")).await.unwrap();
    assert_eq!(nowhere.unwrap_err(), "there is no container of this name");
    let nothing = one.calls().move_object(id("to", "nothing"), id("from", "x")).await.unwrap();
    assert_eq!(nothing.unwrap_err(), "not found");

    let to = || Resource::<Container>::new_borrow(to);
    let info = one.calls().object_info(to(), "copy".to_owned()).await.unwrap().unwrap();
    assert_eq!((info.name.as_str(), info.container.as_str(), info.size), ("copy", "to", 10));
    one.calls().delete_object(to(), "none".to_owned()).await.unwrap().unwrap();
    let names = vec!["copy".to_owned(), "none".to_owned(), "moved".to_owned()];
    one.calls().delete_objects(to(), names).await.unwrap().unwrap();
    assert!(!one.calls().has_object(to(), "copy".to_owned()).await.unwrap().unwrap());
    assert_eq!(one.calls().object_info(to(), "copy".to_owned()).await.unwrap().unwrap_err(), "not found");
}

#[tokio::test]
async fn names_are_keys_and_no_paths() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let long = "ü".repeat(KEY_BYTES_MAX / 2);
    for wrong in ["", "a/b", "/", "\0", "a\nb", &long] {
        let told = one.calls().create_container(wrong.to_owned()).await.unwrap().unwrap_err();
        assert!(told.starts_with("a container's name has 1 to 1022 bytes"), "{wrong:?}: {told}");
    }
    let longest = "ü".repeat(511);
    for right in ["..", ".", "ü", "a b", "*", "%", "_", &longest] {
        let container = one.create(right).await;
        one.put(container, "o", right.as_bytes()).await;
    }
    for right in ["..", ".", "*", "%", "_"] {
        let container = one.calls().get_container(right.to_owned()).await.unwrap().unwrap().rep();
        assert_eq!(one.get(container, "o", 0, 99).await.unwrap(), right.as_bytes());
        assert_eq!(one.names(container).await, ["o"], "{right}");
    }
    let short = one.create("c").await;
    for wrong in ["", "\0", "a\u{7f}", &long] {
        let told = one.get(short, wrong, 0, 1).await.unwrap_err();
        assert!(told.starts_with("an object's name is not empty"), "{wrong:?}: {told}");
    }
    one.put(short, "../c", b"not itself").await;
    assert_eq!(one.names(short).await, ["../c"]);
}

#[tokio::test]
async fn listings_go_on_where_they_were() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let container = one.create("c").await;
    let (blobs, shelf) = (Arc::clone(&world.capabilities.blobs), one.calls().handle().blob_shelf());
    for number in 0..2_100 {
        let key = shelf.key(&format!("c/{number:04}")).unwrap();
        blobs.create(key, Default::default()).await.unwrap().finish().await.unwrap();
    }
    assert_eq!(one.names(container).await.len(), 2_100);
    let names = one.calls().list_objects(Resource::new_borrow(container)).await.unwrap().unwrap().rep();
    let names = || Resource::<Names>::new_borrow(names);
    assert_eq!(one.calls().read_stream_object_names(names(), 0).await.unwrap().unwrap(), (vec![], false));
    assert_eq!(one.calls().skip_stream_object_names(names(), 1_500).await.unwrap().unwrap(), (1_500, false));
    let (page, is_end) = one.calls().read_stream_object_names(names(), 2).await.unwrap().unwrap();
    assert_eq!((page, is_end), (vec!["1500".to_owned(), "1501".to_owned()], false));
    // All that are left, and no more: it is the end, and stays it.
    assert_eq!(one.calls().skip_stream_object_names(names(), 597).await.unwrap().unwrap(), (597, false));
    let (page, is_end) = one.calls().read_stream_object_names(names(), 1).await.unwrap().unwrap();
    assert_eq!((page, is_end), (vec!["2099".to_owned()], true));
    assert_eq!(one.calls().skip_stream_object_names(names(), u64::MAX).await.unwrap().unwrap(), (0, true));
    HostContainer::clear(&mut one.calls(), Resource::new_borrow(container)).await.unwrap().unwrap();
    assert_eq!(one.names(container).await, Vec::<String>::new());
}

#[tokio::test]
async fn resources_have_a_bound() {
    let world = World::new();
    let mut one = Instance::of(&world);
    let first = one.create("c").await;
    one.put(first, "o", b"x").await;
    let mut open = Vec::new();
    for _ in 0..HANDLES_MAX {
        open.push(one.open(first, "o", 0, 0).await.unwrap());
    }
    let full = one.open(first, "o", 0, 0).await.unwrap_err();
    assert!(full.contains("at most 16 blobs open at once"), "{full}");
    let value = one.calls().new_outgoing_value().await.unwrap().rep();
    assert!(one.calls().outgoing_value_write_body(Resource::new_borrow(value)).await.unwrap().is_err());
    for value in open {
        HostIncomingValue::drop(&mut one.calls(), Resource::new_own(value)).await.unwrap();
    }
    one.body(value).await;

    // The container and the value have two places.
    for _ in 2..RESOURCES_MAX {
        one.calls().get_container("c".to_owned()).await.unwrap().unwrap();
    }
    let full = one.calls().get_container("c".to_owned()).await.unwrap().unwrap_err();
    assert_eq!(full, "limit: resources of wasi:blobstore: at most 4096 at once: drop some");
    assert!(one.calls().list_objects(Resource::new_borrow(first)).await.unwrap().is_err());
    assert!(one.open(first, "o", 0, 0).await.is_err());
    assert!(one.calls().new_outgoing_value().await.is_err(), "it has no other way to say so");
    HostContainer::drop(&mut one.calls(), Resource::new_own(first)).await.unwrap();
    one.calls().get_container("c".to_owned()).await.unwrap().unwrap();
}
