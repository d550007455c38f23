//! Archives that were sent ahead.

use micro_api::Namespace;
use micro_api::deployment::Source;

use crate::harness::*;

/// A header whose name is written as it is: the library refuses what these tests need.
fn entry(
    archive: &mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>,
    name: &str,
    kind: tar::EntryType,
    body: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    let bytes = header.as_gnu_mut().unwrap();
    bytes.name.get_mut(..name.len()).unwrap().copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    if kind == tar::EntryType::Symlink {
        header.set_link_name(std::str::from_utf8(body).unwrap()).unwrap();
        header.set_size(0);
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
        return;
    }
    header.set_size(body.len() as u64);
    header.set_cksum();
    archive.append(&header, body).unwrap();
}

type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

async fn upload(platform: &Platform, id: &str, entries: &[Entry<'_>]) -> Source {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, kind, body) in entries {
        entry(&mut archive, name, *kind, body);
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let folder = platform.data().join("uploads");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{id}.tar.gz")), &bytes).unwrap();
    platform.db.insert_upload(&Namespace::default(), id, bytes.len() as u64, u64::MAX).await.unwrap();
    Source::Upload { upload: id.to_owned(), folder: String::new() }
}

#[tokio::test]
async fn an_upload_is_built_once() {
    use tar::EntryType::Regular;
    let mut platform = Platform::start(&[]).await;
    let wasm = wat::parse_str(JOB).unwrap();
    let source = upload(&platform, "one", &[("./app.wasm", Regular, &wasm)]).await;
    let found = platform.build(source, "app", "v1").await;
    assert_eq!(found.error, None, "{}", platform.log(&found.id).await);
    assert_eq!(found.commit, None);
    let source = upload(&platform, "two", &[("app.wasm", Regular, &wasm)]).await;
    let found = platform.build(source, "app", "v2").await;
    assert!(found.stages.first().unwrap().cached, "{:?}", found.stages);
}

#[tokio::test]
async fn archives_that_lead_out_are_refused() {
    use tar::EntryType::{Block, Link, Regular, Symlink};
    let mut platform = Platform::start(&["--source_max", "1MiB"]).await;
    let large = vec![0; 2 << 20];
    let cases: [(&str, Vec<Entry<'_>>, &str); 6] = [
        ("dots", vec![("../evil", Regular, b"x")], "`../evil` leads out of the archive"),
        ("root", vec![("/etc/evil", Regular, b"x")], "`/etc/evil` leads out of the archive"),
        ("link", vec![("a", Symlink, b"/etc")], "the link `a` leads out of the source, to `/etc`"),
        ("through", vec![("a", Symlink, b"b"), ("a/x", Regular, b"x")], "`a/x` lies below a link"),
        ("device", vec![("disk", Block, b"")], "`disk` is neither a file nor a folder"),
        ("large", vec![("large", Regular, &large)], "larger than 1 MiB"),
    ];
    for (id, entries, wanted) in cases {
        let source = upload(&platform, id, &entries).await;
        let error = platform.error(source, id).await;
        assert!(error.starts_with("Error loading source: ") && error.contains(wanted), "{id}: {error}");
    }
    let source = upload(&platform, "hard", &[("a", Link, b"")]).await;
    assert!(platform.error(source, "hard").await.contains("neither a file nor a folder"));
}
