//! Calls of services elsewhere, over real connections to loopback.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use micro_api::registry::Node as Record;
use micro_capability::Tallies;
use micro_capability::http::EgressConfig;
use micro_runtime::Codec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

mod streams;

/// A server that answers each request with `answer` and counts them.
async fn server(answer: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while !seen.ends_with(b"}") {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => seen.extend_from_slice(&buffer[..read]),
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let head = String::from_utf8_lossy(&seen).into_owned();
                assert!(head.starts_with("POST /Greeter/Hello HTTP/1.1\r\n"), "{head}");
                if answer.is_empty() {
                    // Never answers, and stays.
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, count)
}

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"msg\": \"hello\"}";

fn external(addresses: &[&str], loopback: bool) -> External {
    let nodes = addresses.iter().enumerate().map(|(n, address)| Record {
        id: format!("n{n}"),
        address: (*address).to_owned(),
        metadata: [("region".to_owned(), if n == 0 { "eu" } else { "us" }.to_owned())].into(),
    });
    let service = Service { name: "legacy".to_owned(), nodes: nodes.collect(), ..Service::default() };
    let egress = Egress::new(EgressConfig { loopback, ..EgressConfig::default() }).unwrap();
    let (namespace, name) = (Namespace::default(), "legacy".parse::<ServiceName>().unwrap());
    let tally = Tallies::default().of(&namespace, &name);
    External::new(&namespace, name, service, egress, tally)
}

fn context(within: Duration) -> Context {
    Context {
        account: None,
        metadata: Vec::new(),
        deadline: Instant::now() + within,
        traceparent: String::new(),
        request_id: String::new(),
    }
}

async fn ask(external: &External, within: Duration) -> Result<Message, Error> {
    ask_one_of(external, within, &Choice::default()).await
}

async fn ask_one_of(external: &External, within: Duration, choice: &Choice) -> Result<Message, Error> {
    let message = Message { codec: Codec::Json, bytes: Bytes::from_static(b"{}") };
    external.call("Greeter.Hello", message, &context(within), choice).await
}

const PATIENCE: Duration = Duration::from_secs(10);

/// A port of loopback where nobody listens.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_left_for_another() {
    let (address, count) = server(OK).await;
    let gone = nowhere().await;
    let external = external(&[&gone, &address], true);
    for _ in 0..20 {
        assert_eq!(ask(&external, PATIENCE).await.unwrap().bytes, "{\"msg\": \"hello\"}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 20, "each call arrived once");
}

const FITS: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn one_after_the_other_is_called_and_a_broken_one_is_skipped() {
    let (one, first) = server(FITS).await;
    let (two, second) = server(FITS).await;
    let external = external(&[&one, &two], true);
    let choice = Choice { selector: Selector::RoundRobin, ..Choice::default() };
    for _ in 0..6 {
        ask_one_of(&external, PATIENCE, &choice).await.unwrap();
    }
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (3, 3));
    for _ in 0..5 {
        external.nodes[0].breaker.told(false, Instant::now());
    }
    for _ in 0..4 {
        ask_one_of(&external, PATIENCE, &choice).await.unwrap();
    }
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (3, 7));
}

#[tokio::test]
async fn only_nodes_with_all_labels_are_called() {
    let (one, first) = server(FITS).await;
    let (two, second) = server(FITS).await;
    let external = external(&[&one, &two], true);
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let choice = |labels: &[(String, String)]| Choice { labels: labels.to_vec(), ..Choice::default() };
    let us = [label("region", "us"), label("runtime", "external")];
    for _ in 0..10 {
        ask_one_of(&external, PATIENCE, &choice(&us)).await.unwrap();
    }
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (0, 10));
    assert!(external.has_node(&us) && external.has_node(&[]));
    let nowhere = [label("region", "us"), label("zone", "b")];
    assert!(!external.has_node(&nowhere));
    assert_eq!(ask_one_of(&external, PATIENCE, &choice(&nowhere)).await.unwrap_err().code, 503);
    let entry = crate::Entry::external(Arc::new(external));
    let error = choice(&nowhere).check(&entry).unwrap_err();
    assert_eq!(error.detail, "none available: no node of legacy has region=us, zone=b");
    assert!(choice(&us).check(&entry).is_ok());
}

#[tokio::test]
async fn both_of_two_nodes_are_used() {
    let (one, first) = server(FITS).await;
    let (two, second) = server(FITS).await;
    let external = external(&[&one, &two], true);
    for _ in 0..40 {
        assert_eq!(ask(&external, PATIENCE).await.unwrap().bytes, "{}");
    }
    let counts = (first.load(Ordering::SeqCst), second.load(Ordering::SeqCst));
    assert_eq!(counts.0 + counts.1, 40);
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?}");
}

#[tokio::test]
async fn a_node_that_fails_is_left_alone_and_said_so() {
    let (address, count) = server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let external = external(&[&address], true);
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(ask(&external, PATIENCE).await.unwrap_err());
    }
    assert_eq!(count.load(Ordering::SeqCst), 5, "five failures open its breaker");
    assert!(codes[9].detail.contains("none available"), "{:?}", codes[9]);
    assert_eq!(codes[9].code, 503);
}

#[tokio::test]
async fn a_silent_node_costs_no_more_than_the_deadline() {
    let (address, _) = server("").await;
    let external = external(&[&address], true);
    let began = Instant::now();
    let error = ask(&external, Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.code, 408);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn an_address_of_the_operators_own_network_is_never_connected_to() {
    let (address, count) = server(OK).await;
    let error = ask(&external(&[&address], false), PATIENCE).await.unwrap_err();
    assert_eq!((error.code, count.load(Ordering::SeqCst)), (403, 0));
    assert!(error.detail.contains("not one that services may reach"), "{error:?}");
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let body = format!("\"{}\"", "x".repeat(REPLY_BYTES_MAX));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
    let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
    let (address, _) = server(Box::leak(answer.into_boxed_str())).await;
    let error = ask(&external(&[&address], true), PATIENCE).await.unwrap_err();
    assert_eq!(error.code, 502, "{error:?}");
    assert!(error.detail.contains("longer than"), "{error:?}");
}
