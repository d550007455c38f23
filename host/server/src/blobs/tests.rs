use bytes::Bytes;
use micro_capability::blob::New;

use super::*;

async fn opened(data: &Path) -> (Db, Arc<Quotas>, Arc<Blobs>) {
    let db = Db::connect(&format!("sqlite:{}", data.join("control.db").display())).await.unwrap();
    db.migrate().await.unwrap();
    let quotas = Arc::<Quotas>::default();
    let sealer = Sealer::new(micro_auth::MasterKey::from_bytes(&[7; 32]), Vec::new());
    let urls = urls("http://localhost:8080", "localhost", &sealer);
    let blobs = with(Arc::new(folder(data).unwrap()), db.clone(), Arc::clone(&quotas), urls);
    (db, quotas, blobs)
}

fn shelf(namespace: &str, service: &str) -> Shelf {
    Shelf::named(&namespace.parse().unwrap(), service).unwrap()
}

async fn put(blobs: &Blobs, key: BlobKey, bytes: &'static [u8]) -> Result<Row, Error> {
    let mut writing = blobs.create(key, New { content_type: "text/plain".into(), ..New::default() }).await?;
    writing.write(Bytes::from_static(bytes)).await?;
    writing.finish().await
}

#[tokio::test]
async fn what_is_put_is_found_listed_and_gone_when_deleted() {
    let data = tempfile::tempdir().unwrap();
    let (_db, _, blobs) = opened(data.path()).await;
    let own = shelf("one", "files");
    for key in ["a/1", "a/2", "b"] {
        put(&blobs, own.key(key).unwrap(), b"hello").await.unwrap();
    }
    // Over what is there, whose bytes go at once.
    let row = put(&blobs, own.key("b").unwrap(), b"other").await.unwrap();
    assert_eq!(blobs.stat(&own.key("b").unwrap()).await.unwrap(), row);
    let keys = async |shelf: &Shelf, prefix: &str, after: Option<&str>| {
        let page = blobs.list(shelf, prefix, after, 10).await.unwrap();
        page.into_iter().map(|listed| listed.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&own, "", None).await, ["a/1", "a/2", "b"]);
    assert_eq!(keys(&own, "a/", Some("a/1")).await, ["a/2"]);
    for others in [shelf("two", "files"), shelf("one", "file")] {
        assert!(keys(&others, "", None).await.is_empty());
        let missing = blobs.open(&others.key("b").unwrap(), 0, None).await.unwrap_err();
        assert_eq!(missing, Error::Missing);
    }
    let mut reading = blobs.open(&own.key("b").unwrap(), 0, None).await.unwrap();
    assert_eq!(reading.next().await.unwrap().unwrap(), "other");
    assert_eq!(reading.next().await.unwrap(), None);
    blobs.delete(&own.key("b").unwrap()).await.unwrap();
    assert_eq!(blobs.stat(&own.key("b").unwrap()).await.unwrap_err(), Error::Missing);
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), Swept::default(), "no bytes were left");
    assert_eq!(put(&blobs, own.key("a/1").unwrap(), b"x").await.unwrap().size, 1);
}

#[tokio::test]
async fn the_limit_of_a_plan_holds() {
    let data = tempfile::tempdir().unwrap();
    let (db, quotas, blobs) = opened(data.path()).await;
    let own = shelf("one", "files");
    quotas.set([("one".parse().unwrap(), 8)].into());
    put(&blobs, own.key("a").unwrap(), b"hello").await.unwrap();
    let refused = put(&blobs, own.key("b").unwrap(), b"hello").await.unwrap_err();
    assert_eq!(refused, Error::Quota(8));
    // Two that had room when they began: the second to end is refused in the row's own step.
    let mut both = Vec::new();
    for key in ["c", "d"] {
        let mut writing = blobs.create(own.key(key).unwrap(), New::default()).await.unwrap();
        writing.write(Bytes::from_static(b"xyz")).await.unwrap();
        both.push(writing);
    }
    let mut ended = Vec::new();
    for writing in both {
        ended.push(writing.finish().await.is_ok());
    }
    assert_eq!(ended, [true, false]);
    assert_eq!(db.blob_bytes(&"one".parse().unwrap()).await.unwrap(), 8);
    put(&blobs, shelf("two", "files").key("a").unwrap(), b"a longer one").await.unwrap();
}

#[tokio::test]
async fn nodes_with_one_master_key_take_each_others_urls() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((_, _, one), (_, _, other)) = (opened(one.path()).await, opened(other.path()).await);
    let key = shelf("one", "files").key("a").unwrap();
    let link = one.urls().signed(&key, 60, 1_000).unwrap();
    let tag = link.url.rsplit_once("signature=").unwrap().1;
    let mut signature = micro_capability::blob::Signature { expires_s: 1_060, tag: [0; 32] };
    hex::decode_to_slice(tag, &mut signature.tag).unwrap();
    assert_eq!(other.urls().check(&key, &signature, 1_000), Ok(()));
    let stranger = Sealer::new(micro_auth::MasterKey::from_bytes(&[8; 32]), Vec::new());
    let stranger = urls("http://localhost:8080", "localhost", &stranger);
    assert!(stranger.check(&key, &signature, 1_000).is_err());
}
