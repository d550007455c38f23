use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::fixture::{Client, Server, get, post, post_chunked};
use crate::body::LINGER_BYTES;

const SHORT: Duration = Duration::from_millis(100);
/// A call whose answer has a megabyte.
const BIG: &str = r#"{"service":"svc","endpoint":"big"}"#;

#[tokio::test]
async fn a_slow_head_is_cut() {
    let server = Server::start(|config| config.header_time_max = SHORT).await;
    for begun in ["", "P", "PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut client = server.connect().await;
        client.send(begun).await;
        assert_eq!(client.rest().await, "", "{begun:?}");
    }
    // A byte now and then does not help.
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    let dripped = async {
        loop {
            if tokio::time::timeout(SHORT / 5, client.read()).await.is_ok_and(|read| read.is_empty()) {
                return;
            }
            let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"x").await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), dripped).await.unwrap();
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let server = Server::start(|config| {
        config.header_bytes_max = 8192;
        config.header_count_max = 10;
        config.target_bytes_max = 100;
    })
    .await;
    let large = get("/", &format!("X-Large: {}\r\n", "x".repeat(8192)));
    let lines = |count| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    for (request, status) in [
        (large, 431),
        (get("/", &lines(8)), 200),
        (get("/", &lines(9)), 431),
        (get(&format!("/{}", "x".repeat(100)), ""), 414),
    ] {
        assert_eq!(server.ask(&request).await.0, status, "{}", request.len());
    }
    let (mut sender, _connection) = http2(server.connect().await, |builder| builder).await;
    for (count, bytes, status) in [(9, 1, 200), (11, 1, 431), (1, 9000, 431)] {
        let mut request = Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
        for number in 0..count {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            request.headers_mut().insert(name, "x".repeat(bytes).parse().unwrap());
        }
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{count} of {bytes}");
    }
}

#[tokio::test]
async fn bodies_beyond_the_limits_are_413() {
    let server = Server::with_web(|config| {
        config.message_bytes_max = 1000;
        config.body_bytes_max = 1000;
    })
    .await;
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(2000));
    for request in [
        post("/svc/echo", &large),
        post_chunked("/svc/echo", &large),
        post("/web/echo", &large),
        // Told before it is sent, a body is not asked for.
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
            .to_owned(),
    ] {
        let (status, text) = server.ask(&request).await;
        assert_eq!(status, 413, "{text}");
        assert!(text.contains("limit: request: the body is larger than 1000 bytes"), "{text}");
    }
    // A streamed body may be found too large when the answer has begun already; it never looks whole.
    let (status, text) = server.ask(&post_chunked("/web/echo", &large)).await;
    assert!(status == 413 || (status == 200 && !text.ends_with("0\r\n\r\n")), "{text}");
    assert_eq!(server.ask(&post("/web/echo", "small")).await.0, 200);
    server.quiet().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let server = Server::with_web(|config| {
        config.message_time_max = SHORT;
        config.body_idle_max = SHORT;
    })
    .await;
    let begun = |path: &str| post(path, "{}").replace("Content-Length: 2", "Content-Length: 9");
    assert_eq!(server.ask(&begun("/svc/echo")).await.0, 408);
    let (status, text) = server.ask(&begun("/web/echo")).await;
    assert!(status == 408 || (status == 200 && !text.ends_with("0\r\n\r\n")), "{text}");
    server.quiet().await;
}

#[tokio::test]
async fn who_is_answered_while_sending_reads_the_answer_and_is_cut_when_it_goes_on() {
    let server = Server::start(|config| {
        config.message_bytes_max = 1000;
        config.linger_time_max = 2 * SHORT;
    })
    .await;
    // More than the sockets take: it is all sent only if somebody reads.
    let body = "x".repeat(8 << 20);
    let mut client = server.connect().await;
    client.stream.write_all(post("/svc/echo", &body).as_bytes()).await.unwrap();
    assert!(client.rest().await.starts_with("HTTP/1.1 413"));

    let mut client = server.connect().await;
    client.send("POST /svc/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let endless = async {
        while client.stream.write_all(b"3e8\r\n").await.is_ok() {
            if client.stream.write_all(&[b'x'; 1000]).await.is_err()
                || client.stream.write_all(b"\r\n").await.is_err()
            {
                break;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), endless).await.unwrap();
    server.quiet().await;
}

#[tokio::test]
async fn who_goes_on_to_send_fast_is_cut_after_so_many_bytes() {
    let server = Server::start(|config| {
        config.message_bytes_max = 1000;
        config.linger_time_max = Duration::from_secs(60);
    })
    .await;
    let mut client = server.connect().await;
    client.send("POST /svc/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n").await;
    let (piece, mut sent) = (vec![b'x'; 1 << 20], 0);
    let endless = async {
        while client.stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), endless).await.unwrap();
    // What the sockets hold counts for the client, not for the server.
    assert!((LINGER_BYTES..LINGER_BYTES + (16 << 20)).contains(&sent), "{sent}");
    server.quiet().await;
}

/// An HTTP/2 client that knows what it speaks to.
async fn http2(
    client: Client,
    change: impl FnOnce(&mut http2::Builder<TokioExecutor>) -> &mut http2::Builder<TokioExecutor>,
) -> (http2::SendRequest<Empty<Bytes>>, JoinHandle<()>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let io: TokioIo<TcpStream> = TokioIo::new(client.stream);
    let (sender, connection) = change(&mut builder).handshake(io).await.unwrap();
    (sender, tokio::spawn(async { drop(connection.await) }))
}

#[tokio::test]
async fn http2_is_spoken_with_bounded_streams() {
    let server = Server::start(|config| config.streams_per_connection_max = 7).await;
    let (mut sender, _connection) = http2(server.connect().await, |builder| builder).await;
    let request = Request::get("http://localhost/").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));

    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    // Frame header: length, type SETTINGS, flags, stream; then settings of two and four bytes.
    let mut head = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut settings).await.unwrap();
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 7]), "{settings:?}");
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed() {
    let server = Server::start(|config| {
        config.connections_max = 3;
        config.connections_per_address_max = 2;
    })
    .await;
    let alive = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut open = Vec::new();
    for last in [1, 1, 2] {
        let mut client = server.connect_from(last).await;
        client.send(alive).await;
        client.read_until("version").await;
        open.push(client);
    }
    let refused = |count: u32| format!("micro_gateway_connections_refused_total {count}\n");
    for (count, last) in [(1, 1), (2, 3)] {
        // The client sees a connection that is closed at once, without an answer.
        assert_eq!(server.connect_from(last).await.rest().await, "", "from {last}");
        assert!(server.gateway.metrics().contains(&refused(count)));
    }
    // An address with room for more is served as soon as one has gone.
    drop(open.pop());
    let mut served = false;
    while !served {
        let mut client = server.connect_from(3).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, alive.as_bytes()).await;
        served = client.read().await.contains(" 200 ");
    }
    assert_eq!(server.connect_from(1).await.rest().await, "", "its address has two still");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(|config| {
        config.header_time_max = SHORT;
        config.connection_idle_max = SHORT;
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    client.read_until("version").await;
    assert_eq!(client.rest().await, "");

    let (mut sender, connection) = http2(server.connect().await, |builder| builder).await;
    let request = Request::get("http://localhost/").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    tokio::time::timeout(Duration::from_secs(5), connection).await.unwrap().unwrap();

    // One that asks nothing, and answers nothing when it is told to go.
    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    client.rest().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let server = Server::start(|config| {
        config.body_idle_max = 2 * SHORT;
        config.connections_max = 1;
    })
    .await;
    let mut client = server.connect_narrow().await;
    let length = BIG.len();
    let request = format!("POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{BIG}");
    // More than any socket buffers.
    let requests = request.repeat(32);
    client.send(&requests).await;
    // Its place is free once it is cut.
    while server.connect().await.exchange(&get("/", "")).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(client.rest().await.len() < 32 * 1_000_000, "the rest was not kept");

    // In HTTP/2 the socket stays writable: the client answers pings and opens no window.
    let (mut sender, connection) =
        http2(server.connect().await, |builder| builder.initial_stream_window_size(1000)).await;
    let request = Request::get("http://localhost/as/big").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(server.gateway.gate.in_flight(), 1, "its place is held");
    tokio::time::timeout(Duration::from_secs(5), connection).await.unwrap().unwrap();
    server.quiet().await;
    assert!(answer.into_body().collect().await.is_err(), "a part does not look whole");
}

#[tokio::test]
async fn a_stopping_gateway_finishes_what_runs() {
    let mut server = Server::with_web(|_| ()).await;
    let mut running = server.connect().await;
    running.send("GET /web/stream?20 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let begun = running.read_until("line ").await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    idle.read_until("version").await;
    server.stop.cancel();
    assert_eq!(idle.rest().await, "", "who asks nothing is let go");
    let answer = begun + &running.rest().await;
    assert!(answer.matches("line ").count() == 20 && answer.ends_with("0\r\n\r\n"), "{answer}");
    (&mut server.serving).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_stopping_gateway_does_not_wait_for_ever() {
    let mut server = Server::with_web(|config| config.drain_time_max = SHORT).await;
    let mut running = server.connect().await;
    running.send("GET /web/stream?100000 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    running.read_until("line ").await;
    server.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), &mut server.serving).await.unwrap().unwrap();
    assert!(!running.rest().await.ends_with("0\r\n\r\n"), "a part does not look whole");
    server.quiet().await;
}
