//! Blobs through the API.

use futures::stream;

use super::people::Someone;
use super::*;

fn object(who: Option<&Someone>, method: &str, query: &str) -> axum::http::request::Builder {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/blobs/object?{query}"))
        .header(header::HOST, "localhost:8081")
        .header(header::CONTENT_TYPE, "application/octet-stream");
    match who {
        Some(who) => request
            .header(header::AUTHORIZATION, format!("Bearer {}", who.session))
            .header("micro-namespace", &who.namespace),
        None => request.extension(LocalPeer),
    }
}

#[tokio::test]
async fn bytes_go_in_and_come_out_by_chunks() {
    let fixture = people::platform().await;
    let ann = fixture.someone("ann").await;
    let chunks = ["hello ", "streamed ", "world"].map(Ok::<_, std::io::Error>);
    let request = object(Some(&ann), "PUT", "service=files&key=a%2Fb&content_type=text/html")
        .body(Body::from_stream(stream::iter(chunks)))
        .unwrap();
    let (status, told) = fixture.raw(request).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["key"].as_str(), told["size"].as_u64()), (Some("a/b"), Some(20)));
    let request = object(Some(&ann), "GET", "service=files&key=a%2Fb").body(Body::empty()).unwrap();
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // Not as the page that it says to be.
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "20");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello streamed world");

    let who = Who::In(&ann.session, &ann.namespace);
    let (_, listed) = fixture.send_as(who, "GET", "/v1/blobs?service=files&prefix=a/", None).await;
    assert_eq!(listed[0]["content_type"], "text/html", "{listed}");
    let target = "/v1/blobs/object?service=files&key=a%2Fb";
    let (status, _) = fixture.send_as(who, "DELETE", target, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let gone = fixture.send_as(who, "GET", target, None).await;
    assert_eq!(error(&gone), (404, "not found".to_owned()));
}

#[tokio::test]
async fn an_upload_that_ends_early_keeps_nothing() {
    let fixture = Fixture::without_tasks().await;
    let chunks = [Ok("some"), Err(std::io::Error::other("gone"))];
    let request =
        object(None, "PUT", "service=files&key=a").body(Body::from_stream(stream::iter(chunks))).unwrap();
    let (status, told) = fixture.raw(request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    assert!(fixture.node.state().blobs.is_empty());
    // A page of another origin could send this without asking.
    let mut request = object(None, "PUT", "service=files&key=a").body(Body::from("x")).unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(fixture.raw(request).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_url_is_for_the_callers_own_blob() {
    let fixture = people::platform().await;
    let (ann, bob) = (fixture.someone("ann").await, fixture.someone("bob").await);
    let put = object(Some(&ann), "PUT", "service=files&key=a").body(Body::from("x")).unwrap();
    assert_eq!(fixture.raw(put).await.0, StatusCode::OK);
    let body = json!({"service": "files", "key": "a", "expires_in_s": 60});
    let who = Who::In(&ann.session, &ann.namespace);
    let (status, made) = fixture.send_as(who, "POST", "/v1/blobs/url", Some(body.clone())).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(made["url"], format!("http://{}.localhost/files/a", ann.namespace));
    assert_eq!(made["expires_ms"], 60_000);
    // Whose it is, the caller's namespace says, and not what they ask for.
    let who = Who::In(&bob.session, &ann.namespace);
    let (status, refused) = fixture.send_as(who, "POST", "/v1/blobs/url", Some(body)).await;
    assert!(matches!(status.as_u16(), 403 | 404), "{status} {refused}");
    let body = json!({"service": "files", "key": "missing"});
    let who = Who::In(&ann.session, &ann.namespace);
    let missing = fixture.send_as(who, "POST", "/v1/blobs/url", Some(body)).await;
    assert_eq!(error(&missing), (404, "not found".to_owned()));
}
