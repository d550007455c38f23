use super::*;
use crate::test::World;

#[micro_sdk::test]
async fn what_is_put_is_read_in_chunks_listed_and_deleted() -> Result<(), Error> {
    World::new();
    let bytes: Vec<u8> = (0..CHUNK_BYTES + 10).map(|n| (n % 251) as u8).collect();
    let info = put("a/1", &bytes).await?;
    assert_eq!((info.size, info.content_type.as_str()), (bytes.len() as u64, "application/octet-stream"));
    assert_eq!(get("a/1").await?.as_deref(), Some(bytes.as_slice()));
    let mut reader = Reader::open("a/1").await?;
    assert_eq!(reader.next().await?.map(|chunk| chunk.len()), Some(CHUNK_BYTES));
    assert_eq!(reader.next().await?.map(|chunk| chunk.len()), Some(10));
    assert_eq!(reader.next().await?, None);
    let mut part = Reader::open_range("a/1", 2, Some(3)).await?;
    assert_eq!(part.next().await?.as_deref(), Some(&[2, 3, 4][..]));
    assert_eq!(part.next().await?, None);
    put("a/2", "x").await?;
    put("b", "").await?;
    let keys = async |prefix: &str, after: Option<&str>| {
        let page = list(prefix, after, 10).await?;
        Ok::<_, Error>(page.into_iter().map(|info| info.key).collect::<Vec<_>>())
    };
    assert_eq!(keys("", None).await?, ["a/1", "a/2", "b"]);
    assert_eq!(keys("a/", Some("a/1")).await?, ["a/2"]);
    assert_eq!(list("", None, 1).await?.len(), 1);
    delete("a/1").await?;
    assert_eq!((stat("a/1").await?, get("a/1").await?), (None, None));
    assert_eq!(get("b").await?, Some(Vec::new()));
    assert_eq!(Reader::open("a/1").await.map(drop).unwrap_err().code, 404);
    assert_eq!(Reader::open_range("b", 1, None).await.map(drop).unwrap_err().code, 416);
    assert_eq!(put("", "x").await.unwrap_err().code, 400);
    Ok(())
}

#[micro_sdk::test]
async fn an_upload_is_seen_when_it_is_whole() -> Result<(), Error> {
    World::new();
    let mut dropped = create("k").begin().await?;
    dropped.write(b"half").await?;
    drop(dropped);
    assert_eq!(stat("k").await?, None);
    let mut writer = create("k").content_type("text/plain").public(true).begin().await?;
    writer.write(b"whole").await?;
    assert_eq!(stat("k").await?, None);
    let info = writer.finish().await?;
    assert_eq!((info.content_type.as_str(), info.public), ("text/plain", true));
    assert_eq!(stat("k").await?, Some(info));
    Ok(())
}

#[micro_sdk::test]
async fn handles_are_bounded_and_closed_when_dropped() -> Result<(), Error> {
    World::new();
    put("k", "x").await?;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Reader::open("k").await?);
    }
    assert_eq!(Reader::open("k").await.map(drop).unwrap_err().code, 429);
    open.pop();
    Reader::open("k").await?;
    Ok(())
}

#[micro_sdk::test]
async fn urls_are_for_public_blobs_or_a_time() -> Result<(), Error> {
    World::new();
    assert_eq!(url("a", None).await.unwrap_err().code, 404);
    put("shut", "x").await?;
    for name in ["a b/c", "../x"] {
        create(name).public(true).begin().await?.finish().await?;
    }
    assert!(url("a b/c", None).await?.ends_with("/a%20b/c"));
    assert!(url("../x", None).await?.ends_with("/..%2Fx"));
    assert_eq!(url("shut", None).await.unwrap_err().code, 400);
    assert!(url("shut", Some(Duration::from_millis(1))).await?.contains("/shut?expires="));
    for wrong in [Duration::ZERO, Duration::from_secs(604_801), Duration::MAX] {
        assert_eq!(url("shut", Some(wrong)).await.unwrap_err().code, 400, "{wrong:?}");
    }
    Ok(())
}
