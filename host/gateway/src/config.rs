//! What the operator may set of the gateway. Every bound of the front has its name here.

use std::time::Duration;

use ipnet::IpNet;

use crate::client::Scheme;
use crate::rate::Rate;

/// Limits and names of the gateway. The defaults suit a node that faces strangers.
#[derive(Debug, Clone)]
pub struct Config {
    /// The content domain: `<namespace>.DOMAIN` and `<service>--<namespace>.DOMAIN`.
    pub domain: String,
    /// The address under which clients reach this gateway, where it differs from the one it listens on: its scheme is the
    /// one that services see.
    pub public_url: Option<String>,
    /// Proxies in front of this gateway: what they say of a client's address and scheme is believed. Each must set
    /// `X-Forwarded-For`, or remove it and set `Forwarded`.
    pub trusted_proxies: Vec<IpNet>,
    /// The platform's version, as `GET /` tells it.
    pub version: String,
    /// Bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// Headers of a request.
    pub header_count_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
    /// Bytes of a message that is read whole (handlers `api` and `rpc`, `/rpc`).
    pub message_bytes_max: usize,
    /// Bytes of a body that is streamed to a service.
    pub body_bytes_max: u64,
    /// From the first byte of a request to its last header.
    pub header_time_max: Duration,
    /// Between two pieces of a body, a request's or an answer's.
    pub body_idle_max: Duration,
    /// For all of a message that is read whole.
    pub message_time_max: Duration,
    /// How long a client that was answered may go on sending its request before the connection is closed.
    pub linger_time_max: Duration,
    /// A call's whole budget unless the caller asks for less (Micro's client timeout).
    pub call_time_max: Duration,
    /// Streaming HTTP calls may last this long.
    pub http_time_max: Duration,
    /// A blob that is downloaded by its URL may take so long.
    pub blob_time_max: Duration,
    /// While an answer is streamed: how often it is looked at whether its token was revoked or its namespace blocked.
    pub look_again_after: Duration,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections of one client address at once.
    pub connections_per_address_max: usize,
    /// HTTP/2 requests of one connection at once.
    pub streams_per_connection_max: u32,
    /// A connection without a request; HTTP/1 closes it after `header_time_max` already.
    pub connection_idle_max: Duration,
    /// Requests being answered at once.
    pub requests_max: usize,
    /// Requests of one namespace being answered at once; its plan may say less.
    pub requests_per_namespace_max: usize,
    /// Requests that wait for others to end.
    pub waiting_max: usize,
    /// Requests of one namespace that wait.
    pub waiting_per_namespace_max: usize,
    /// How long a request waits for others to end.
    pub waiting_time_max: Duration,
    /// Requests without an account from one address, or one IPv6 network of 64 bits; none: no limit. Loopback has none.
    pub rate_of_address: Option<Rate>,
    /// Refused credentials from one address; none: no limit. Loopback has none.
    pub rate_of_refused_credentials: Option<Rate>,
    /// Requests of one account, key or person; none: no limit.
    pub rate_of_account: Option<Rate>,
    /// Addresses, accounts and namespaces of which the gateway remembers what they have used, each; above it those go
    /// that have used the least.
    pub buckets_max: usize,
    /// How long connections may take to finish when the process stops.
    pub drain_time_max: Duration,
}

impl Config {
    /// The scheme that clients use where no proxy says otherwise.
    pub(crate) fn scheme(&self) -> Scheme {
        let named = self.public_url.as_deref().and_then(|url| url.split_once("://"));
        named.and_then(|(scheme, _)| Scheme::parse(scheme)).unwrap_or(Scheme::Http)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            public_url: None,
            trusted_proxies: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            header_bytes_max: 64 * 1024,
            header_count_max: 128,
            target_bytes_max: 16 * 1024,
            message_bytes_max: 4 * 1024 * 1024,
            body_bytes_max: 10 * 1024 * 1024,
            header_time_max: Duration::from_secs(10),
            body_idle_max: Duration::from_secs(30),
            message_time_max: Duration::from_secs(60),
            linger_time_max: Duration::from_secs(5),
            call_time_max: Duration::from_secs(5),
            http_time_max: Duration::from_secs(300),
            blob_time_max: Duration::from_secs(3_600),
            look_again_after: Duration::from_millis(300),
            connections_max: 10_000,
            connections_per_address_max: 2_000,
            streams_per_connection_max: 128,
            connection_idle_max: Duration::from_secs(60),
            requests_max: 8_192,
            requests_per_namespace_max: 4_096,
            waiting_max: 8_192,
            waiting_per_namespace_max: 256,
            waiting_time_max: Duration::from_secs(5),
            rate_of_address: Some(Rate::new(200, 1_000)),
            rate_of_refused_credentials: Some(Rate::new(5, 100)),
            rate_of_account: Some(Rate::new(1_000, 5_000)),
            buckets_max: 100_000,
            drain_time_max: Duration::from_secs(30),
        }
    }
}
