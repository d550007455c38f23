//! HTTP as the tests speak it: by reqwest for the ordinary, by hand for what no client would send.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that one answer may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} {}", self.status, self.body))
    }
}

/// A client without proxies, redirects or a pool that outlives a test.
pub fn client() -> Result<reqwest::Client> {
    client_of(reqwest::Client::builder())
}

/// The same, of a builder that knows more.
pub(crate) fn client_of(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    let builder = builder.no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(DEADLINE);
    builder.build().context("make an HTTP client")
}

/// Sends and reads to the end.
pub async fn send(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await.context("send a request")?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.context("read the answer")?;
    Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Sends these bytes and returns everything until the server closes.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    stream.write_all(bytes).await.context("send")?;
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .context("the server kept the line open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
