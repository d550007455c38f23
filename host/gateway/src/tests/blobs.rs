//! Blobs by their URLs.

use std::sync::Arc;

use bytes::Bytes;
use micro_capability::blob::{BlobKey, Blobs, New, Shelf};

use super::fixture::{PUBLIC, Server, tenant};
use crate::quota::Exceeded;

const BYTES: &[u8] = b"0123456789";

fn blobs(server: &Server) -> Arc<Blobs> {
    Arc::clone(&server.gateway.runtime.capabilities().blobs)
}

fn key(namespace: &str, service: &str, key: &str) -> BlobKey {
    Shelf::named(&namespace.parse().unwrap(), service).unwrap().key(key).unwrap()
}

async fn put(server: &Server, key: &BlobKey, content_type: &str, public: bool) {
    let new = New { content_type: content_type.to_owned(), public, digest: None };
    let mut writing = blobs(server).create(key.clone(), new).await.unwrap();
    writing.write(Bytes::from_static(BYTES)).await.unwrap();
    writing.finish().await.unwrap();
}

/// `acme` has `open`, which is public, and `shut`, which is not; both of the service `svc`.
async fn server() -> Server {
    let server = Server::start(|_| ()).await;
    put(&server, &key("acme", "svc", "open"), "image/png", true).await;
    put(&server, &key("acme", "svc", "shut"), "image/png", false).await;
    server
}

/// Path and query of a URL signed for a minute from `from_s`, Unix seconds.
fn signed(server: &Server, key: &BlobKey, from_s: u64) -> String {
    let link = blobs(server).urls().signed(key, 60, from_s).unwrap();
    let at = link.url.find("/.micro/").unwrap();
    link.url[at..].to_owned()
}

fn now_s() -> u64 {
    u64::try_from(crate::handle::now_ms() / 1_000).unwrap()
}

async fn ask_by(server: &Server, method: &str, host: &str, target: &str, headers: &str) -> (u16, String) {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    server.ask(&request).await
}

async fn ask(server: &Server, target: &str, headers: &str) -> (u16, String) {
    ask_by(server, "GET", "acme.localhost", target, headers).await
}

/// The body, and the header lines in lower case without those that differ each time.
fn parts(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.to_ascii_lowercase();
    let lines: Vec<_> =
        lines.lines().filter(|line| !line.starts_with("micro-id:") && !line.starts_with("date:")).collect();
    (lines.join("\n"), body.to_owned())
}

#[tokio::test]
async fn a_public_blob_answers_everybody_with_little_rights() {
    let server = server().await;
    server.known.key("own", "acme", "ann");
    server.known.key("other", "default", "bob");
    let mut answers = Vec::new();
    for credential in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer other\r\n",
        "Authorization: Bearer own\r\n",
        "Authorization: nonsense\r\n",
        "Cookie: micro-token=expired\r\n",
    ] {
        let (status, answer) = ask(&server, "/.micro/blob/svc/open", credential).await;
        assert_eq!(status, 200, "{credential}: {answer}");
        answers.push(parts(&answer));
    }
    let (head, body) = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| *answer == (head.clone(), body.clone())), "{answers:?}");
    assert_eq!(body.as_bytes(), BYTES);
    for line in [
        "content-type: image/png",
        "content-length: 10",
        "content-disposition: inline",
        "x-content-type-options: nosniff",
        "accept-ranges: bytes",
        "cache-control: public, max-age=60, must-revalidate",
        "referrer-policy: no-referrer",
        "etag: \"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882\"",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    server.quiet().await;
}

#[tokio::test]
async fn private_and_missing_blobs_look_alike_to_everybody() {
    let server = server().await;
    server.known.key("own", "acme", "ann");
    server.known.key("other", "default", "bob");
    let mut answers = Vec::new();
    for credential in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer other\r\n",
        "Authorization: Bearer own\r\n",
    ] {
        for target in [
            "/.micro/blob/svc/shut",
            "/.micro/blob/svc/missing",
            "/.micro/blob/nosuch/open",
            "/.micro/blob/svc/%00",
            "/.micro/blob/svc/%ff",
            "/.micro/blob/svc/open%0d%0aSet-Cookie:%20a=b",
            "/.micro/blob/svc/",
            "/.micro/blob/svc//open",
            "/.micro/blob/svc/x/../open",
            "/.micro/blob/svc/%2e%2e/svc/open",
            "/.micro/blob/svc/..%2fsvc%2fopen",
            "/.micro/blob/..%2fsvc/open",
            "/.micro/blob/acme%2fsvc/open",
            "/.micro/blob/svc/%6f%70%65%6e%00",
            "/.micro/",
        ] {
            let (status, answer) = ask(&server, target, credential).await;
            assert_eq!(status, 404, "{target}: {answer}");
            answers.push(parts(&answer));
        }
    }
    let first = answers.first().unwrap().clone();
    assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
    let error = r#"{"id":"go.micro.blob","code":404,"detail":"not found","status":"Not Found"}"#;
    assert_eq!(first.1, error);
    assert!(first.0.contains("cache-control: no-store"), "{}", first.0);
    assert_eq!(
        ask(&server, "/.micro/blob/svc/%6f%70%65%6e", "").await.0,
        200,
        "the same key, written otherwise"
    );
}

#[tokio::test]
async fn a_signed_url_opens_its_blob_until_its_time() {
    let server = server().await;
    put(&server, &key("acme", "svc", "shut2"), "image/png", false).await;
    put(&server, &key("acme", "svc2", "shut"), "image/png", false).await;
    put(&server, &key("default", "svc", "shut"), "image/png", false).await;
    let good = signed(&server, &key("acme", "svc", "shut"), now_s());
    let (status, answer) = ask(&server, &good, "").await;
    let (head, body) = parts(&answer);
    assert_eq!((status, body.as_bytes()), (200, BYTES), "{answer}");
    assert!(head.contains("cache-control: private, no-cache"), "{head}");
    assert_eq!(ask(&server, &good, "Authorization: Bearer wrong\r\n").await.0, 200);
    assert_eq!(ask_by(&server, "HEAD", "acme.localhost", &good, "").await.0, 200);

    let (path, query) = good.split_once('?').unwrap();
    let (expires, tag) = query.split_once("&signature=").unwrap();
    let expires: u64 = expires.strip_prefix("expires=").unwrap().parse().unwrap();
    let last = if tag.ends_with('0') { '1' } else { '0' };
    for wrong in [
        format!("{path}?expires={}&signature={tag}", expires + 1),
        format!("{path}?expires={expires}&signature={}{last}", &tag[..63]),
        format!("{path}?expires={expires}&signature="),
        format!("{path}?expires={expires}"),
        format!("{path}?signature={tag}"),
        format!("{path}?{query}&expires={expires}"),
        format!("{path}2?{query}"),
        format!("/.micro/blob/svc2/shut?{query}"),
        format!("/.micro/blob/svc/missing?{query}"),
        // Not even of what needs none.
        format!("/.micro/blob/svc/open?{query}"),
    ] {
        let (status, answer) = ask(&server, &wrong, "").await;
        assert_eq!(status, 403, "{wrong}: {answer}");
        assert!(answer.contains(r#""id":"go.micro.blob","code":403,"detail":"the signature of this URL"#));
        assert!(answer.to_ascii_lowercase().contains("cache-control: no-store"), "{answer}");
    }
    let (status, answer) = ask_by(&server, "GET", "localhost", &good, "").await;
    assert_eq!(status, 403, "another namespace's blob of the same name: {answer}");

    let old = signed(&server, &key("acme", "svc", "shut"), now_s() - 61);
    let (status, answer) = ask(&server, &old, "").await;
    assert_eq!(status, 403);
    assert!(answer.contains("this URL has expired: ask for a new one"), "{answer}");

    // It is the key's: what is put there anew is answered, and nothing once it is gone.
    put(&server, &key("acme", "svc", "shut"), "text/plain", false).await;
    let (_, answer) = ask(&server, &good, "").await;
    assert!(answer.contains("text/plain"), "{answer}");
    blobs(&server).delete(&key("acme", "svc", "shut")).await.unwrap();
    assert_eq!(ask(&server, &good, "").await.0, 404);
}

#[tokio::test]
async fn the_same_path_works_on_every_host_of_the_namespace_alone() {
    let server = server().await;
    put(&server, &key("default", "svc", "mine"), "image/png", true).await;
    for (host, headers, target, status) in [
        ("acme.localhost", "", "/.micro/blob/svc/open", 200),
        ("svc--acme.localhost", "", "/.micro/blob/svc/open", 200),
        ("localhost", "Micro-Namespace: acme\r\n", "/.micro/blob/svc/open", 200),
        ("api.localhost:8080", "Micro-Namespace: acme\r\n", "/.micro/blob/svc/open", 200),
        ("127.0.0.1", "", "/.micro/blob/svc/mine", 200),
        ("localhost", "", "/.micro/blob/svc/open", 404),
        ("other.localhost", "", "/.micro/blob/svc/open", 404),
        ("acme.localhost", "", "/.micro/blob/svc/mine", 404),
        // A service's origin has its own blobs alone.
        ("svc2--acme.localhost", "", "/.micro/blob/svc/open", 404),
        ("web--acme.localhost", "", "/.micro/blob/svc/open", 404),
        ("acme.localhost", "Micro-Namespace: default\r\n", "/.micro/blob/svc/open", 400),
        ("evil.example", "", "/.micro/blob/svc/open", 421),
    ] {
        let (got, answer) = ask_by(&server, "GET", host, target, headers).await;
        assert_eq!(got, status, "{host} {headers} {target}: {answer}");
    }
    // Other pages may show it, and not ask for it by script.
    assert_eq!(ask(&server, "/.micro/blob/svc/open", "Origin: https://evil.example\r\n").await.0, 403);
}

#[tokio::test]
async fn no_service_is_asked_below_the_platforms_path() {
    let server = Server::with_tenants(|_| ()).await;
    server.tenants(&[("acme", tenant(&[PUBLIC]))]);
    // The service has all other paths of its origin.
    assert_eq!(ask_by(&server, "GET", "web--acme.localhost", "/status?299", "").await.0, 299);
    server.budget.counted.lock().clear();
    for target in ["/.micro/", "/.micro/echo", "/.micro/blob/web/x", "/.micro/blob"] {
        let (status, answer) = ask_by(&server, "GET", "web--acme.localhost", target, "").await;
        assert_eq!(status, 404, "{target}");
        assert!(answer.contains(r#""id":"go.micro.blob""#), "{target}: {answer}");
    }
    for (method, status) in [("POST", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 200)] {
        let (got, answer) = ask_by(&server, method, "acme.localhost", "/.micro/blob/svc/open", "").await;
        assert_eq!(got, status, "{method}");
        assert!(answer.to_ascii_lowercase().contains("allow: get, head, options"), "{method}: {answer}");
    }
    assert!(server.budget.counted.lock().is_empty(), "none of these was a request of a service's");
}

#[tokio::test]
async fn parts_and_versions_of_a_blob_are_answered() {
    let server = server().await;
    let open = "/.micro/blob/svc/open";
    let etag = "\"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882\"";
    let if_range = format!("Range: bytes=2-4\r\nIf-Range: {etag}\r\n");
    for (headers, status, body, range) in [
        ("Range: bytes=2-4\r\n", 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=7-\r\n", 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=-4\r\n", 206, "6789", Some("bytes 6-9/10")),
        ("Range: bytes=0-99\r\n", 206, "0123456789", Some("bytes 0-9/10")),
        ("Range: bytes=10-\r\n", 416, "", Some("bytes */10")),
        ("Range: bytes=-0\r\n", 416, "", Some("bytes */10")),
        ("Range: bytes=0-1,3-4\r\n", 200, "0123456789", None),
        ("Range: bytes=0-1\r\nRange: bytes=3-4\r\n", 200, "0123456789", None),
        ("Range: bytes=4-2\r\n", 200, "0123456789", None),
        ("Range: lines=1-2\r\n", 200, "0123456789", None),
        ("Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", 200, "0123456789", None),
        (&if_range, 206, "234", Some("bytes 2-4/10")),
    ] {
        let (got, answer) = ask(&server, open, headers).await;
        let (head, told) = parts(&answer);
        assert_eq!(got, status, "{headers}: {answer}");
        if status == 416 {
            assert!(told.contains(r#""code":416"#), "{told}");
        } else {
            assert_eq!(told, body, "{headers}");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{headers}: {head}");
        }
        let found = head.lines().find_map(|line| line.strip_prefix("content-range: "));
        assert_eq!(found, range, "{headers}: {head}");
    }
    for known in [etag.to_owned(), format!("W/{etag}"), "*".to_owned(), format!("\"x\", {etag}")] {
        let headers = format!("If-None-Match: {known}\r\nRange: bytes=2-4\r\n");
        let (status, answer) = ask(&server, open, &headers).await;
        let (head, body) = parts(&answer);
        assert_eq!((status, body.as_str()), (304, ""), "{known}: {answer}");
        assert!(head.contains(etag) && head.contains("cache-control: public"), "{head}");
    }
    assert_eq!(ask(&server, open, "If-None-Match: \"other\"\r\n").await.0, 200);
    // Private ones say nothing of their versions.
    let probe = format!("If-None-Match: {etag}\r\n");
    assert_eq!(ask(&server, "/.micro/blob/svc/shut", &probe).await.0, 404);
    let (status, answer) = ask_by(&server, "HEAD", "acme.localhost", open, "Range: bytes=2-4\r\n").await;
    let (head, body) = parts(&answer);
    assert_eq!((status, body.as_str()), (200, ""), "{answer}");
    assert!(head.contains("content-length: 10") && head.contains("content-type: image/png"), "{head}");
}

#[tokio::test]
async fn types_and_keys_put_nothing_into_the_head() {
    let server = server().await;
    for (name, content_type, target) in [
        ("page.html", "text/html", "/.micro/blob/svc/page.html"),
        ("a\"; x=y", "image/svg+xml", "/.micro/blob/svc/a%22;%20x=y"),
        ("é", "text/html\u{20}; charset=\"a\"", "/.micro/blob/svc/%C3%A9"),
        ("two", "image/png, text/html", "/.micro/blob/svc/two"),
    ] {
        put(&server, &key("acme", "svc", name), content_type, true).await;
        let (status, answer) = ask(&server, target, "").await;
        let (head, _) = parts(&answer);
        assert_eq!(status, 200, "{target}: {answer}");
        assert!(head.contains("content-disposition: attachment"), "{head}");
        assert!(head.contains("; sandbox"), "{head}");
        assert!(!head.contains("filename=") && !head.contains("x=y"), "{head}");
    }
    let new = New { content_type: "text/html\r\nSet-Cookie: a=b".to_owned(), ..New::default() };
    assert!(blobs(&server).create(key("acme", "svc", "k"), new).await.is_err());
}

#[tokio::test]
async fn limits_of_the_namespace_and_the_month_hold() {
    let server = server().await;
    let open = "/.micro/blob/svc/open";
    assert_eq!(ask(&server, open, "").await.0, 200);
    assert_eq!(ask(&server, "/.micro/blob/svc/missing", "").await.0, 404);
    assert_eq!(*server.budget.counted.lock(), ["acme/svc"], "what is not there costs nothing");
    let sums = server.gateway.runtime.capabilities().tallies.read();
    let own =
        sums.iter().find(|(namespace, service, _)| namespace.as_str() == "acme" && service.alias() == "svc");
    assert_eq!(own.unwrap().2.egress_bytes, 10);

    let used_up = Exceeded {
        limit: "egress_bytes_per_month",
        max: 10,
        resets_ms: None,
        what_to_do: "ask the operator".to_owned(),
    };
    *server.budget.used_up.lock() = Some(used_up);
    let (status, answer) = ask(&server, open, "").await;
    assert_eq!(status, 429);
    assert!(answer.contains("limit: egress_bytes_per_month"), "{answer}");
    *server.budget.used_up.lock() = None;

    let mut slow = tenant(&[PUBLIC]);
    (slow.requests_per_second, slow.burst) = (Some(1), 2);
    server.tenants(&[("acme", slow)]);
    let mut last = (0, String::new());
    for _ in 0..200 {
        last = ask(&server, open, "").await;
        if last.0 != 200 {
            break;
        }
    }
    assert_eq!(last.0, 429, "{}", last.1);
    assert!(last.1.contains("limit: requests_per_second"), "{}", last.1);

    let mut blocked = tenant(&[PUBLIC]);
    blocked.blocked = Some("unpaid".to_owned());
    server.tenants(&[("acme", blocked)]);
    let (status, answer) = ask(&server, open, "").await;
    assert_eq!(status, 403);
    assert!(answer.contains("is blocked: unpaid"), "{answer}");
    server.quiet().await;
}
