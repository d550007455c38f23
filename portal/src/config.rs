//! What a portal has to be told.

use ipnet::IpNet;

/// The configuration of a portal.
#[derive(Debug, Clone)]
pub struct Config {
    /// The control API, without a credential.
    pub client: micro_client::Client,
    /// Shared with the control API, so that its limits count for the visitor's address and not for the portal's.
    pub secret: String,
    /// `Host` names that are answered, lower case, without port; every other gets 421.
    pub hosts: Vec<String>,
    /// Served by HTTPS: cookies are `Secure` and carry the prefix `__Host-`.
    pub secure: bool,
    /// Scheme, host and port of the gateway, such as `http://localhost:8080`: services' URLs are made from it.
    pub gateway_url: String,
    /// The domain of namespaces, such as `localhost`: a service answers at `<namespace>.<domain>`.
    pub domain: String,
    /// What `micro login` must reach: `127.0.0.1:8081`, `https://api.example.com`.
    pub control_url: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Bytes of a request's body.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Fields of a form.
pub(crate) const FIELDS_MAX: usize = 200;
/// Bytes of one field: the longest a password or URL may have, with room.
pub(crate) const FIELD_BYTES_MAX: usize = 8 << 10;
/// Bytes of a field that holds the JSON of a call.
pub(crate) const JSON_BYTES_MAX: usize = 512 << 10;
/// Live streams (logs, deployments) of all visitors together.
pub(crate) const STREAMS_MAX: usize = 1_024;
/// Live streams of one session: more than a person has tabs.
pub(crate) const STREAMS_PER_SESSION_MAX: usize = 16;
/// Rows of a page of a long list.
pub(crate) const ROWS: usize = 100;
/// Bytes of a reply that a page shows; longer ones are cut and say so.
pub(crate) const REPLY_BYTES_MAX: usize = 256 << 10;
/// Characters of a visitor's `User-Agent` that are passed on.
pub(crate) const AGENT_MAX: usize = 200;
