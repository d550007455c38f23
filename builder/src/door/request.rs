//! The head of a proxy request: `CONNECT host:port`, or a plain request with an absolute URL.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Place;

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A request as it was read, with the bytes that followed its head.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Vec<u8>,
    end: usize,
}

/// Where a request wants to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) place: Place,
    /// `CONNECT`: bytes are passed on as they are.
    pub(super) tunnel: bool,
    /// Otherwise: the head to send to the place.
    pub(super) forward: Vec<u8>,
}

impl Head {
    /// Reads up to the empty line. `None`: the connection ended before.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(1024);
        loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(Some(Self { bytes, end: at + 4 }));
            }
            if bytes.len() >= HEAD_BYTES_MAX {
                return Err(std::io::Error::other("the head of a proxy request is too long"));
            }
            if from.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What came after the head.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.end..).unwrap_or_default()
    }

    pub(super) fn target(&self) -> Result<Target, &'static str> {
        let head = self.bytes.get(..self.end).and_then(|head| std::str::from_utf8(head).ok());
        let mut lines = head.ok_or("the request is not text")?.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("the request line is malformed");
        };
        if method == "CONNECT" {
            let place = Place::parse(target, None).ok_or("CONNECT needs host:port")?;
            return Ok(Target { place, tunnel: true, forward: Vec::new() });
        }
        let url = target.strip_prefix("http://").ok_or("only http:// URLs and CONNECT pass here")?;
        let (authority, path) = match url.find(['/', '?']) {
            Some(at) => url.split_at(at),
            None => (url, "/"),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let place = Place::parse(authority, Some(80)).ok_or("the URL names no host")?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut forward = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {authority}\r\n");
        for line in lines.take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            // One request a connection: the next one could be for another place.
            if !matches!(
                name.as_str(),
                "host" | "connection" | "proxy-connection" | "proxy-authorization" | "keep-alive"
            ) {
                forward.push_str(line);
                forward.push_str("\r\n");
            }
        }
        forward.push_str("Connection: close\r\n\r\n");
        Ok(Target { place, tunnel: false, forward: forward.into_bytes() })
    }
}

impl Place {
    /// Parses `host:port`, `[v6]:port`, and `host` when there is a default port.
    pub(crate) fn parse(text: &str, default: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':'))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default?,
        };
        let named = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
            && !host.starts_with('-');
        named.then(|| Self { host: host.trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

/// Reads the answer to a `CONNECT`, byte by byte so that nothing behind it is lost.
pub(super) async fn read_status(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(std::io::Error::other("the answer of a proxy is too long"));
        }
        head.push(from.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer of a proxy is malformed"))
}
