use std::os::unix::fs::PermissionsExt;

use axum::body::Bytes;
use futures::stream;

use super::*;
use crate::task::sweep;

async fn upload(fixture: &Fixture, content_type: &str, body: Body) -> (StatusCode, Value) {
    let request = Request::post("/v1/uploads")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, content_type);
    let (status, text) = fixture.raw(request.extension(LocalPeer).body(body).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap())
}

fn archive(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[..2].copy_from_slice(&[0x1f, 0x8b]);
    bytes
}

fn files(fixture: &Fixture) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(&fixture.control.config.uploads) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_upload_is_stored_and_can_be_run() {
    let fixture = Fixture::without_tasks().await;
    let (status, answer) = upload(&fixture, "application/gzip", Body::from(archive(1_000))).await;
    assert_eq!((status, answer["size"].as_u64()), (StatusCode::CREATED, Some(1_000)));
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!(files(&fixture), [format!("{id}.tar.gz")]);
    let mode = fixture.control.config.uploads.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let mut wish = request("helloworld");
    wish.source = Source::Upload { upload: id.clone(), folder: String::new() };
    let (status, answer) = fixture.send("POST", "/v1/services", Some(json!(wish))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    sweep::uploads(&fixture.control, Duration::ZERO).await.unwrap();
    assert_eq!(files(&fixture).len(), 1, "its build needs it");
    fixture.fail_build("boom").await;
    // Rows are as old as the millisecond after the one they were made in.
    while !files(&fixture).is_empty() {
        sweep::uploads(&fixture.control, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn uploads_of_a_namespace_are_bounded_together() {
    // The fixture's bound is 160 KiB.
    let fixture = Fixture::without_tasks().await;
    let send = |size: usize| upload(&fixture, "application/gzip", Body::from(archive(size)));
    let (_, first) = send(60 * 1024).await;
    assert_eq!(send(60 * 1024).await.0, StatusCode::CREATED);
    let full = send(60 * 1024).await;
    let says = "the uploads of this namespace that no build has used yet may hold 0 MiB together";
    let (code, detail) = error(&full);
    assert_eq!((code, detail.starts_with(says)), (429, true), "{detail}");
    // Without a length, it is noticed at the end; nothing is left of it.
    let chunks = (0..60).map(|_| Ok::<_, std::io::Error>(Bytes::from(archive(1024))));
    let full = upload(&fixture, "application/gzip", Body::from_stream(stream::iter(chunks))).await;
    assert_eq!(error(&full).0, 429);
    assert_eq!(files(&fixture).len(), 2);

    // A build that ended makes room at once.
    let id = first["id"].as_str().unwrap().to_owned();
    let mut wish = request("helloworld");
    wish.source = Source::Upload { upload: id.clone(), folder: String::new() };
    fixture.send("POST", "/v1/services", Some(json!(wish))).await;
    assert_eq!(error(&send(60 * 1024).await).0, 429, "its build needs it");
    fixture.fail_build("boom").await;
    assert_eq!(send(60 * 1024).await.0, StatusCode::CREATED);
    let files = files(&fixture);
    assert!(files.len() == 2 && !files.contains(&format!("{id}.tar.gz")), "{files:?}");
}

#[tokio::test]
async fn what_is_too_large_or_no_archive_leaves_nothing() {
    let fixture = Fixture::without_tasks().await;
    let large = upload(&fixture, "application/gzip", Body::from(archive(65 * 1024))).await;
    assert_eq!(error(&large).0, 413);
    // Without a length, it is noticed on the way.
    let chunks = (0..65).map(|_| Ok::<_, std::io::Error>(Bytes::from(archive(1024))));
    let large = upload(&fixture, "application/gzip", Body::from_stream(stream::iter(chunks))).await;
    assert_eq!(error(&large).0, 413);
    let broken = [Ok(Bytes::from(archive(10))), Err(std::io::Error::other("reset"))];
    let broken = upload(&fixture, "application/gzip", Body::from_stream(stream::iter(broken))).await;
    assert_eq!(error(&broken), (400, "the upload ended early".to_owned()));
    let text = upload(&fixture, "application/gzip", Body::from("hello")).await;
    assert_eq!(error(&text), (400, "the upload is not a tar.gz".to_owned()));
    let json = upload(&fixture, "application/json", Body::from(archive(10))).await;
    assert_eq!(error(&json).0, 415);
    assert_eq!(files(&fixture), Vec::<String>::new());
}
