//! What the operator may set of the gateway. Every bound of the front has its name here.

use std::time::Duration;

/// Limits and names of the gateway. The defaults suit a node that faces strangers.
#[derive(Debug, Clone)]
pub struct Config {
    /// The content domain: `<namespace>.DOMAIN` and `<service>--<namespace>.DOMAIN`.
    pub domain: String,
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
    /// Requests of one namespace being answered at once.
    pub requests_per_namespace_max: usize,
    /// How long connections may take to finish when the process stops.
    pub drain_time_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
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
            connections_max: 10_000,
            connections_per_address_max: 2_000,
            streams_per_connection_max: 128,
            connection_idle_max: Duration::from_secs(60),
            requests_max: 8_192,
            requests_per_namespace_max: 4_096,
            drain_time_max: Duration::from_secs(30),
        }
    }
}
