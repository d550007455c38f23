//! `micro blob`.

use serde_json::Value;

use crate::fake::Fake;
use crate::harness::Micro;

#[test]
fn a_file_goes_up_and_comes_back_the_same() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(path("up"), &bytes).unwrap();
    assert_eq!(micro.stdout(&["blob", "put", "files", "a/b c", &path("up")]), "");
    assert_eq!(micro.stdout(&["blob", "get", "files", "a/b c", &path("down")]), "");
    assert_eq!(std::fs::read(path("down")).unwrap(), bytes);
    std::fs::write(path("text"), "hello\n").unwrap();
    let told =
        micro.stdout(&["blob", "put", "files", "t", &path("text"), "--content-type", "text/plain", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["size"].as_u64(), told["content_type"].as_str()), (Some(6), Some("text/plain")));
    assert_eq!(micro.stdout(&["blob", "get", "files", "t"]), "hello\n");
    let table = micro.stdout(&["blob", "list", "files"]);
    assert!(table.starts_with("KEY") && table.contains("a/b c") && table.contains("292.9 KiB"), "{table}");
    let listed: Value =
        serde_json::from_str(&micro.stdout(&["blob", "list", "files", "--prefix", "a/", "--json"])).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let one: Value =
        serde_json::from_str(&micro.stdout(&["blob", "list", "files", "--limit", "1", "--json"])).unwrap();
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one}");
    assert_eq!(micro.stdout(&["blob", "delete", "files", "t"]), "");
    assert_eq!(micro.stderr(&["blob", "get", "files", "t"]), "not found\n");
}

#[test]
fn what_fails_leaves_files_as_they_were() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "mine").unwrap();
    let path = kept.display().to_string();
    assert_eq!(micro.stderr(&["blob", "get", "files", "missing", &path]), "not found\n");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
    let large = folder.path().join("large");
    std::fs::write(&large, vec![0; 5_000_001]).unwrap();
    let refused = micro.stderr(&["blob", "put", "files", "x", &large.display().to_string()]);
    assert!(refused.starts_with("limit: blob_bytes: "), "{refused}");
    let nothing = micro.run(&["blob", "list", "other"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""), "{nothing:?}");
    assert_eq!(nothing.stderr, "There are no blobs\n");
    let gone = folder.path().join("gone").display().to_string();
    let unreadable = micro.stderr(&["blob", "put", "files", "x", &gone]);
    assert!(unreadable.starts_with("cannot read "), "{unreadable}");
}

#[test]
fn a_url_is_printed_for_who_may_have_it() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file").display().to_string();
    std::fs::write(&file, "x").unwrap();
    micro.stdout(&["blob", "put", "files", "shut", &file]);
    let told = micro.stdout(&["blob", "put", "files", "open", &file, "--public", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["public"], true, "{told}");
    assert_eq!(micro.stdout(&["blob", "url", "files", "open"]), "http://localhost/.micro/blob/open\n");
    let refused = micro.stderr(&["blob", "url", "files", "shut"]);
    assert!(refused.starts_with("this blob is not public: "), "{refused}");
    let url = micro.stdout(&["blob", "url", "files", "shut", "--expires", "1h30m"]);
    assert_eq!(url, "http://localhost/.micro/blob/shut?expires=5400\n");
    let told = micro.stdout(&["blob", "url", "files", "shut", "--expires", "1500ms", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["expires_ms"].as_i64(), told["url"].is_string()), (Some(2_000), true), "{told}");
    assert_eq!(micro.stderr(&["blob", "url", "files", "missing"]), "not found\n");
    let wrong = micro.run(&["blob", "url", "files", "shut", "--expires", "soon"]);
    assert!(wrong.code != 0 && wrong.stdout.is_empty() && wrong.stderr.contains("soon"), "{wrong:?}");
}
