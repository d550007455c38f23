use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use futures::TryStreamExt as _;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

fn envelope(flags: u8, message: &str) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags][..], length.as_slice(), message.as_bytes()].concat()
}

/// What the client makes of a body that comes in chunks of seven bytes.
async fn read(kind: &'static str, body: Vec<u8>) -> (Vec<Bytes>, Option<Error>) {
    let router = Router::new().route(
        "/rpc",
        post(move |headers: HeaderMap| async move {
            let accepted: Vec<_> = headers.get_all("accept").iter().collect();
            assert_eq!(accepted, ["application/connect+json"]);
            let chunks: Vec<_> =
                body.chunks(7).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
            ([("content-type", kind)], Body::from_stream(futures::stream::iter(chunks))).into_response()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(address.parse().unwrap()).unwrap();
    let call = Call {
        service: "ticker".into(),
        endpoint: "Ticker.Stream".into(),
        request: json!({}),
        metadata: Vec::new(),
    };
    let mut stream = std::pin::pin!(client.stream(&call).await.unwrap());
    let mut messages = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

#[tokio::test]
async fn messages_arrive_over_chunk_borders() {
    let body =
        [envelope(0, "{\"count\":1}"), envelope(0, ""), envelope(0, "{}"), envelope(END, "{}")].concat();
    let (messages, error) = read(KIND, body).await;
    assert_eq!(messages, ["{\"count\":1}", "", "{}"]);
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test]
async fn a_reply_without_envelopes_is_the_only_message() {
    let (messages, error) = read("application/json", b"{\"msg\":\"Hello\"}".to_vec()).await;
    assert_eq!(messages, ["{\"msg\":\"Hello\"}"]);
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test]
async fn an_error_is_the_last_one() {
    let end = r#"{"error":{"code":"already_exists","message":"taken","micro":{"id":"ticker","code":409,"detail":"taken","status":"Conflict"}}}"#;
    let (messages, error) = read(KIND, [envelope(0, "{}"), envelope(END, end)].concat()).await;
    assert_eq!(messages, ["{}"]);
    let error = error.unwrap();
    assert_eq!(error.api().unwrap(), &micro_api::Error::conflict("ticker", "taken"));
    let foreign = envelope(END, r#"{"error":{"code":"unavailable","message":"away"}}"#);
    let (_, error) = read(KIND, foreign).await;
    assert_eq!(error.unwrap().to_string(), "unavailable: away");
}

#[tokio::test]
async fn what_is_no_whole_stream_is_an_error() {
    for (body, text) in [
        (envelope(0, "{}"), "the stream broke off"),
        (envelope(0, "{}")[..6].to_vec(), "the stream broke off"),
        (envelope(1, "{}"), "compressed"),
        (envelope(4, "{}"), "flags 4"),
        (vec![0, 0xff, 0xff, 0xff, 0xff], "larger than 64 MiB"),
        (envelope(END, "nothing"), "does not answer as a Micro server"),
    ] {
        let (_, error) = read(KIND, body).await;
        let error = error.unwrap().to_string();
        assert!(error.contains(text), "{text} in {error}");
    }
}
