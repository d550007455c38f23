use super::super::Shelf;
use super::*;

const NOW: u64 = 1_000_000;

fn urls() -> Urls {
    Urls::new("https://api.example.com:8443/", "example.com", [[1; 32]])
}

fn key(namespace: &str, service: &str, key: &str) -> BlobKey {
    Shelf::named(&namespace.parse().unwrap(), service).unwrap().key(key).unwrap()
}

fn signature(link: &Link) -> Signature {
    let (_, query) = link.url.split_once("?expires=").unwrap();
    let (expires, tag) = query.split_once("&signature=").unwrap();
    let mut bytes = [0; 32];
    hex::decode_to_slice(tag, &mut bytes).unwrap();
    Signature { expires_s: expires.parse().unwrap(), tag: bytes }
}

#[test]
fn urls_name_namespace_service_and_key() {
    let urls = urls();
    for (blob, url) in [
        (key("acme", "files", "a/b c.txt"), "https://acme.example.com:8443/.micro/blob/files/a/b%20c.txt"),
        (key("default", "files", "a"), "https://api.example.com:8443/.micro/blob/files/a"),
        (
            key("acme", "web.files", "é?#%"),
            "https://acme.example.com:8443/.micro/blob/web.files/%C3%A9%3F%23%25",
        ),
        // What others would resolve is one part.
        (key("acme", "files", "../x"), "https://acme.example.com:8443/.micro/blob/files/..%2Fx"),
        (key("acme", "files", "a//b"), "https://acme.example.com:8443/.micro/blob/files/a%2F%2Fb"),
        (key("acme", "files", "a/"), "https://acme.example.com:8443/.micro/blob/files/a%2F"),
    ] {
        assert_eq!(urls.plain(&blob).unwrap(), Link { url: url.to_owned(), expires_s: None });
    }
    let bare = Urls::new("http://[::1]", "localhost", [[1; 32]]);
    assert_eq!(bare.plain(&key("acme", "f", "k")).unwrap().url, "http://acme.localhost/.micro/blob/f/k");
    for (service, name) in [("files", "."), ("files", ".."), ("my files", "a"), ("go.micro.srv.files", "a")] {
        assert_eq!(urls.plain(&key("acme", service, name)), Err(Error::NoUrl), "{service} {name}");
    }
}

#[test]
fn a_signature_is_for_one_blob_until_its_time() {
    let urls = urls();
    let blob = key("acme", "files", "a/b");
    let link = urls.signed(&blob, 60, NOW).unwrap();
    let good = signature(&link);
    assert_eq!((link.expires_s, good.expires_s), (Some(NOW + 60), NOW + 60));
    assert_eq!(urls.check(&blob, &good, NOW), Ok(()));
    assert_eq!(urls.check(&blob, &good, NOW + 59), Ok(()));
    assert_eq!(urls.check(&blob, &good, NOW + 60), Err(Unsigned::Expired));
    for other in [
        key("acm", "files", "a/b"),
        key("acme", "file", "a/b"),
        key("acme", "files", "a/c"),
        // The same letters, cut elsewhere.
        key("acme", "filesa", "/b"),
        key("acmefiles", "a", "/b"),
    ] {
        assert_eq!(urls.check(&other, &good, NOW), Err(Unsigned::Wrong), "{other:?}");
    }
    let later = Signature { expires_s: good.expires_s + 1, ..good };
    assert_eq!(urls.check(&blob, &later, NOW), Err(Unsigned::Wrong));
    for byte in 0..32 {
        let mut bent = good;
        bent.tag[byte] ^= 1;
        assert_eq!(urls.check(&blob, &bent, NOW), Err(Unsigned::Wrong));
        assert_eq!(urls.check(&blob, &bent, NOW + 60), Err(Unsigned::Wrong), "not that it has expired");
    }
}

#[test]
fn nodes_agree_and_an_older_key_still_checks() {
    let (blob, urls) = (key("acme", "files", "a"), urls());
    let old = signature(&urls.signed(&blob, 60, NOW).unwrap());
    let elsewhere = Urls::new("http://localhost:8080", "localhost", [[1; 32]]);
    assert_eq!(elsewhere.check(&blob, &old, NOW), Ok(()));
    let rotated = Urls::new("http://localhost:8080", "localhost", [[2; 32], [1; 32]]);
    assert_eq!(rotated.check(&blob, &old, NOW), Ok(()));
    let new = signature(&rotated.signed(&blob, 60, NOW).unwrap());
    assert_eq!(urls.check(&blob, &new, NOW), Err(Unsigned::Wrong));
    let without = Urls::new("http://localhost:8080", "localhost", [[2; 32]]);
    assert_eq!(without.check(&blob, &old, NOW), Err(Unsigned::Wrong));
}

#[test]
fn times_have_bounds() {
    let (blob, urls) = (key("acme", "files", "a"), urls());
    for seconds in [0, URL_TIME_MAX_S + 1, u64::MAX] {
        assert_eq!(urls.signed(&blob, seconds, NOW), Err(Error::UrlTime), "{seconds}");
    }
    assert!(urls.signed(&blob, URL_TIME_MAX_S, NOW).is_ok());
    let nobody = Urls::new("http://localhost:8080", "localhost", []);
    assert!(matches!(nobody.signed(&blob, 1, NOW), Err(Error::Backend(_))));
    assert!(!format!("{urls:?}").contains("01"), "no key is shown");
}
