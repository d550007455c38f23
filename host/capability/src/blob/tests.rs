//! Rows and bytes together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_api::name::Namespace;
use sha2::{Digest, Sha256};

use super::*;

struct Fixture {
    blobs: Blobs,
    objects: Folder,
    quotas: Arc<Quotas>,
    folder: tempfile::TempDir,
}

fn fixture(limits: Limits) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let objects = Folder::open(folder.path().to_owned()).unwrap();
    let quotas = Arc::<Quotas>::default();
    let catalog = Arc::new(MemoryCatalog::default());
    let urls = Urls::new("http://localhost:8080", "localhost", [[1; 32]]);
    let blobs = Blobs::new(Arc::new(objects.clone()), catalog, Arc::clone(&quotas), limits, urls);
    Fixture { blobs, objects, quotas, folder }
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn key(space: &str, name: &str) -> BlobKey {
    Shelf::named(&namespace(space), "app").unwrap().key(name).unwrap()
}

async fn put(blobs: &Blobs, key: BlobKey, new: New, bytes: &'static [u8]) -> Result<Row, Error> {
    let mut writing = blobs.create(key, new).await?;
    writing.write(Bytes::from_static(bytes)).await?;
    writing.finish().await
}

async fn read(blobs: &Blobs, key: &BlobKey, offset: u64, length: Option<u64>) -> Result<Vec<u8>, Error> {
    let mut reading = blobs.open(key, offset, length).await?;
    let mut whole = Vec::new();
    while let Some(chunk) = reading.next().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

#[test]
fn keys_have_bounds() {
    let shelf = Shelf::named(&namespace("a"), "app").unwrap();
    assert!(shelf.key(&"k".repeat(KEY_BYTES_MAX)).is_ok() && shelf.key("../é/%").is_ok());
    for bad in ["", "a\nb", "a\0", &"k".repeat(KEY_BYTES_MAX + 1)] {
        assert_eq!(shelf.key(bad), Err(Error::Key), "{bad:?}");
    }
    assert_eq!(Shelf::named(&namespace("a"), ""), Err(Error::Service));
    assert!(ObjectId::parse("../../etc/passwd").is_none() && ObjectId::parse(&"A".repeat(32)).is_none());
}

#[tokio::test]
async fn a_blob_appears_when_it_is_whole() {
    let Fixture { blobs, folder: _folder, .. } = fixture(Limits::default());
    let own = key("a", "k");
    let mut writing = blobs.create(own.clone(), New::default()).await.unwrap();
    writing.write(Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(blobs.stat(&own).await, Err(Error::Missing));
    let row = writing.finish().await.unwrap();
    assert_eq!(blobs.stat(&own).await.unwrap(), row);
    assert_eq!((row.size, row.content_type.as_str()), (3, "application/octet-stream"));
    assert_eq!(row.digest, <[u8; 32]>::from(Sha256::digest(b"new")));
    assert_eq!(read(&blobs, &own, 0, None).await.unwrap(), b"new");
    assert_eq!(read(&blobs, &own, 1, Some(1)).await.unwrap(), b"e");
    assert_eq!(read(&blobs, &own, 3, None).await.unwrap(), b"");
    assert_eq!(read(&blobs, &own, 4, None).await, Err(Error::Range(3)));
    assert_eq!(read(&blobs, &key("b", "k"), 0, None).await, Err(Error::Missing), "another tenant's");
    blobs.delete(&own).await.unwrap();
    blobs.delete(&own).await.unwrap();
    assert_eq!(read(&blobs, &own, 0, None).await, Err(Error::Missing));
}

#[tokio::test]
async fn a_wrong_digest_keeps_nothing() {
    let Fixture { blobs, folder: _folder, .. } = fixture(Limits::default());
    let own = key("a", "k");
    let given = |bytes: &[u8]| New { digest: Some(Sha256::digest(bytes).into()), ..New::default() };
    put(&blobs, own.clone(), given(b"old"), b"old").await.unwrap();
    assert_eq!(put(&blobs, own.clone(), given(b"other"), b"new").await, Err(Error::Digest));
    assert_eq!(read(&blobs, &own, 0, None).await.unwrap(), b"old");
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), Swept::default(), "no bytes were left");
}

#[tokio::test]
async fn damage_is_an_error_and_not_other_bytes() {
    let Fixture { blobs, folder, .. } = fixture(Limits::default());
    let own = key("a", "k");
    let row = put(&blobs, own.clone(), New::default(), b"right").await.unwrap();
    let id = row.object.as_str();
    let file = folder.path().join(&id[..2]).join(id);
    for wrong in ["wrong", "righ"] {
        std::fs::write(&file, wrong).unwrap();
        let mut reading = blobs.open(&own, 0, None).await.unwrap();
        reading.next().await.unwrap();
        for _ in 0..2 {
            assert_eq!(reading.next().await, Err(Error::Damaged), "{wrong}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(read(&blobs, &own, 0, None).await, Err(Error::Damaged));
}

#[tokio::test]
async fn damage_of_a_blob_of_many_chunks_is_found_at_its_end() {
    let Fixture { blobs, folder, .. } = fixture(Limits::default());
    static WHOLE: [u8; 700 << 10] = [7; 700 << 10];
    let (own, whole) = (key("a", "k"), &WHOLE[..]);
    let row = put(&blobs, own.clone(), New::default(), whole).await.unwrap();
    assert_eq!(read(&blobs, &own, 0, None).await.unwrap(), whole);
    assert_eq!(read(&blobs, &own, 300 << 10, None).await.unwrap(), whole[300 << 10..]);
    let id = row.object.as_str();
    let file = folder.path().join(&id[..2]).join(id);
    let wrong = [&whole[1..], &[8]].concat();
    for wrong in [&wrong[..], &whole[1..]] {
        std::fs::write(&file, wrong).unwrap();
        let mut reading = blobs.open(&own, 0, None).await.unwrap();
        let mut seen = 0;
        let damaged = loop {
            match reading.next().await {
                Ok(chunk) => seen += chunk.expect("it is not whole").len(),
                Err(error) => break error,
            }
        };
        assert_eq!((damaged, seen), (Error::Damaged, wrong.len()));
        assert_eq!(reading.next().await, Err(Error::Damaged));
    }
}

#[tokio::test]
async fn limits_hold() {
    let Fixture { blobs, quotas, folder: _folder, .. } =
        fixture(Limits { blob_bytes: 8, uploads: 1, ..Limits::default() });
    let own = key("a", "k");
    assert_eq!(put(&blobs, own.clone(), New::default(), b"nine byte").await, Err(Error::Size(8)));
    let bad = New { content_type: "text/html\r\nX: y".to_owned(), ..New::default() };
    assert_eq!(put(&blobs, own.clone(), bad, b"").await, Err(Error::ContentType));
    let mut first = blobs.create(own.clone(), New::default()).await.unwrap();
    let long = vec![0; CHUNK_BYTES_MAX + 1];
    assert_eq!(first.write(long.into()).await, Err(Error::Chunk));
    assert_eq!(blobs.create(own.clone(), New::default()).await.unwrap_err(), Error::Busy);
    drop(first);
    quotas.set(HashMap::from([(namespace("a"), 6)]));
    put(&blobs, own.clone(), New::default(), b"12345").await.unwrap();
    assert_eq!(put(&blobs, key("a", "l"), New::default(), b"12").await, Err(Error::Quota(6)));
    put(&blobs, key("a", "l"), New::default(), b"1").await.unwrap();
    put(&blobs, key("b", "l"), New::default(), b"12345678").await.unwrap();
    quotas.set(HashMap::from([(namespace("a"), 2)]));
    put(&blobs, own.clone(), New::default(), b"123").await.unwrap();
    assert_eq!(put(&blobs, own, New::default(), b"1234").await, Err(Error::Quota(2)));
}

#[tokio::test]
async fn uploads_at_once_do_not_pass_the_plan_together() {
    let Fixture { blobs, quotas, folder: _folder, .. } = fixture(Limits::default());
    quotas.set(HashMap::from([(namespace("a"), 5)]));
    let mut both = Vec::new();
    for name in ["one", "two"] {
        let mut writing = blobs.create(key("a", name), New::default()).await.unwrap();
        writing.write(Bytes::from_static(b"1234")).await.unwrap();
        both.push(writing);
    }
    assert_eq!(both.pop().unwrap().finish().await.map(|row| row.size), Ok(4));
    assert_eq!(both.pop().unwrap().finish().await, Err(Error::Quota(5)));
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), Swept::default(), "no bytes were left");
}

#[tokio::test]
async fn the_sweep_removes_what_no_row_names() {
    let Fixture { blobs, objects, folder, .. } = fixture(Limits::default());
    let own = key("a", "k");
    put(&blobs, own.clone(), New::default(), b"old").await.unwrap();
    put(&blobs, own.clone(), New::default(), b"new").await.unwrap();
    assert_eq!(objects.list(None, 10).await.unwrap().len(), 1, "what was written over is gone at once");
    // As a crash between the bytes and their row leaves it.
    let mut sink = objects.create(&ObjectId::random()).await.unwrap();
    sink.write(Bytes::from_static(b"left")).await.unwrap();
    sink.finish().await.unwrap();
    std::fs::write(folder.path().join("unfinished").join("0".repeat(32)), "x").unwrap();
    assert_eq!(blobs.sweep(ORPHAN_AGE).await.unwrap(), Swept::default(), "all are young");
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), Swept { objects: 1, uploads: 1 });
    assert_eq!(read(&blobs, &own, 0, None).await.unwrap(), b"new");
    assert_eq!(objects.list(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn blobs_are_listed_by_prefix_and_page() {
    let Fixture { blobs, folder: _folder, .. } = fixture(Limits::default());
    for name in ["b/2", "b/1", "b%", "c", "a"] {
        put(&blobs, key("a", name), New::default(), b"x").await.unwrap();
        put(&blobs, key("b", "b/0"), New::default(), b"x").await.unwrap();
    }
    let shelf = Shelf::named(&namespace("a"), "app").unwrap();
    let names = async |prefix: &str, after: Option<&str>, limit: usize| {
        let page = blobs.list(&shelf, prefix, after, limit).await.unwrap();
        page.into_iter().map(|listed| listed.key).collect::<Vec<_>>()
    };
    assert_eq!(names("", None, usize::MAX).await, ["a", "b%", "b/1", "b/2", "c"]);
    assert_eq!(names("b/", None, 1).await, ["b/1"]);
    assert_eq!(names("b/", Some("b/1"), 10).await, ["b/2"]);
}

#[tokio::test]
async fn one_namespace_does_not_take_all_places() {
    let Fixture { blobs, folder: _folder, .. } =
        fixture(Limits { uploads: 3, uploads_own: 2, ..Limits::default() });
    let begin = async |space: &str| blobs.create(key(space, "k"), New::default()).await;
    let (one, two) = (begin("a").await.unwrap(), begin("a").await.unwrap());
    assert_eq!(begin("a").await.unwrap_err(), Error::Busy);
    let other = begin("b").await.unwrap();
    assert_eq!(begin("c").await.unwrap_err(), Error::Busy);
    drop(one);
    begin("c").await.unwrap();
    drop((two, other));
    begin("a").await.unwrap();
}

#[tokio::test]
async fn a_url_is_made_for_what_is_there() {
    let Fixture { blobs, folder: _folder, .. } = fixture(Limits::default());
    let (open, closed) = (key("acme", "open"), key("acme", "closed"));
    assert_eq!(blobs.url(&open, None).await, Err(Error::Missing));
    assert_eq!(blobs.url(&open, Some(60)).await, Err(Error::Missing));
    put(&blobs, open.clone(), New { public: true, ..New::default() }, b"x").await.unwrap();
    put(&blobs, closed.clone(), New::default(), b"x").await.unwrap();
    let link = blobs.url(&open, None).await.unwrap();
    assert_eq!(link.url, "http://acme.localhost:8080/.micro/blob/app/open");
    assert_eq!(blobs.url(&closed, None).await, Err(Error::Private));
    assert_eq!(blobs.url(&closed, Some(0)).await, Err(Error::UrlTime));
    let link = blobs.url(&closed, Some(60)).await.unwrap();
    assert!(link.url.starts_with("http://acme.localhost:8080/.micro/blob/app/closed?expires="), "{link:?}");
}

#[tokio::test]
async fn what_was_replaced_is_not_read_as_what_it_was() {
    let Fixture { blobs, folder: _folder, .. } = fixture(Limits::default());
    let key = key("acme", "k");
    let old = put(&blobs, key.clone(), New { public: true, ..New::default() }, b"old").await.unwrap();
    let new = put(&blobs, key.clone(), New::default(), b"new").await.unwrap();
    assert_eq!(blobs.read(&old, 0, None).await.unwrap_err(), Error::Missing);
    assert_eq!(blobs.newer(&key, &old).await.unwrap(), new);
    assert_eq!(blobs.newer(&key, &new).await.unwrap_err(), Error::Damaged, "asked for nothing that is newer");
    blobs.delete(&key).await.unwrap();
    assert_eq!(blobs.newer(&key, &new).await.unwrap_err(), Error::Missing);
}
