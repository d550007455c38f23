//! Endpoints that stream, by HTTP and between services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use micro_api::Error;
use micro_capability::client::{CallOptions, CallOrigin, Caller, Codec, Conversation, Selector};
use micro_capability::{Context, Scope};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use super::fixture::{Server, get, post, until};

/// The schema of `proto`: a message with a text `a`, and `echo.Call`, which streams both ways.
pub(super) fn descriptors() -> Vec<u8> {
    let field = FieldDescriptorProto {
        name: Some("a".to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..FieldDescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: Some("Call".to_owned()),
        input_type: Some(".test.Text".to_owned()),
        output_type: Some(".test.Text".to_owned()),
        client_streaming: Some(true),
        server_streaming: Some(true),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("echo".to_owned()),
        method: vec![method],
        ..ServiceDescriptorProto::default()
    };
    let text =
        DescriptorProto { name: Some("Text".to_owned()), field: vec![field], ..DescriptorProto::default() };
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        package: Some("test".to_owned()),
        message_type: vec![text],
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

/// A POST of a content type; its body is the envelopes of `messages`.
fn connect(path: &str, content_type: &str, messages: &[&str]) -> String {
    let body: String = messages.iter().map(|message| envelope(message)).collect();
    post(path, &body).replacen("\r\n\r\n", &format!("\r\nContent-Type: {content_type}\r\n\r\n"), 1)
}

/// As text, since it is short.
fn envelope(message: &str) -> String {
    String::from_utf8(crate::envelope::message(message.as_bytes()).to_vec()).unwrap()
}

fn lines(path: &str, body: &str) -> String {
    post(path, body).replacen("\r\n\r\n", &format!("\r\nContent-Type: {NDJSON}\r\n\r\n"), 1)
}

const CONNECT: &str = "application/connect+json";
const NDJSON: &str = "application/x-ndjson";

/// The head of a POST whose body comes in [`chunk`]s.
fn head(path: &str, content_type: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: {content_type}\r\n\r\n"
    )
}

fn chunk(part: &str) -> String {
    format!("{:x}\r\n{part}\r\n", part.len())
}

#[tokio::test]
async fn replies_are_lines_or_events() {
    let server = Server::with_streams(|_| ()).await;
    let (status, text) = server.ask(&get("/stream/send", "")).await;
    assert!(status == 200 && text.to_lowercase().contains("content-type: application/x-ndjson"), "{text}");
    assert_eq!(text.matches("{}\n").count(), 20, "{text}");
    let (status, text) = server.ask(&get("/stream/send", "Accept: text/event-stream\r\n")).await;
    assert!(status == 200 && text.to_lowercase().contains("content-type: text/event-stream"), "{text}");
    assert_eq!(text.matches("data: {}\n\n").count(), 20, "{text}");
    let (status, text) = server.ask(&get("/stream/fail", "")).await;
    assert!(status == 200 && text.contains("{\"error\":{\"id\":\"feed\",\"code\":409"), "{text}");
    let (status, text) = server.ask(&get("/stream/early", "")).await;
    assert_eq!(status, 400, "an error before the first reply is an ordinary one: {text}");
    server.quiet().await;
}

#[tokio::test]
async fn requests_are_lines_or_one_message() {
    let server = Server::with_streams(|config| config.message_bytes_max = 100).await;
    let (status, text) = server.ask(&lines("/stream/count", "{}\n\n{\"a\":1}\n")).await;
    assert!(status == 200 && text.ends_with("\r\n\r\n9"), "{text}");
    let (status, text) = server.ask(&post("/stream/count", "{\"a\":1}")).await;
    assert!(status == 200 && text.ends_with("\r\n\r\n7"), "{text}");
    let (status, text) = server.ask(&lines("/stream/count", &"x".repeat(101))).await;
    assert!(status == 413 && text.contains("limit: request"), "{text}");
}

#[tokio::test]
async fn envelopes_are_taken_and_given() {
    let server = Server::with_streams(|_| ()).await;
    let (status, text) = server.ask(&connect("/stream/echo", CONNECT, &["{\"a\":1}", "{}"])).await;
    assert!(
        status == 200 && text.to_lowercase().contains("content-type: application/connect+json"),
        "{text}"
    );
    let end = "\u{2}\0\0\0\u{2}{}";
    for part in [&envelope("{\"a\":1}"), &envelope("{}"), end] {
        assert!(text.contains(part), "{text:?}");
    }
    let (_, text) = server.ask(&connect("/stream/count", CONNECT, &["{}"])).await;
    assert!(text.contains(&envelope("2")) && text.contains(end), "{text:?}");
    let (status, text) = server.ask(&connect("/stream/send", CONNECT, &["{}", "{}"])).await;
    assert!(status == 200 && text.contains("invalid_argument") && text.contains("several came"), "{text:?}");
    let (status, text) = server.ask(&connect("/stream/early", CONNECT, &["{}"])).await;
    assert!(status == 200 && text.contains("\"code\":\"invalid_argument\""), "{text:?}");
    let (status, text) = server.ask(&connect("/stream/unary", CONNECT, &["{}"])).await;
    assert!(status == 415 && text.contains("does not stream"), "{text}");
    let (status, _) = server.ask(&get("/stream/echo", &format!("Content-Type: {CONNECT}\r\n"))).await;
    assert_eq!(status, 405);
    server.quiet().await;
}

#[tokio::test]
async fn both_sides_take_turns_and_the_permit_is_held_until_the_end() {
    let server = Server::with_streams(|_| ()).await;
    let mut client = server.connect().await;
    client.send(&head("/stream/echo", CONNECT)).await;
    for message in ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"] {
        client.send(&chunk(&envelope(message))).await;
        client.read_until(message).await;
        assert_eq!(server.gateway.gate.in_flight(), 1);
    }
    drop(client);
    until(|| server.gateway.gate.in_flight() == 0).await;
    let mut endless = server.connect().await;
    endless.send(&get("/stream/loop", "")).await;
    endless.read_until("{}\n").await;
    drop(endless);
    server.quiet().await;
}

/// How a stream ends whose time is over.
const OVER: &str = "limit: wall: the call took too long";

#[tokio::test]
async fn a_stream_that_is_silent_ends_after_the_idle_limit() {
    const IDLE: Duration = Duration::from_secs(1);
    let server = Server::with_stream_limits(|limits| limits.http_idle = IDLE).await;
    let silent = async |path: &str, content_type: &str, message: &str, code: &str| {
        let mut client = server.connect().await;
        client.send(&head(path, content_type)).await;
        let mut since = Instant::now();
        // With each message the time begins anew: it is more than the limit in all.
        for _ in 0..5 {
            since = Instant::now();
            client.send(&chunk(message)).await;
            let pause = tokio::time::timeout(IDLE / 4, client.read_until(OVER)).await;
            assert!(pause.is_err(), "{path} {content_type}: {pause:?}");
        }
        let text = client.read_until(OVER).await;
        assert!(since.elapsed() >= IDLE, "{path} {content_type} after {:?}: {text}", since.elapsed());
        assert!(text.contains(code), "{path} {content_type}: {text}");
    };
    let message = "{\"n\":1}\n";
    let enclosed = envelope(message);
    tokio::join!(
        silent("/stream/echo", CONNECT, &enclosed, "\"code\":\"deadline_exceeded\""),
        silent("/stream/echo", NDJSON, message, "{\"error\":{\"id\":\"feed\",\"code\":408,"),
        // Nothing was replied yet.
        silent("/stream/count", NDJSON, message, "HTTP/1.1 408 "),
    );
    server.quiet().await;
}

#[tokio::test]
async fn a_stream_that_goes_on_ends_after_the_total_limit() {
    const TOTAL: Duration = Duration::from_millis(2_500);
    let server = Server::with_stream_limits(|limits| {
        limits.http_idle = TOTAL / 2;
        limits.http_total = TOTAL;
    })
    .await;
    let mut client = server.connect().await;
    let began = Instant::now();
    client.send(&head("/stream/echo", NDJSON)).await;
    let mut text = String::new();
    while !text.contains(OVER) {
        client.send(&chunk("{\"n\":1}\n")).await;
        let reply = client.read().await;
        assert!(!reply.is_empty(), "closed after {:?}: {text}", began.elapsed());
        text.push_str(&reply);
        // Not as fast as it can: CPU time has a limit of its own.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= TOTAL, "{:?}: {text}", began.elapsed());
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\"code\":408,"), "{text}");
    server.quiet().await;
}

#[tokio::test]
async fn a_service_that_replies_without_end_ends_after_the_total_limit() {
    const TOTAL: Duration = Duration::from_millis(500);
    let server = Server::with_stream_limits(|limits| limits.http_total = TOTAL).await;
    let began = Instant::now();
    let mut client = server.connect().await;
    client.send(&get("/stream/loop", "Accept: text/event-stream\r\n")).await;
    // The text in which the end is: all of them together are long.
    let mut last = String::new();
    while !last.contains(OVER) {
        let piece = client.read().await;
        assert!(!piece.is_empty(), "closed after {:?}: {last}", began.elapsed());
        last = last.split_off(last.len().saturating_sub(200)) + &piece;
    }
    assert!(began.elapsed() >= TOTAL, "{:?}", began.elapsed());
    assert!(last.contains("event: error\ndata: {\"id\":\"feed\",\"code\":408,"), "{last}");
    server.quiet().await;
}

#[tokio::test]
async fn rpc_answers_as_the_client_accepts() {
    let server = Server::with_streams(|_| ()).await;
    let call = |endpoint: &str, accept: &str| {
        let body = format!(r#"{{"service":"feed","endpoint":"{endpoint}","request":{{"a":1}}}}"#);
        post("/rpc", &body).replacen("\r\n\r\n", &format!("\r\nAccept: {accept}\r\n\r\n"), 1)
    };
    let (status, text) = server.ask(&call("send", "*/*")).await;
    assert!(status == 200 && text.matches("{\"a\":1}\n").count() == 20, "{text}");
    let (status, text) = server.ask(&call("echo", "application/connect+json")).await;
    assert!(status == 200 && text.contains(&envelope("{\"a\":1}")), "{text:?}");
    assert!(text.to_lowercase().contains("content-type: application/connect+json"), "{text:?}");
    let (status, text) = server.ask(&call("count", "*/*")).await;
    assert!(status == 200 && text.ends_with("\r\n\r\n7"), "{text}");
    let (status, text) = server.ask(&call("early", "application/connect+json")).await;
    assert_eq!(status, 400, "{text}");
    server.quiet().await;
}

fn origin() -> CallOrigin {
    let scope = Scope {
        namespace: "default".parse().unwrap(),
        service: "web".parse().unwrap(),
        version: "latest".to_owned(),
    };
    let context = Context {
        account: None,
        metadata: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(10),
        traceparent: String::new(),
        request_id: "request".to_owned(),
    };
    CallOrigin { scope, context: Arc::new(context) }
}

fn options(labels: &[(&str, &str)]) -> CallOptions {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    CallOptions {
        metadata: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(10),
        version: None,
        labels: labels.collect(),
        selector: Selector::RoundRobin,
    }
}

async fn open(server: &Server, endpoint: &str, request: Option<&'static str>) -> Result<Conversation, Error> {
    let (service, request) = ("feed".parse().unwrap(), request.map(Bytes::from));
    let codec = Codec::Json;
    server.dispatcher.open(origin(), service, endpoint.to_owned(), codec, request, options(&[])).await
}

#[tokio::test]
async fn services_open_streams_of_others() {
    let server = Server::with_streams(|_| ()).await;
    let Conversation { requests, mut replies } = open(&server, "echo", None).await.unwrap();
    let requests = requests.unwrap();
    for text in ["one", "two"] {
        requests.send(Bytes::from(text)).await.unwrap();
        assert_eq!(replies.next().await.unwrap().unwrap(), text);
    }
    drop(requests);
    assert!(replies.next().await.is_none());
    let replies = open(&server, "fail", Some("x")).await.unwrap().replies;
    let all: Vec<_> = replies.map(|reply| reply.map_err(|error| error.code)).collect().await;
    assert_eq!(all, [Ok(Bytes::from("x")), Err(409)]);
}

#[tokio::test]
async fn messages_are_translated_by_the_schema_one_by_one() {
    let server = Server::with_streams(|_| ()).await;
    let open = || {
        let (service, endpoint) = ("proto".parse().unwrap(), "echo.Call".to_owned());
        server.dispatcher.open(origin(), service, endpoint, Codec::Json, None, options(&[]))
    };
    let Conversation { requests, mut replies } = open().await.unwrap();
    let requests = requests.unwrap();
    for (sent, wanted) in [("{\"a\": \"one\"}", "{\"a\":\"one\"}"), ("{}", ""), ("", "")] {
        requests.send(Bytes::from(sent)).await.unwrap();
        assert_eq!(replies.next().await.unwrap().unwrap(), wanted);
    }
    requests.send(Bytes::from("{\"b\": 1}")).await.unwrap();
    let error = replies.next().await.unwrap().unwrap_err();
    assert!(error.code == 400 && error.detail.contains("'b'"), "{error}");
    assert!(replies.next().await.is_none());
    let (service, endpoint) = ("proto".parse().unwrap(), "echo.Call".to_owned());
    let call = server.dispatcher.call(origin(), service, endpoint, Codec::Json, Bytes::new(), options(&[]));
    assert_eq!(call.await.unwrap_err().detail, "endpoint `echo.Call` streams: use open");
}

#[tokio::test]
async fn what_is_opened_or_called_the_wrong_way_is_said() {
    let server = Server::with_streams(|_| ()).await;
    for (endpoint, request, detail) in [
        ("unary", Some("x"), "endpoint `unary` does not stream: use call"),
        (
            "echo",
            Some("x"),
            "endpoint `echo` takes a stream: open it without a request and send its messages",
        ),
        ("send", None, "endpoint `send` takes one message: open it with that"),
    ] {
        let error = open(&server, endpoint, request).await.unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (400, detail));
    }
    assert_eq!(open(&server, "nobody", None).await.unwrap_err().code, 404);
    let call = async |service: &str, labels: &[(&str, &str)], endpoint: &str| {
        let (service, endpoint) = (service.parse().unwrap(), endpoint.to_owned());
        server.dispatcher.call(origin(), service, endpoint, Codec::Json, Bytes::new(), options(labels)).await
    };
    let error = call("feed", &[], "echo").await.unwrap_err();
    assert_eq!((error.code, error.detail.as_str()), (400, "endpoint `echo` streams: use open"));
    let error = call("svc", &[("runtime", "wasm"), ("region", "eu")], "id").await.unwrap_err();
    assert_eq!(error.code, 503);
    assert!(error.detail.starts_with("none available: no node of svc has"), "{error}");
    assert_eq!(call("svc", &[("runtime", "wasm"), ("type", "service")], "id").await.unwrap(), "");
}
