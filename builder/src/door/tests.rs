use super::*;

use std::net::IpAddr;

use tokio::net::TcpListener;

fn place(host: &str, port: u16) -> Place {
    Place { host: host.to_owned(), port }
}

fn rules(places: &[(&str, u16, Trust)], loopback: bool) -> Rules {
    Rules {
        places: places.iter().map(|(host, port, trust)| (place(host, *port), *trust)).collect(),
        policy: Policy { loopback, private: Vec::new() },
        bytes_max: 1 << 20,
        upstream: None,
    }
}

/// A server that answers each connection with what it got.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut chunk = vec![0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    stream.write_all(&chunk[..read]).await.unwrap();
                }
            });
        }
    });
    port
}

async fn ask(door: &Door, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(door.folder().join(SOCKET)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn head(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_tunnel_to_a_listed_place() {
    let scratch = tempfile::tempdir().unwrap();
    let port = echo().await;
    let door = Door::open(scratch.path(), rules(&[("127.0.0.1", port, Trust::Source)], true)).unwrap();
    let mut stream = ask(&door, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nearly")).await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(b" late").await.unwrap();
    let mut answer = vec![0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"early late");
}

#[tokio::test]
async fn other_names_ports_and_private_addresses_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let port = echo().await;
    let closed = rules(&[("localhost", port, Trust::Source)], false);
    let door = Door::open(scratch.path(), closed).unwrap();
    for (request, status) in [
        (format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n"), 403),
        ("CONNECT localhost:1 HTTP/1.1\r\n\r\n".to_owned(), 403),
        (format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"), 403),
        ("GET http://169.254.169.254/latest HTTP/1.1\r\n\r\n".to_owned(), 403),
        ("GET /local HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("CONNECT nowhere HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let answer = head(&mut ask(&door, &request).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    let refusals = door.refusals();
    assert!(refusals.iter().any(|text| text.starts_with("localhost is the private address")), "{refusals:?}");
    assert!(refusals.iter().any(|text| text.contains("is neither the source's host nor a registry")));
    // What the operator named may resolve to anything.
    door.allow(place("localhost", port), Trust::Operator);
    let answer = head(&mut ask(&door, &format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n")).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn bytes_are_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let port = echo().await;
    let mut rules = rules(&[("127.0.0.1", port, Trust::Source)], true);
    rules.bytes_max = 1000;
    let door = Door::open(scratch.path(), rules).unwrap();
    let mut stream = ask(&door, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n")).await;
    head(&mut stream).await;
    stream.write_all(&[b'x'; 2000]).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 2000 && door.is_exhausted());
}

#[tokio::test]
async fn plain_requests_are_forwarded_one_a_connection() {
    let scratch = tempfile::tempdir().unwrap();
    let port = echo().await;
    let door = Door::open(scratch.path(), rules(&[("127.0.0.1", port, Trust::Source)], true)).unwrap();
    let request = format!(
        "GET http://user@127.0.0.1:{port}/a?b HTTP/1.1\r\nHost: evil\r\nAccept: x\r\nProxy-Connection: keep-alive\r\n\r\n"
    );
    let seen = head(&mut ask(&door, &request).await).await;
    let wanted =
        format!("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: x\r\nConnection: close\r\n\r\n");
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn the_operators_proxy_is_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream {
        place: place("127.0.0.1", listener.local_addr().unwrap().port()),
        authorization: Some("Basic abc".to_owned()),
    };
    let mut rules = rules(&[("name.invalid", 443, Trust::Operator)], false);
    rules.upstream = Some(upstream);
    let door = Door::open(scratch.path(), rules).unwrap();
    let mut stream = ask(&door, "CONNECT name.invalid:443 HTTP/1.1\r\n\r\n").await;
    let (mut proxy, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 1024];
    let read = proxy.read(&mut asked).await.unwrap();
    let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
    assert!(asked.starts_with("CONNECT name.invalid:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic abc\r\n"), "{asked}");
    proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn places_are_parsed() {
    assert_eq!(Place::parse("Host.Example.:1", None), Some(place("host.example", 1)));
    assert_eq!(Place::parse("[::1]:80", None), Some(place("::1", 80)));
    assert_eq!(Place::parse("host", Some(443)), Some(place("host", 443)));
    for text in ["host", ":80", "host:x", "host:70000", "-h:1", "[zz]:1", "a b:1", "a/b:1"] {
        assert_eq!(Place::parse(text, None), None, "{text}");
    }
    assert!("::1".parse::<IpAddr>().is_ok());
}
